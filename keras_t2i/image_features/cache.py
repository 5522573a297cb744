"""CachedImageFeatures: features kept on disk, so that the real images are measured once and not at every evaluation."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import tensorflow as tf

from keras_t2i.core.cache import Cache
from keras_t2i.image_features.features import ImageFeatures

__all__ = ["CachedImageFeatures"]


class CachedImageFeatures:
    """Serves an `ImageFeatures` from files, one for each array of images.

    A file is named after the SHA-256 of the pixels, their shape and the features' fingerprint: see
    `keras_t2i.core.cache.Cache`.

    Args:
        features: The features to ask for what is not there yet.
        cache_dir: Where to keep the files.
    """

    def __init__(self, features: ImageFeatures, cache_dir: str | os.PathLike[str]) -> None:
        self.features = features
        self._cache = Cache(cache_dir, "image features")
        self.name, self.dim, self.fingerprint = features.name, features.dim, features.fingerprint

    def __call__(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Feature vectors, float32, shape `(N, dim)`, of images, uint8, shape `(N, H, W, 3)`, as the features' own."""
        images = np.ascontiguousarray(images)
        key = hashlib.sha256(f"{self.fingerprint} {images.dtype} {images.shape} ".encode())
        key.update(images.data)
        known = self._cache.read(key.hexdigest())
        if known is None:
            known = self.features(images, batch_size)
            self._cache.write(key.hexdigest(), known)
        return known

    def maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """As `ImageFeatures.maps`; not cached."""
        return self.features.maps(images)
