"""PNG files to pictures, what a network sees of them, and back, in TensorFlow's graph: pixels are those of Pillow.

What `keras_t2i.core.cutout` does for Python, for a server that has nothing but TensorFlow.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["MOST_PIXELS", "Cut", "central_square", "decoded"]

MOST_PIXELS = 2048
"""Of a picture's height and of its width: a header may promise more than a server has memory for."""

_CONTEXT, _WHOLE = 2, 2  # As in `Cutout.of`.
_HEADER = 33
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FIXED = 1 << 22
"""Pillow resizes with whole multiples of its inverse."""
_LANCZOS = 3


def decoded(file: tf.Tensor, name: str, channels: int) -> tf.Tensor:
    """A PNG file's pixels, uint8, shape `(H, W, channels)`, whose header is looked at before memory is taken.

    Args:
        file: string, a scalar. Transparency is left out; of 16 bits the upper eight are taken.
        name: What it is, for errors, which are TensorFlow's `InvalidArgumentError`.
        channels: 3, or 1 for brightness alone.
    """
    whole = tf.strings.length(file) >= _HEADER
    head = tf.where(whole, file, b"\0" * _HEADER)
    start = tf.strings.substr(head, 0, len(_SIGNATURE)) + tf.strings.substr(head, 12, 4)
    size = tf.io.decode_raw(tf.strings.substr(head, 16, 8), tf.int32, little_endian=False)
    checks = [
        tf.debugging.Assert(start == _SIGNATURE + b"IHDR", [f"{name} is no PNG file."]),
        tf.debugging.Assert(
            tf.reduce_all((size >= 1) & (size <= MOST_PIXELS)),
            [f"{name} has another size than 1 to {MOST_PIXELS} pixels each way: width and height are", size],
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.io.decode_png(tf.identity(file), channels=channels)


class Cut(NamedTuple):
    """A square of a picture around its hole: see `keras_t2i.core.cutout.Cutout`.

    Args:
        picture: uint8, shape `(H, W, 3)`.
        hole: bool, shape `(H, W)`.
        top: Where the square begins, int32.
        left: Likewise.
        side: Its height and width, int32.
    """

    picture: tf.Tensor
    hole: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor
    side: tf.Tensor

    @classmethod
    def of(cls, picture_file: tf.Tensor, mask_file: tf.Tensor, size: int) -> Cut:
        """Reads a picture and its mask, and finds the square for a network that draws `size` pixels."""
        picture = decoded(picture_file, "picture_bytes", 3)
        hole = decoded(mask_file, "mask_bytes", 1)[..., 0] >= 128
        shape = tf.shape(picture)[:2]
        with tf.control_dependencies(
            [
                tf.debugging.Assert(
                    tf.reduce_all(tf.shape(hole) == shape), ["mask_bytes is not as large as its picture."]
                )
            ]
        ):
            hole = tf.identity(hole)
        with tf.control_dependencies(
            [tf.debugging.Assert(tf.reduce_any(hole), ["mask_bytes is white nowhere: nothing is to be drawn."])]
        ):
            hole = tf.identity(hole)
        (top, bottom), (left, right) = (_ends(tf.reduce_any(hole, axis=axis)) for axis in (1, 0))
        reach = tf.maximum(bottom - top, right - left)
        side = tf.minimum(
            tf.maximum(_CONTEXT * reach, _WHOLE * size), tf.maximum(tf.minimum(shape[0], shape[1]), reach)
        )
        return cls(picture, hole, _begin(top, bottom, side, shape[0]), _begin(left, right, side, shape[1]), side)

    def seen(self, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        """What the network sees: pixels, uint8, `(size, size, 3)`, and the hole, bool, `(size, size)`."""
        pixels, covered = self._square(self.picture, 0), self._square(tf.cast(self.hole, tf.uint8), 1)
        areas, nearest = _areas(self.side, size), _nearest(self.side, size)
        smaller = self.side > size
        pixels = tf.where(smaller, _resized(pixels, _normalized(areas)), _resized(pixels, nearest))
        weights = tf.where(smaller, areas, nearest)
        return tf.ensure_shape(pixels, (size, size, 3)), _applied(tf.cast(covered, tf.float64), weights) > 0

    def put_back(self, drawn: tf.Tensor) -> tf.Tensor:
        """The picture with what was drawn, uint8 `(size, size, 3)`, in its hole, and as it was everywhere else."""
        large = _resized(drawn, _normalized(_lanczos(tf.shape(drawn)[0], self.side)))
        pads = []
        for number, (begin, length) in enumerate(
            ((self.top, tf.shape(self.hole)[0]), (self.left, tf.shape(self.hole)[1]))
        ):
            places = tf.range(tf.maximum(-begin, 0), tf.minimum(self.side, length - begin))
            large = tf.gather(large, places, axis=number)
            pads.append([tf.maximum(begin, 0), tf.maximum(length - begin - self.side, 0)])
        return tf.where(self.hole[..., None], tf.pad(large, [*pads, [0, 0]]), self.picture)

    def _square(self, pixels: tf.Tensor, beyond: int) -> tf.Tensor:
        """The square, with `beyond` where it leaves the picture."""
        pads = [
            [tf.maximum(-begin, 0), tf.maximum(begin + self.side - tf.shape(pixels)[axis], 0)]
            for axis, begin in enumerate((self.top, self.left))
        ]
        padded = tf.pad(pixels, [*pads, *[[0, 0]] * (pixels.shape.rank - 2)], constant_values=beyond)
        top, left = tf.maximum(self.top, 0), tf.maximum(self.left, 0)
        return padded[top : top + self.side, left : left + self.side]


def central_square(file: tf.Tensor, size: int) -> tf.Tensor:
    """The central square of a picture in a PNG file, uint8, shape `(size, size, 3)`."""
    picture = decoded(file, "picture_bytes", 3)
    height, width = tf.shape(picture)[0], tf.shape(picture)[1]
    side = tf.minimum(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    return tf.ensure_shape(_resized(square, _normalized(_lanczos(side, size))), (size, size, 3))


def _ends(found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    places = tf.cast(tf.where(found)[:, 0], tf.int32)
    return tf.reduce_min(places), tf.reduce_max(places) + 1


def _begin(start: tf.Tensor, end: tf.Tensor, side: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    middle = tf.clip_by_value((start + end - side) // 2, 0, tf.maximum(length - side, 0))
    return tf.where(side > length, (length - side) // 2, middle)


def _resized(pixels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Rows, rounded to bytes, and then columns, as Pillow has it; exact, for these are whole numbers below 2 ** 53."""

    def rounded(sums: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(tf.floor((sums + _FIXED / 2) / _FIXED), 0.0, 255.0)

    fixed = tf.round(weights * _FIXED)
    across = rounded(tf.einsum("ow,hwc->hoc", fixed, tf.cast(pixels, tf.float64)))
    return tf.cast(rounded(tf.einsum("oh,hwc->owc", fixed, across)), tf.uint8)


def _applied(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.einsum("ph,hw,ow->po", weights, values, weights)


def _positions(old_size: tf.Tensor, size: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Centers of new pixels, `(size, 1)`, places of old ones, `(1, old_size)`, in old pixels, and the scale."""
    scale = tf.cast(old_size, tf.float64) / tf.cast(size, tf.float64)
    centers = (tf.cast(tf.range(size), tf.float64) + 0.5) * scale
    return centers[:, None], tf.cast(tf.range(old_size), tf.float64)[None], scale


def _kernel_distances(old_size: tf.Tensor, size: tf.Tensor | int, support: float) -> tuple[tf.Tensor, tf.Tensor]:
    """How far old pixels are from new ones, in widths of the filter, and which are looked at: Pillow's rule."""
    centers, places, scale = _positions(old_size, size)
    wide = tf.maximum(scale, 1.0)
    first, end = (tf.floor(tf.maximum(centers + sign * support * wide + 0.5, 0.0)) for sign in (-1, 1))
    return (places - centers + 0.5) / wide, (places >= first) & (places < end)


def _areas(old_size: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    distances, near = _kernel_distances(old_size, size, 0.5)
    return tf.cast(near & (distances > -0.5) & (distances <= 0.5), tf.float64)


def _lanczos(old_size: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    distances, near = _kernel_distances(old_size, size, _LANCZOS)
    inside = near & (distances >= -_LANCZOS) & (distances < _LANCZOS)
    return tf.where(inside, _sinc(distances) * _sinc(distances / _LANCZOS), tf.zeros((), tf.float64))


def _sinc(x: tf.Tensor) -> tf.Tensor:
    angle = x * np.float64(math.pi)
    return tf.where(x == 0, tf.ones((), tf.float64), tf.sin(angle) / tf.where(x == 0, tf.ones((), tf.float64), angle))


def _nearest(old_size: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    centers, places, _ = _positions(old_size, size)
    return tf.cast(tf.floor(centers) == places, tf.float64)


def _normalized(weights: tf.Tensor) -> tf.Tensor:
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)
