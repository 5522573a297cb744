"""The weights of MobileNetV2, from Keras or from a file, with batch normalization folded into the kernels."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_t2i.core import gate
from keras_t2i.networks.mobilenet_v2 import Arrays, build_mobilenet_v2, kernel_shapes

__all__ = ["Arrays", "build_mobilenet_v2", "fold_batch_normalization", "imagenet_arrays", "read_arrays"]


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
        file = gate.read_arrays(path.read_bytes(), times=gate.PACKED)
        for number, shape in enumerate(kernel_shapes()):
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
