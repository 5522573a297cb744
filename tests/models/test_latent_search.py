"""Completion by search: noise is found that draws what is known, and only the hole is drawn by it."""

from __future__ import annotations

import numpy as np
import pytest
from checks import make_latents, move_weights, tiny_gan

from keras_t2i.core.pixels import from_bytes, to_uint8
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.models.latent_search import completed_by_search


@pytest.fixture(scope="module")
def gan() -> TextToImageGAN:
    gan = tiny_gan("compact")
    move_weights(gan.generator, 0.2)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    return gan


def test_noise_is_found_that_draws_the_hole_as_it_was(gan: TextToImageGAN) -> None:
    text = np.random.default_rng(0).normal(size=(3, gan.embedding_dim)).astype(np.float32)
    drawn = to_uint8(gan.drawer(make_latents(3, seed=1), text, training=False).numpy())
    pictures = from_bytes(drawn.astype(np.float32))
    masks = np.zeros((3, 32, 32, 1), np.float32)
    masks[:, 8:20, 10:22] = 1
    hole = masks[..., 0] == 1
    start = make_latents(3, seed=2)
    before = to_uint8(gan.drawer(start, text, training=False).numpy())
    found = completed_by_search(gan.drawer, start, text, pictures, masks)
    np.testing.assert_array_equal(found[~hole], drawn[~hole])

    def off(images: np.ndarray) -> float:
        return float(np.abs(images.astype(float) - drawn)[hole].mean())

    assert off(found) < 0.5 * off(before)
    alone = completed_by_search(gan.drawer, start[1:2], text[1:2], pictures[1:2], masks[1:2])
    np.testing.assert_array_equal(alone[0], found[1])  # Whatever else is completed with it.
