"""Distillation: the discriminator learns to see what a frozen network sees, and its judgement is left alone."""

import keras
import numpy as np
import pytest
from checks import built_networks, one_line
from distill import distill
from tiny_image_networks import tiny_network

from keras_t2i.image_features import ImageFeatures

JUDGING = ("to_realness", "project_image", "project_text")


@pytest.fixture
def features():
    keras.utils.set_random_seed(0)
    return ImageFeatures(tiny_network(32), "tiny")


def _pixels(count=64):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def test_the_trunk_learns_and_what_judges_stays_to_the_bit(features):
    _, discriminator = built_networks("compact")
    judging = [layer for name in JUDGING for layer in getattr(discriminator, name).weights]
    judging_before = [weight.numpy().copy() for weight in judging]
    frozen = [weight.copy() for weight in features.network.get_weights()]
    trunk = [weight for weight in discriminator.trainable_weights if id(weight) not in set(map(id, judging))]
    trunk_before = [weight.numpy().copy() for weight in trunk]
    losses = distill(discriminator, features, _pixels(), steps=80, batch_size=16, learning_rate=5e-3)
    assert len(losses) == 80
    assert 0.5 < losses[0] < 10
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    for weight, before in zip([*judging, *features.network.weights], [*judging_before, *frozen], strict=True):
        np.testing.assert_array_equal(weight, before)
    for weight, before in zip(trunk, trunk_before, strict=True):
        assert np.abs(weight.numpy() - before).max() > 0, weight.path


def test_the_seed_decides(features):
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        _, discriminator = built_networks("compact")
        distill(discriminator, features, _pixels(16), steps=3, batch_size=8, seed=4)
        weights.append(discriminator.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_discriminators_without_maps_and_features_without_a_common_height_are_refused(features):
    with pytest.raises(ValueError, match="DCGANDiscriminator has none") as error:
        distill(built_networks("dcgan")[1], features, _pixels(8), steps=1)
    one_line(error)
    small = ImageFeatures(tiny_network(6), "small")
    with pytest.raises(ValueError, match="with another `image_size`") as error:
        distill(built_networks("compact")[1], small, _pixels(8), steps=1)
    one_line(error)
