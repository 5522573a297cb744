"""Tiny networks for the tests of image features: real graphs with random weights."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_t2i.networks.mobilenet_v2 import build_mobilenet_v2


def tiny_network(size: int = 16) -> keras.Model:
    """Two convolutions, each a spatial map, and their average."""
    images = keras.Input((size, size, 3))
    fine = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(images)
    coarse = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(fine)
    pool = layers.GlobalAveragePooling2D()(coarse)
    return keras.Model(images, {"a_coarse": coarse, "b_fine": fine, "pool": pool})


def write_mobilenet_v2(path: Path) -> Path:
    """Writes a file of weights for MobileNetV2, random ones that keep the scale of activations."""
    keras.utils.set_random_seed(2)
    arrays = build_mobilenet_v2(None, 32).get_weights()
    names = [f"{kind}{number:02d}" for number in range(len(arrays) // 2) for kind in "kb"]
    np.savez(path, **{name: array.astype(np.float16) for name, array in zip(names, arrays, strict=True)})
    return path


def write_inception_like_graph(path: Path) -> np.ndarray:
    """Writes a frozen graph with the node names of the Inception graph of 2015-12-05; returns its 1x1 kernel."""
    kernel = np.random.default_rng(0).normal(size=(1, 1, 3, 5)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        # One image at a time, as in that graph; its shapes are noted in the file.
        image = tf.compat.v1.placeholder(tf.float32, (None, None, 3), name="Cast")
        images = tf.expand_dims(image, 0, name="ExpandDims")
        x = tf.compat.v1.image.resize_bilinear(images, (8, 8), name="ResizeBilinear")
        x = tf.multiply(tf.subtract(x, 128.0, name="Sub"), 0.0078125, name="Mul")
        x = tf.nn.conv2d(x, tf.constant(kernel), 1, "VALID", name="conv")
        x = tf.nn.avg_pool2d(x, 8, 1, "VALID", name="pool_3")
        tf.reshape(x, (1, 5), name="pool_3/_reshape")
    path.write_bytes(graph.as_graph_def(add_shapes=True).SerializeToString())
    return kernel
