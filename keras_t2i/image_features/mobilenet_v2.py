"""MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) without batch normalization, which is folded into the kernels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from keras import layers

__all__ = ["build_mobilenet_v2", "fold_batch_normalization", "imagenet_arrays", "read_arrays"]

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
_STEM_CHANNELS, _DIM = 32, 1280


def build_mobilenet_v2(arrays: Arrays, image_size: int) -> keras.Model:
    """Builds the network from its folded arrays.

    Args:
        arrays: Kernels and biases of the 52 convolutions.
        image_size: Height and width of the images in pixels.

    Returns:
        A model from images in [-1, 1], shape `(B, image_size, image_size, 3)`, to `"pool"`, shape `(B, 1280)`, and the
        output of the last block at each stride: `"stride_2"` (16 channels), `"stride_4"` (24), `"stride_8"` (32),
        `"stride_16"` (96) and `"stride_32"` (320).
    """
    remaining = iter(arrays)
    number = iter(range(len(arrays)))

    def convolve(x: keras.KerasTensor, kind: type, stride: int = 1, relu: bool = True) -> keras.KerasTensor:
        kernel, bias = next(remaining)
        # A frozen network stays in float32 whatever policy the trained ones follow.
        options = {"strides": stride, "padding": "same", "dtype": "float32", "name": f"convolution_{next(number):02d}"}
        if kind is layers.Conv2D:
            options["filters"] = kernel.shape[-1]
        layer = kind(kernel_size=kernel.shape[:2], activation="relu6" if relu else None, **options)
        y = layer(x)
        layer.set_weights([kernel, bias])
        return y

    images = keras.Input((image_size, image_size, 3), dtype="float32")
    outputs: dict[str, keras.KerasTensor] = {}
    x = convolve(images, layers.Conv2D, 2)
    for block, (expansion, channels, stride) in enumerate(_BLOCKS):
        y = x if expansion == 1 else convolve(x, layers.Conv2D)
        y = convolve(y, layers.DepthwiseConv2D, stride)
        y = convolve(y, layers.Conv2D, relu=False)
        same_shape = stride == 1 and x.shape[-1] == channels
        x = layers.Add(dtype="float32")([x, y]) if same_shape else y
        if block in _TAPS:
            outputs[_TAPS[block]] = x
    x = convolve(x, layers.Conv2D)
    outputs["pool"] = layers.GlobalAveragePooling2D(dtype="float32")(x)
    return keras.Model(images, outputs, name="mobilenet_v2")


def imagenet_arrays() -> Arrays:
    """Returns the ImageNet weights of `keras.applications`, folded.

    Raises:
        ConnectionError: if they are not there yet and cannot be downloaded.
    """
    try:
        model = keras.applications.MobileNetV2((224, 224, 3), include_top=False, weights="imagenet")
    except Exception as error:  # `get_file` raises bare exceptions, with several lines
        raise ConnectionError(
            "The MobileNetV2 weights could not be downloaded: go online once, or pass the path of an .npz file with "
            f"folded MobileNetV2 weights in place of 'mobilenet_v2' ({' '.join(str(error).split())[:200]})."
        ) from error
    return fold_batch_normalization(model)


def fold_batch_normalization(model: keras.Model) -> Arrays:
    """Merges every batch normalization of a Keras model into the convolution before it.

    Args:
        model: A model in which each convolution has no bias and is followed by a batch normalization.

    Returns:
        Kernels and biases, float32, in order.
    """
    arrays: Arrays = []
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            (kernel,) = layer.get_weights()
            # Depthwise kernels are (h, w, channels, 1), the others (h, w, channels in, channels out).
            per_channel = (-1, 1) if isinstance(layer, layers.DepthwiseConv2D) else (-1,)
        elif isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            scale = gamma / np.sqrt(variance + layer.epsilon)
            arrays.append((kernel * scale.reshape(per_channel), beta - mean * scale))
    return arrays


def read_arrays(path: Path) -> Arrays:
    """Reads and checks folded weights from an `.npz` file.

    Args:
        path: A file with `k00`, `b00`, `k01`, ...: kernels and biases of any float type. More arrays, such as those of
            the classifier, may follow; they are not read.

    Returns:
        Kernels and biases, float32, in order.

    Raises:
        ValueError: if an array is missing, has another shape or is not finite, or the file is damaged.
    """
    arrays: Arrays = []
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            for number, shape in enumerate(_kernel_shapes()):
                kernel, bias = file[f"k{number:02d}"], file[f"b{number:02d}"]
                channels = shape[2] if shape[3] == 1 else shape[3]
                for name, array, expected in (("k", kernel, shape), ("b", bias, (channels,))):
                    if array.shape != expected or array.dtype.kind != "f" or not np.isfinite(array).all():
                        raise ValueError(
                            f"{name}{number:02d} should hold finite floats of shape {expected} and holds "
                            f"{array.dtype} of shape {array.shape}"
                        )
                arrays.append((kernel.astype(np.float32), bias.astype(np.float32)))
    except Exception as error:  # whatever the reader of a damaged file says
        problem = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not a file of folded MobileNetV2 weights: {problem}.") from error
    return arrays


def _kernel_shapes() -> Iterator[tuple[int, ...]]:
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
