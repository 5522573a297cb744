"""Ensembles of templates, and the search for the template that serves a goal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from checks import move_weights, one_line, tiny_gan

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import PROMPT_TEMPLATES, TextEncoder, prompt_ensemble, search_templates


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


def test_search_ranks_templates_by_the_goal(gan: TextToImageGAN) -> None:
    templates = ["{}", "a picture of {}", "{}, at night"]
    concepts = ["a red star", "a blue circle"]
    asked: list[Sequence[str]] = []

    def brightness(images: np.ndarray, captions: Sequence[str]) -> float:
        asked.append(list(captions))
        return float(images.mean())

    ranked = search_templates(gan, templates, concepts, brightness, num_images=2, seed=5)
    assert asked == [["a red star"] * 2 + ["a blue circle"] * 2] * 3
    assert sorted(entry.template for entry in ranked) == sorted(templates)
    assert ranked[0].score > ranked[-1].score
    for entry in ranked:
        prompts = [entry.template.replace("{}", concept) for concept in concepts]
        assert entry.score == gan.generate(prompts, num_images=2, seed=5).mean()
    assert [entry.score for entry in ranked] == sorted((entry.score for entry in ranked), reverse=True)
    equal = search_templates(gan, templates, "a red star", lambda images, captions: 1.0, num_images=1)
    assert [entry.template for entry in equal] == templates


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
    with pytest.raises(ValueError, match=r"not a number for the template 'a \{\}'") as error:
        search_templates(gan, ["a {}"], "star", lambda images, captions: float("nan"))
    one_line(error)
