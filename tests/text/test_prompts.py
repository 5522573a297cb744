"""Ensembles of templates."""

from __future__ import annotations

import numpy as np
import pytest
from checks import move_weights, one_line, tiny_gan

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import PROMPT_TEMPLATES, TextEncoder, prompt_ensemble


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.from_preset("caption_mini_en")


@pytest.fixture(scope="module")
def gan(encoder: TextEncoder) -> TextToImageGAN:
    gan = tiny_gan("dcgan", encoder)
    move_weights(gan.generator, 0.3)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    return gan


def test_an_ensemble_is_the_mean_of_its_templates_on_the_encoder_s_scale(encoder: TextEncoder) -> None:
    concepts = ["a red star", "a blue circle"]
    both = prompt_ensemble(encoder, concepts)
    assert both.shape == (2, encoder.embedding_dim)
    assert both.dtype == np.float32
    np.testing.assert_allclose(np.sqrt(np.mean(both**2, axis=1)), 1.0, atol=1e-5)
    parts = encoder.encode([template.replace("{}", concepts[0]) for template in PROMPT_TEMPLATES])
    mean = parts.mean(axis=0)
    np.testing.assert_allclose(both[0], mean / np.sqrt(np.mean(mean**2)), atol=1e-5)
    nearer = (parts @ both[0]).mean()
    assert all(nearer > (parts @ part).mean() - part @ part / len(parts) for part in parts)
    alone = prompt_ensemble(encoder, "a red star", ["{}"])[0]
    np.testing.assert_allclose(alone, encoder.encode(["a red star"])[0], atol=1e-6)
    np.testing.assert_array_equal(prompt_ensemble(encoder, concepts[1])[0], both[1])


def test_an_ensemble_can_be_drawn(gan: TextToImageGAN) -> None:
    images = gan.generate_from_embeddings(np.repeat(prompt_ensemble(gan.text_encoder, "a red star"), 3, axis=0))
    assert images.shape == (3, 32, 32, 3)
    alone = gan.generate_from_embeddings(prompt_ensemble(gan.text_encoder, "a red star", ["{}"]))
    np.testing.assert_array_equal(alone, gan.generate(["a red star"]))


def test_wrong_templates_scores_and_encoders_say_so(gan: TextToImageGAN) -> None:
    with pytest.raises(ValueError, match=r"exactly one \{\}.*'a star'") as error:
        prompt_ensemble(gan.text_encoder, "a red star", ["a star"])
    one_line(error)
    with pytest.raises(ValueError, match="got 0 concepts") as error:
        prompt_ensemble(gan.text_encoder, [])
    one_line(error)
    with pytest.raises(ValueError, match="token numbers, which have no mean") as error:
        prompt_ensemble(TextEncoder.from_preset("from_scratch"), "a red star")
    one_line(error)
