"""ImageFeatures: a frozen network that turns images into feature vectors and feature maps."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_t2i.core.keras_internals import maker_of
from keras_t2i.core.pixels import from_bytes, resize, to_bytes
from keras_t2i.image_features.frozen_graph import FrozenGraph
from keras_t2i.image_features.mobilenet_v2 import build_mobilenet_v2, imagenet_arrays, read_arrays

__all__ = ["ImageFeatures"]


class ImageFeatures:
    """Features of images from a frozen network, with one way of resizing for all.

    Images are resized to the network's input size in float32 by `resize`: antialiased where they shrink, bilinear where
    they grow. Nothing is rounded afterwards.

    Args:
        network: A functional model from float32 images in [-1, 1], shape `(B, S, S, 3)` with static S, to a dictionary
            with feature vectors `"pool"`, shape `(B, D)`, and any number of spatial maps, shape `(B, h, w, C)`. It is
            frozen here.
        name: Short name for tables. Numbers from other features cannot be compared: say which they are.
        fingerprint: SHA-256, hexadecimal, of all that decides the numbers; computed from weights and layers if `None`.

    Attributes:
        name: As passed.
        dim: Length D of a feature vector.
        image_size: Input size S of the network in pixels.
        fingerprint: SHA-256, hexadecimal, of the weights and the configuration.

    Raises:
        ValueError: if the network's input is not square and static, or it has no output `"pool"`.
    """

    def __init__(self, network: keras.Model, name: str, fingerprint: str | None = None) -> None:
        shape, outputs = network.input_shape, network.output
        if len(shape) != 4 or shape[1] is None or shape[1] != shape[2] or shape[3] != 3:
            raise ValueError(f"The network of image features must take images of shape (B, S, S, 3); it takes {shape}.")
        if not isinstance(outputs, dict) or "pool" not in outputs or len(outputs["pool"].shape) != 2:
            raise ValueError('The network of image features must return a dictionary with "pool" of shape (B, D).')
        network.trainable = False
        self.network = network
        self.name = name
        self.image_size = int(shape[1])
        self.dim = int(outputs["pool"].shape[1])
        self.fingerprint = fingerprint or _fingerprint(network)
        maps = {key: value.shape[1] for key, value in outputs.items() if len(value.shape) == 4}
        self._map_names = sorted(maps, key=lambda key: -maps[key])
        images = tf.TensorSpec((None, None, None, 3), tf.float32)
        # A graph computes the outputs that are asked for; one trace serves every size of batch and image.
        self._traced_embed = tf.function(self._embed, input_signature=[images])
        self._traced_pool = tf.function(self._pool, input_signature=[images])
        self._traced_maps = tf.function(self._maps, input_signature=[images])

    @classmethod
    def from_preset(cls, name: str | os.PathLike[str], image_size: int = 96) -> ImageFeatures:
        """Loads a pretrained network.

        - `"mobilenet_v2"`: MobileNetV2 with the ImageNet weights of `keras.applications`, downloaded once.
        - An `.npz` file: the same network from a file, batch normalization folded in: kernels `k00`, `k01`, ... as
          Keras stores them and biases `b00`, `b01`, ..., in order.
        - A `.pb` file: the Inception graph of 2015-12-05 (`classify_image_graph_def.pb`), in whose features the Fréchet
          inception distance (FID) is defined. It takes images at their own size and resizes them itself.

        Args:
            name: `"mobilenet_v2"` or a path.
            image_size: Input size of MobileNetV2 in pixels, a multiple of 32. The Inception graph has its own.

        Returns:
            The features, named `"mobilenet_v2-96"` and the like: after the preset or the file, and the size.

        Raises:
            ValueError: if `image_size` is no multiple of 32, or the file is of another kind or damaged.
            FileNotFoundError: if there is no such file.
            ConnectionError: if the weights cannot be downloaded.
        """
        if os.fspath(name) != "mobilenet_v2":
            path = Path(name)
            if path.suffix not in (".npz", ".pb"):
                raise ValueError(
                    f"Image features are 'mobilenet_v2' or the path of an .npz or .pb file; got {os.fspath(name)!r}."
                )
            if not path.is_file():
                raise FileNotFoundError(f"There is no file of image features at {path}.")
            if path.suffix == ".pb":
                return _FrozenGraphFeatures(FrozenGraph(path), path.stem)
        if image_size < 32 or image_size % 32:
            raise ValueError(f"`image_size` of MobileNetV2 must be a positive multiple of 32; got {image_size}.")
        if os.fspath(name) == "mobilenet_v2":
            return cls(build_mobilenet_v2(imagenet_arrays(), image_size), f"mobilenet_v2-{image_size}")
        return cls(build_mobilenet_v2(read_arrays(path), image_size), f"{path.stem}-{image_size}")

    def __call__(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Feature vectors of images.

        Args:
            images: Of any size, uint8, shape `(N, H, W, 3)`. Round generated images to uint8 first: that is what a
                viewer sees.
            batch_size: Images held by the network at once; it decides memory and speed, not the result.

        Returns:
            Feature vectors, float32, shape `(N, dim)`.

        Raises:
            ValueError: if the images are of another type or shape.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
            raise ValueError(
                f"Image features need uint8 images of shape (N, H, W, 3); got {images.dtype} of shape {images.shape}."
            )
        features = np.empty((len(images), self.dim), np.float32)
        for start in range(0, len(images), batch_size):
            pixels = tf.constant(images[start : start + batch_size], tf.float32)
            features[start : start + batch_size] = self._traced_embed(pixels).numpy()
        return features

    def embed(self, images: tf.Tensor) -> tf.Tensor:
        """Feature vectors of images, differentiable with respect to them.

        Args:
            images: Of any size, in [-1, 1], float32, shape `(B, H, W, 3)`.

        Returns:
            Feature vectors, float32, shape `(B, dim)`.
        """
        return self._traced_pool(tf.convert_to_tensor(images))

    def maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Feature maps of images, differentiable with respect to them.

        Args:
            images: Of any size, in [-1, 1], float32, shape `(B, H, W, 3)`.

        Returns:
            The network's spatial maps, float32, shapes `(B, h, w, C)`, fine to coarse.

        Raises:
            ValueError: if the network has none.
        """
        if not self._map_names:
            raise ValueError(f"The image features {self.name} have no feature maps; use mobilenet_v2 for them.")
        return self._traced_maps(tf.convert_to_tensor(images))

    def _embed(self, pixels: tf.Tensor) -> tf.Tensor:
        return self._pool(from_bytes(pixels))

    def _pool(self, images: tf.Tensor) -> tf.Tensor:
        return self.network(resize(images, self.image_size), training=False)["pool"]

    def _maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        outputs = self.network(resize(images, self.image_size), training=False)
        return [outputs[name] for name in self._map_names]


