"""Pieces that more than one family is made of."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_t2i.core.backend import has_fast_transposes

__all__ = [
    "Block",
    "Modulation",
    "as_it_is",
    "convolution",
    "convolve_doubled",
    "gelu",
    "leaky",
    "relu",
    "silu",
    "tile_text",
    "unit_rms",
    "upsample",
]

_ROWS = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)
_OF_REPEATED = np.kron(_ROWS, _ROWS)
"""Which of the 9 numbers of a kernel meet each number that was repeated: the sums that are a kernel of 16."""


class Block(layers.Layer):
    """A layer made of layers that are built by its first call, which Keras would trace once more to find the shapes."""

    def build(self, input_shape: Any) -> None:
        """Leaves it to the call."""


class Modulation(layers.Layer):
    """Scales and shifts channels by amounts read from the style vector, starting near the identity."""

    def build(self, features_shape: Any, style_shape: Any) -> None:
        initializer = keras.initializers.RandomNormal(stddev=0.03)
        self.to_affine = layers.Dense(2 * features_shape[-1], kernel_initializer=initializer, name="affine")
        self.to_affine.build(style_shape)

    def call(self, features: Any, style: Any) -> Any:
        scale, shift = ops.split(self.to_affine(style)[:, None, None, :], 2, axis=-1)
        return features * (1.0 + scale) + shift


def as_it_is(features: Any) -> Any:
    """Features, unchanged: what stands where nothing is to be done."""
    return features


def convolution(filters: int, size: int = 3, strides: int = 1, scale: float = 2.0, **kwargs: Any) -> layers.Conv2D:
    """A convolution that keeps the size, or divides it by `strides`; its outputs vary with `scale`, at first."""
    initializer = keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")
    return layers.Conv2D(filters, size, strides=strides, padding="same", kernel_initializer=initializer, **kwargs)


def convolve_doubled(layer: layers.Conv2D, maps: Any, interpolation: str = "nearest", training: Any = None) -> Any:
    """What a 3x3 convolution makes of maps whose height and width are doubled first.

    In training, where they are doubled by repeating, it is computed from the maps as they are: as the transposed
    convolution of size 4 that it equals, in which four multiplications take the place of nine. Elsewhere, and where
    that is slow, it is made of operations that mobile converters know.

    Args:
        layer: A convolution of size 3 without an activation, which pads to keep the size.
        maps: Shape `(B, H, W, C)`, height and width static.
        interpolation: `"nearest"` or `"bilinear"`: how maps grow.
        training: As in Keras.
    """
    folds = training and interpolation == "nearest" and layer.built and has_fast_transposes()
    if not folds:
        return layer(upsample(maps, interpolation))
    kernel = ops.cast(layer.kernel, maps.dtype)
    sums = ops.matmul(ops.cast(_OF_REPEATED, kernel.dtype), ops.reshape(kernel, (9, -1)))
    summed = ops.reshape(sums, (4, 4, *kernel.shape[2:]))
    outputs = ops.conv_transpose(maps, ops.transpose(summed, (0, 1, 3, 2)), strides=2, padding="same")
    return outputs if layer.bias is None else outputs + ops.cast(layer.bias, maps.dtype)


def leaky(features: Any) -> Any:
    """Leaky ReLU with the slope that is usual in adversarial networks, 0.2."""
    return ops.leaky_relu(features, negative_slope=0.2)


def relu(features: Any) -> Any:
    """Rectified linear unit."""
    return ops.relu(features)


def silu(features: Any) -> Any:
    """Sigmoid linear unit, also called swish."""
    return ops.silu(features)


def gelu(features: Any) -> Any:
    """Gaussian error linear unit, by the hyperbolic tangent: mobile converters have no error function."""
    return ops.gelu(features, approximate=True)


def unit_rms(features: Any, least: float = 1e-6) -> Any:
    """Features, shape `(..., C)`, brought to a root mean square of 1 over the channels of each position.

    Args:
        features: What is brought there.
        least: Mean square of which, or less, there is next to nothing to bring there.

    Reference:
        Pixel normalization in Progressive Growing of GANs (Karras et al., 2018), arXiv:1710.10196.
    """
    return features * ops.rsqrt(ops.mean(ops.square(features), axis=-1, keepdims=True) + least)


def upsample(features: Any, interpolation: str = "nearest") -> Any:
    """Doubles height and width, by repeating or smoothly; sizes must be static, which mobile converters need."""
    _, height, width, _ = features.shape
    # Means are computed in float32 anyway, and Keras, where it is not asked to, clips them before it rounds them.
    taken = features if interpolation == "nearest" else ops.cast(features, "float32")
    return ops.cast(ops.image.resize(taken, (2 * height, 2 * width), interpolation=interpolation), features.dtype)


def tile_text(features: Any, text: Any) -> Any:
    """Appends the text features `(B, C)` to the channels of every position of `features`, `(B, H, W, F)`."""
    _, height, width, _ = features.shape
    text = ops.cast(text, features.dtype)[:, None, None, :]
    return ops.concatenate([features, ops.tile(text, (1, height, width, 1))], axis=-1)
