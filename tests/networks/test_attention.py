"""Self-attention: the paper's formula, the identity at the start, and where the networks have it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import one_line

from keras_t2i import networks


def pooled(maps: np.ndarray) -> np.ndarray:
    batch, height, width, channels = maps.shape
    return maps.reshape(batch, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


@pytest.mark.parametrize("spectral", [False, True])
def test_starts_as_the_identity_and_follows_the_formula(spectral: bool) -> None:
    features = np.random.default_rng(0).normal(size=(2, 4, 6, 16)).astype(np.float32)
    layer = networks.SelfAttention(spectral)
    np.testing.assert_array_equal(layer(features), features)
    assert [part.filters for part in (layer.query, layer.key, layer.value, layer.join)] == [2, 2, 8, 16]
    layer.share.assign(0.5)

    def projected(part: Any, maps: np.ndarray) -> np.ndarray:
        kernel = part.normalized_kernel(False) if spectral else part.kernel
        return maps @ np.asarray(kernel)[0, 0]

    query = projected(layer.query, features).reshape(2, 24, 2)
    key = pooled(projected(layer.key, features)).reshape(2, 6, 2)
    value = pooled(projected(layer.value, features)).reshape(2, 6, 8)
    scores = np.exp(query @ key.transpose(0, 2, 1))
    found = (scores / scores.sum(axis=-1, keepdims=True)) @ value
    expected = features + 0.5 * projected(layer.join, found).reshape(features.shape)
    np.testing.assert_allclose(layer(features), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        networks.CompactGenerator,
        networks.CompactDiscriminator,
        networks.DCGANGenerator,
        networks.DCGANDiscriminator,
    ],
)
def test_networks_have_it_where_they_are_told(network: Any) -> None:
    plain, attentive = network(image_size=64), network(image_size=64, attention_at=16)
    for one in (plain, attentive):
        one.build_for(8)
    assert plain.attention is None
    plain_shapes, shapes = ([tuple(weight.shape) for weight in one.weights] for one in (plain, attentive))
    own = [tuple(weight.shape) for weight in attentive.attention.weights]
    assert len(own) == 5
    assert sorted(shapes) == sorted(plain_shapes + own)
    assert network.from_config(attentive.get_config()).attention_at == 16
    assert network(image_size=32, attention_at=32).attention_at == 16  # the largest that both networks have
    for impossible in (4, 20, "16"):
        with pytest.raises(ValueError, match="attention_at") as error:
            network(attention_at=impossible)
        assert repr(impossible) in one_line(error)


def test_attention_reaches_images_and_logits() -> None:
    latents, text = np.ones((2, 64), np.float32), np.ones((2, 8), np.float32)
    generator = networks.CompactGenerator(image_size=32, attention_at=16)
    generator.build_for(8)
    before = generator(latents, text).numpy()
    generator.attention.share.assign(1.0)
    assert np.abs(generator(latents, text) - before).max() > 1e-3
    discriminator = networks.CompactDiscriminator(image_size=32, attention_at=8)
    discriminator.build_for(8)
    logits = discriminator(before, text).numpy()
    discriminator.attention.share.assign(1.0)
    assert np.abs(discriminator(before, text) - logits).max() > 1e-4
