"""Perceptual distance: zero for the same image, larger the more an image is changed, as its definition says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from tiny_image_networks import tiny_network

from keras_t2i.image_features import ImageFeatures
from keras_t2i.metrics.perceptual import diversity_within_caption, perceptual_distances

GENERATOR = np.random.default_rng(0)
# Smooth enough that noise is a visible change.
IMAGES = GENERATOR.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8).repeat(5, axis=1).repeat(5, axis=2)


@pytest.fixture(scope="module")
def features() -> ImageFeatures:
    return ImageFeatures(tiny_network(), "tiny-16")


def noisy(images: np.ndarray, strength: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(scale=strength, size=images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def test_the_distance_is_zero_for_the_same_image_and_grows_with_the_change(features: ImageFeatures) -> None:
    assert (perceptual_distances(features, IMAGES, IMAGES) == 0).all()
    means = [perceptual_distances(features, IMAGES, noisy(IMAGES, strength)).mean() for strength in (5, 20, 80)]
    assert 0 < means[0] < means[1] < means[2] < 4


def test_the_distance_is_symmetric_and_that_of_each_pair(features: ImageFeatures) -> None:
    forward = perceptual_distances(features, IMAGES, IMAGES[::-1])
    assert forward.shape == (40,)
    np.testing.assert_allclose(forward, forward[::-1], rtol=1e-5)
    alone = perceptual_distances(features, IMAGES[3:4], IMAGES[36:37])
    np.testing.assert_allclose(alone, forward[3:4], rtol=1e-4)


def test_the_distance_equals_its_definition(features: ImageFeatures) -> None:
    a, b = (features.maps(tf.constant(each, tf.float32) / 127.5 - 1.0) for each in (IMAGES[:1], IMAGES[1:2]))
    layers = []
    for map_a, map_b in zip(a, b, strict=True):
        places = []
        for vector_a, vector_b in zip(*(np.reshape(each, (-1, each.shape[3])) for each in (map_a, map_b)), strict=True):
            units = [v / np.linalg.norm(v) if v.any() else v for v in (vector_a, vector_b)]
            places.append(np.sum((units[0] - units[1]) ** 2))
        layers.append(np.mean(places))
    distance = perceptual_distances(features, IMAGES[:1], IMAGES[1:2])
    np.testing.assert_allclose(distance, [np.mean(layers)], rtol=1e-3)


def test_diversity_is_the_mean_over_pairs_of_the_same_caption(features: ImageFeatures) -> None:
    images = IMAGES[:39].reshape(13, 3, *IMAGES.shape[1:])  # more than the network sees at once
    pairs = [(caption, i, j) for caption in range(13) for i, j in itertools.combinations(range(3), 2)]
    a, b = (np.stack([images[pair[0], pair[side]] for pair in pairs]) for side in (1, 2))
    expected = perceptual_distances(features, a, b).mean()
    assert diversity_within_caption(features, images) == pytest.approx(expected, rel=1e-4)
    alike = np.repeat(images[:, :1], 3, axis=1)  # captions differ, latents change nothing
    assert diversity_within_caption(features, alike) == 0.0


def test_wrong_images_are_refused_in_one_line(features: ImageFeatures) -> None:
    with pytest.raises(ValueError, match=r"uint8 images of shape \(N, H, W, 3\); got float64"):
        perceptual_distances(features, IMAGES / 255, IMAGES / 255)
    with pytest.raises(ValueError, match="one shape"):
        perceptual_distances(features, IMAGES, IMAGES[:3])
    with pytest.raises(ValueError, match=r"\(num_captions, num_images, H, W, 3\)"):
        diversity_within_caption(features, IMAGES)
    with pytest.raises(ValueError, match="got 40 and 1"):
        diversity_within_caption(features, IMAGES[:, None])
