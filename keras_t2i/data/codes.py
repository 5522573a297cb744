"""Codes: what an autoencoder makes of images, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.progress import track

from keras_t2i.core.cache import Cache
from keras_t2i.core.pixels import from_bytes
from keras_t2i.data.pipeline import CaptionedImages
from keras_t2i.data.split import Split

__all__ = ["coded"]

_TOGETHER = 16
"""Images in a file."""
_LONG = 64


def coded(
    dataset: CaptionedImages,
    encode: Callable[[np.ndarray], np.ndarray],
    fingerprint: str,
    directory: str | os.PathLike[str],
) -> CaptionedImages:
    """The same set with codes in the place of images: no step of training needs the autoencoder.

    They are kept in half precision, some images a file, by what the images show: whatever was encoded before is read,
    also where a run was stopped in the middle. With `horizontal_flip` the training images have two variants each.
    Images that are rendered anew each time are those of one rendering.

    Args:
        dataset: The images.
        encode: Images, float32 in [-1, 1], shape `(N, H, W, 3)`, to codes, shape `(N, h, w, C)`.
        fingerprint: SHA-256 of all that decides what `encode` returns.
        directory: Where to keep the files.
    """
    cache = Cache(os.path.join(directory, fingerprint[:32]), "codes of images")

    def of_split(split: Split, variants: int, what: str) -> Split:
        starts = range(0, split.num_images, _TOGETHER)
        shown = track(starts, what, console=Console(stderr=True), disable=split.num_images < _LONG)
        chunks = []
        for start in shown:
            pixels = split.pixels(np.arange(start, min(start + _TOGETHER, split.num_images)), seed=dataset.seed)
            chunks.append(np.stack([_code(cache, encode, pixels[:, :, ::way]) for way in (1, -1)[:variants]], axis=1))
        return replace(split, codes=np.concatenate(chunks))

    validation = dataset.validation_split
    return replace(
        dataset,
        train_split=of_split(dataset.train_split, 1 + dataset.horizontal_flip, "Encoding images"),
        validation_split=validation and of_split(validation, 1, "Encoding held-out images"),
    )


def _code(cache: Cache, encode: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    pixels = np.ascontiguousarray(pixels)
    name = hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    found = cache.read(name)
    if found is None or len(found) != len(pixels):
        found = encode(from_bytes(pixels.astype(np.float32))).astype(np.float16)
        cache.write(name, found)
    return np.asarray(found)
