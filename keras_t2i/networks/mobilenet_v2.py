"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) without batch normalization, which is folded into the kernels."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers

__all__ = ["Arrays", "build_mobilenet_v2", "kernel_shapes"]

Arrays = list[tuple[np.ndarray, np.ndarray]]
"""A kernel, as Keras stores it, and a bias for each convolution, in order."""

# Expansion, channels and stride of each of the 17 blocks.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_BLOCKS = tuple(
    (expansion, channels, stride if number == 0 else 1)
    for expansion, channels, count, stride in _STAGES
    for number in range(count)
)
# The last block at each resolution.
_TAPS = {0: "stride_2", 2: "stride_4", 5: "stride_8", 12: "stride_16", 16: "stride_32"}
# What the block after each makes of it first: more channels, none of them negative.
_EXPANDED = {number + 1: f"{name}_expanded" for number, name in _TAPS.items() if name != "stride_32"}
_STEM_CHANNELS, _DIM = 32, 1280


def build_mobilenet_v2(
    arrays: Arrays | None, image_size: int | None, maps: Collection[str] | None = None, name: str = "mobilenet_v2"
) -> keras.Model:
    """Builds the network from its folded arrays.

    Args:
        arrays: Kernels and biases of the 52 convolutions; `None` for biases of 0 and random kernels that keep the scale
            of activations, as the image would be lost on the way otherwise.
        image_size: Height and width of the images in pixels; `None` for any.
        maps: Names of what is wanted of the outputs, in order; what lies beyond the last is not built. All by default.
            By name alone there are also `"stem"` (32 channels at stride 2) and what the next block makes of the maps at
            a stride first, before it reduces them: `"stride_2_expanded"` (96 channels), `"stride_4_expanded"` (144),
            `"stride_8_expanded"` (192) and `"stride_16_expanded"` (576). Gram matrices of these tell textures apart.
        name: Name of the model.

    Returns:
        A model from images in [-1, 1], shape `(B, image_size, image_size, 3)`, to `"pool"`, shape `(B, 1280)`, and the
        output of the last block at each stride: `"stride_2"` (16 channels), `"stride_4"` (24), `"stride_8"` (32),
        `"stride_16"` (96) and `"stride_32"` (320). With `maps`, to a list of these.
    """
    shapes = enumerate(kernel_shapes())

    def convolve(x: keras.KerasTensor, kind: type, stride: int = 1, relu: bool = True) -> keras.KerasTensor:
        number, shape = next(shapes)
        # A frozen network stays in float32 whatever policy the trained ones follow.
        options: dict[str, Any] = {
            "strides": stride,
            "padding": "same",
            "dtype": "float32",
            "name": f"convolution_{number:02d}",
        }
        fan_in = shape[0] * shape[1] * (shape[2] if kind is layers.Conv2D else 1)
        scale = keras.initializers.RandomNormal(stddev=((2.0 if relu else 1.0) / fan_in) ** 0.5)
        if kind is layers.Conv2D:
            options |= {"filters": shape[-1], "kernel_initializer": scale}
        else:
            options["depthwise_initializer"] = scale
        layer = kind(kernel_size=shape[:2], activation="relu6" if relu else None, **options)
        y = layer(x)
        if arrays is not None:
            layer.set_weights(list(arrays[number]))
        return y

    images = keras.Input((image_size, image_size, 3), dtype="float32")
    outputs: dict[str, keras.KerasTensor] = {}
    x = convolve(images, layers.Conv2D, 2)
    further = {"stem": x}
    for block, (expansion, channels, stride) in enumerate(_BLOCKS):
        y = x if expansion == 1 else convolve(x, layers.Conv2D)
        if block in _EXPANDED:
            further[_EXPANDED[block]] = y
        y = convolve(y, layers.DepthwiseConv2D, stride)
        y = convolve(y, layers.Conv2D, relu=False)
        same_shape = stride == 1 and x.shape[-1] == channels
        x = layers.Add(dtype="float32")([x, y]) if same_shape else y
        if block in _TAPS:
            outputs[_TAPS[block]] = x
        found = {**outputs, **further}
        if maps is not None and found.keys() >= set(maps):
            return keras.Model(images, [found[each] for each in maps], name=name)
    x = convolve(x, layers.Conv2D)
    outputs["pool"] = layers.GlobalAveragePooling2D(dtype="float32")(x)
    return keras.Model(images, outputs if maps is None else [outputs[each] for each in maps], name=name)


def kernel_shapes() -> Iterator[tuple[int, ...]]:
    """Shapes of the 52 kernels, in order."""
    yield (3, 3, 3, _STEM_CHANNELS)
    channels = _STEM_CHANNELS
    for expansion, channels_out, _ in _BLOCKS:
        hidden = channels * expansion
        if expansion > 1:
            yield (1, 1, channels, hidden)
        yield (3, 3, hidden, 1)
        yield (1, 1, hidden, channels_out)
        channels = channels_out
    yield (1, 1, channels, _DIM)
