"""The search for the template that serves a goal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from checks import move_weights, one_line, tiny_gan
from search_templates import search_templates

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import TextEncoder


@pytest.fixture(scope="module")
def gan() -> TextToImageGAN:
    gan = tiny_gan("dcgan", TextEncoder.from_preset("caption_mini_en"))
    move_weights(gan.generator, 0.3)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    return gan


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


def test_a_score_that_is_no_number_is_refused(gan: TextToImageGAN) -> None:
    with pytest.raises(ValueError, match=r"not a number for the template 'a \{\}'") as error:
        search_templates(gan, ["a {}"], "star", lambda images, captions: float("nan"))
    one_line(error)
