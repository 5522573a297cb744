"""Images as bytes and as numbers in [-1, 1], and from one size to another."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["checked_picture", "from_bytes", "resize", "rounded", "to_bytes", "to_uint8"]

_HALF = 127.5
_FEW = 4
"""Channels of pictures, unlike those of feature maps."""


def checked_picture(image: Any) -> np.ndarray:
    """A picture as an array; raises `ValueError` unless it is uint8 of shape `(H, W, 3)`."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise ValueError(f"Pictures are uint8 of shape (H, W, 3); got {image.dtype} {image.shape}.")
    return image


def from_bytes(pixels: Any) -> Any:
    """Numbers in [-1, 1] from floating-point pixels in [0, 255]: arrays or tensors of any library, of any shape."""
    return pixels / _HALF - 1.0


def to_bytes(images: Any) -> Any:
    """The inverse of `from_bytes`, not rounded."""
    return (images + 1.0) * _HALF


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as bytes, uint8, of the same shape; what lies outside is cut, half goes to the even byte."""
    return np.clip(np.rint(to_bytes(images)), 0, 255).astype(np.uint8)


def rounded(images: Any) -> Any:
    """As `to_uint8`, of a tensor in a graph or outside of one."""
    from keras import ops

    return ops.cast(ops.round(ops.clip(to_bytes(images), 0.0, 255.0)), "uint8")


def resize(images: Any, size: int) -> Any:
    """Resizes images to a square with a triangular filter: antialiased where they shrink, bilinear where they grow.

    The result is that of `tf.image.resize(images, (size, size), antialias=True)`. Two products with a matrix, unlike
    the operation for it, run on every device, are compiled by XLA, and can be differentiated twice, which gradient
    penalties do.

    Args:
        images: Floating point, shape `(B, H, W, C)`; height and width may be unknown before the graph runs.
        size: Height and width to resize to, in pixels.

    Returns:
        Images of the same type, shape `(B, size, size, C)`.
    """
    from keras import ops

    if images.shape[1] == images.shape[2] == size:
        return images
    _, height, width, _ = ops.shape(images)
    channels = images.shape[-1]
    to_rows, to_columns = (_triangles(old_size, size, images.dtype) for old_size in (height, width))
    if channels > _FEW:
        return ops.einsum("sw,bhwc->bhsc", to_columns, ops.einsum("sh,bhwc->bswc", to_rows, images))
    # Products with a matrix of so few columns are slow: here, one acts on all channels of a row.
    each = ops.einsum("sw,cd->wcsd", to_columns, ops.eye(channels, dtype=images.dtype))
    lines = ops.reshape(images, (-1, height, width * channels))
    resized = ops.matmul(to_rows, ops.matmul(lines, ops.reshape(each, (width * channels, size * channels))))
    return ops.reshape(resized, (-1, size, size, channels))


def _triangles(old_size: Any, size: int, dtype: Any) -> Any:
    """The weight of each old row in each new one, shape `(size, old_size)`."""
    from keras import ops

    scale = ops.cast(old_size, "float32") / size
    centers = (ops.arange(size, dtype="float32") + 0.5) * scale
    positions = ops.arange(old_size, dtype="float32") + 0.5
    triangles = ops.relu(1.0 - ops.abs(centers[:, None] - positions) / ops.maximum(scale, 1.0))
    return ops.cast(triangles / ops.sum(triangles, axis=1, keepdims=True), dtype)
