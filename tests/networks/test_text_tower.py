"""Networks that read token numbers: every family sees each token, its place, and nothing of the padding."""

from __future__ import annotations

import functools
import json

import keras
import numpy as np
import pytest
from checks import FAMILIES, LATENT_DIM, make_batch, make_latents, move_weights, tiny_networks

from keras_t2i import networks
from keras_t2i.networks import TextTower

VOCABULARY = 1000
IDS = np.array([[2, 7, 0, 0, 0, 0], [2, 999, 7, 3, 0, 0], [2, 998, 7, 3, 0, 0], [7, 2, 0, 0, 0, 0]], np.float32)


@functools.cache
def reading(family: str, dtype: str = "float32") -> tuple[networks.Generator, networks.Discriminator]:
    """Networks of a family with weights of their own, which no test changes."""
    pair = tiny_networks(family, vocabulary_size=VOCABULARY, dtype=dtype)
    for network in pair:
        network.build_for(IDS.shape[1])
        move_weights(network)
    return pair


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_every_family_reads_token_numbers_exactly(family: str, dtype: str) -> None:
    """998 and 999 would be one number in bfloat16."""
    latents, images = np.zeros((4, LATENT_DIM), np.float32), np.zeros((4, 32, 32, 3), np.float32)
    for network, first in zip(reading(family, dtype), (latents, images), strict=True):
        outputs = network(first, IDS, training=False).numpy()
        for one, other in ((0, 1), (1, 2), (0, 3)):
            assert np.abs(outputs[one] - outputs[other]).max() > 1e-5, (one, other)


@pytest.mark.parametrize("family", FAMILIES)
def test_configuration_and_weights_restore_the_tower(family: str, tmp_path: object) -> None:
    for network, first in zip(reading(family), (make_latents(), make_batch()["images"]), strict=True):
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(network)))
        restored = keras.saving.deserialize_keras_object(config)
        restored.build_for(IDS.shape[1])
        network.save_weights(tmp_path / "network.weights.h5")  # type: ignore[operator]
        restored.load_weights(tmp_path / "network.weights.h5")  # type: ignore[operator]
        np.testing.assert_array_equal(network(first, IDS, training=False), restored(first, IDS, training=False))


def test_adapt_has_nothing_to_set() -> None:
    for network in reading("mlp"):
        before = [weight.numpy().copy() for weight in network.weights]
        network.adapt(IDS)
        assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, network.weights, strict=True))


def test_padding_changes_nothing() -> None:
    tower = TextTower(VOCABULARY)
    short = tower(IDS[:, :4])
    np.testing.assert_allclose(tower(IDS), short, atol=1e-6)
    assert short.shape == (4, 128)
    assert 0.1 < np.asarray(short).std() < 10  # of the size of sentence embeddings, which have 1
    assert np.isfinite(tower(np.zeros((1, 6), np.float32))).all()