class _FrozenGraphFeatures(ImageFeatures):
    """Feature vectors of the Inception graph; it has no feature maps, and resizes images itself."""

    def __init__(self, graph: FrozenGraph, name: str) -> None:
        self.name, self.dim, self.image_size = name, graph.dim, graph.image_size
        self.fingerprint = graph.fingerprint
        self._map_names: list[str] = []
        self._traced_embed = graph.call

    def embed(self, images: tf.Tensor) -> tf.Tensor:
        """As `ImageFeatures.embed`: feature vectors of images in [-1, 1]."""
        return self._traced_embed(to_bytes(images))


def _fingerprint(network: keras.Model) -> str:
    """SHA-256 of a network's layers, weights and outputs, but not of layer names, which differ between builds."""
    digest = hashlib.sha256()
    for name, output in sorted(network.output.items()):
        made_by = [layer is maker_of(output) for layer in network.layers].index(True)
        digest.update(f"{name} {output.shape} {made_by}".encode())
    for layer in network.layers:
        config = {key: value for key, value in layer.get_config().items() if key != "name"}
        digest.update(json.dumps([type(layer).__name__, config], sort_keys=True, default=str).encode())
    for weight in network.get_weights():
        digest.update(f"{weight.shape}{weight.dtype}".encode() + weight.tobytes())
    return digest.hexdigest()
