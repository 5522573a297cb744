"""Perceptual distance: how different two images look, as a frozen network's feature maps see them."""

from __future__ import annotations

import itertools
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_t2i.core.pixels import from_bytes

__all__ = ["SupportsMaps", "diversity_within_caption", "perceptual_distances"]

_PAIRS_AT_ONCE = 32


class SupportsMaps(Protocol):
    """What the distance needs of image features: their maps of images in [-1, 1], shape `(B, H, W, 3)`."""

    def maps(self, images: tf.Tensor) -> list[tf.Tensor]: ...


def perceptual_distances(features: SupportsMaps, images_a: np.ndarray, images_b: np.ndarray) -> np.ndarray:
    """Returns the perceptual distance of each image to its counterpart.

    Feature vectors at each place of each map are scaled to unit length, and their squared differences summed over
    channels, averaged over places and then over maps. This is the distance of Zhang et al. 2018 (LPIPS,
    arXiv:1801.03924) without its learned channel weights: the numbers are comparable among themselves, with the same
    features, and not with LPIPS.

    Args:
        features: Image features with maps.
        images_a: uint8, shape `(N, H, W, 3)`.
        images_b: Their counterparts, of the same shape.

    Returns:
        Distances between 0 (the same) and 4, float64, shape `(N,)`.

    Raises:
        ValueError: if the images are no uint8 images or differ in shape, or the features have no maps.
    """
    images_a, images_b = np.asarray(images_a), np.asarray(images_b)
    _check(images_a, 4, "(N, H, W, 3)")
    _check(images_b, 4, "(N, H, W, 3)")
    if images_a.shape != images_b.shape:
        raise ValueError(f"Images are compared in pairs of one shape; got {images_a.shape} and {images_b.shape}.")
    distances = np.empty(len(images_a), np.float64)
    for start in range(0, len(images_a), _PAIRS_AT_ONCE):
        pairs = slice(start, start + _PAIRS_AT_ONCE)
        maps = _unit_maps(features, np.concatenate([images_a[pairs], images_b[pairs]]))
        halves = [np.split(each, 2) for each in maps]
        distances[pairs] = _distances([a for a, _ in halves], [b for _, b in halves])
    return distances


def diversity_within_caption(features: SupportsMaps, images: np.ndarray) -> float:
    """Returns how different images of the same caption look: zero where latents change nothing.

    Args:
        features: Image features with maps.
        images: At least two images for each caption, uint8, shape `(num_captions, num_images, H, W, 3)`.

    Returns:
        The mean perceptual distance over all pairs of different images of the same caption.

    Raises:
        ValueError: if the images are of another type or shape, or the features have no maps.
    """
    images = np.asarray(images)
    _check(images, 5, "(num_captions, num_images, H, W, 3)")
    num_captions, num_images = images.shape[:2]
    if num_captions < 1 or num_images < 2:
        raise ValueError(
            f"Diversity within a caption needs at least 1 caption and 2 images of each; got {num_captions} and "
            f"{num_images}."
        )
    at_once = max(1, _PAIRS_AT_ONCE // num_images)
    distances = []
    for start in range(0, num_captions, at_once):
        some = images[start : start + at_once]
        maps = _unit_maps(features, some.reshape(-1, *images.shape[2:]))
        maps = [each.reshape(len(some), num_images, *each.shape[1:]) for each in maps]
        for i, j in itertools.combinations(range(num_images), 2):
            distances.append(_distances([each[:, i] for each in maps], [each[:, j] for each in maps]))
    return float(np.concatenate(distances).mean())


def _check(images: np.ndarray, rank: int, shape: str) -> None:
    if images.dtype != np.uint8 or images.ndim != rank or images.shape[-1] != 3:
        raise ValueError(f"Expected uint8 images of shape {shape}; got {images.dtype} of shape {images.shape}.")


def _unit_maps(features: SupportsMaps, images: np.ndarray) -> list[np.ndarray]:
    # Each distinct image once: on some processors the last bits depend on an image's place in the batch.
    distinct, places = np.unique(images.reshape(len(images), -1), axis=0, return_inverse=True)
    pixels = tf.constant(distinct.reshape(-1, *images.shape[1:]), tf.float32)
    maps = features.maps(from_bytes(pixels))
    return [tf.math.l2_normalize(each, axis=-1, epsilon=1e-10).numpy()[places] for each in maps]


def _distances(maps_a: list[np.ndarray], maps_b: list[np.ndarray]) -> np.ndarray:
    per_map = [((a - b) ** 2).sum(axis=3).mean(axis=(1, 2)) for a, b in zip(maps_a, maps_b, strict=True)]
    return np.mean(per_map, axis=0)
