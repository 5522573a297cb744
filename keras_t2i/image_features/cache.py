"""CachedImageFeatures: features kept on disk, so that the real images are measured once and not at every evaluation."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_t2i.core.files import write_file
from keras_t2i.image_features.features import ImageFeatures

__all__ = ["CachedImageFeatures"]

_DIGEST_BYTES = hashlib.sha256().digest_size


class CachedImageFeatures:
    """Serves an `ImageFeatures` from files, one for each array of images.

    A file is named after the SHA-256 of the pixels, their shape and the features' fingerprint, and begins with the
    SHA-256 of its content: it appears complete or not at all, and a damaged one is reported and computed again.

    Args:
        features: The features to ask for what is not there yet.
        cache_dir: Where to keep the files. Where it cannot be written, one warning says so and nothing is kept.
    """

    def __init__(self, features: ImageFeatures, cache_dir: str | os.PathLike[str]) -> None:
        self.features = features
        self.cache_dir = Path(cache_dir)
        self.name, self.dim, self.fingerprint = features.name, features.dim, features.fingerprint
        self._writable = True

    def __call__(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Feature vectors, float32, shape `(N, dim)`, of images, uint8, shape `(N, H, W, 3)`, as the features' own."""
        images = np.ascontiguousarray(images)
        key = hashlib.sha256(f"{self.fingerprint} {images.dtype} {images.shape} ".encode())
        key.update(images.data)
        path = self.cache_dir / f"{key.hexdigest()}.features"
        known = self._read(path)
        if known is None:
            known = self.features(images, batch_size)
            self._write(path, known)
        return known

    def maps(self, images: tf.Tensor) -> list[tf.Tensor]:
        """As `ImageFeatures.maps`; not cached."""
        return self.features.maps(images)

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            warnings.warn(f"The cached features in {path} are damaged; they are computed again.", stacklevel=3)
            return None
        return np.load(io.BytesIO(content), allow_pickle=False)

    def _write(self, path: Path, features: np.ndarray) -> None:
        if not self._writable:
            return
        buffer = io.BytesIO()
        np.save(buffer, features, allow_pickle=False)
        content = buffer.getvalue()
        try:
            write_file(path, hashlib.sha256(content).digest() + content)
        except OSError as error:
            self._writable = False
            warnings.warn(f"Image features are not cached: {self.cache_dir} cannot be written ({error}).", stacklevel=3)
