"""A branch that images guide: what it trains, that it learns, and that everything downstream takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checks import EMBEDDING_DIM, make_batch, make_latents, tensors
from pretrained_models import CAPTIONS, check_only_the_plan_moves, fit, pretrained, refusal

from keras_t2i import TextToImageGAN, transfer
from keras_t2i.models.recipes import family_of
from keras_t2i.networks import GuidedGenerator
from keras_t2i.objectives.consistency import Consistency
from keras_t2i.transfer.strategies import apply, is_frozen


@pytest.mark.parametrize(("family", "spec"), [("compact", "complete:width=4"), ("projected", "enlarge:width=4")])
def test_the_branch_and_the_discriminator_are_trained_and_nothing_else(family: str, spec: str) -> None:
    gan = pretrained(family)
    latents, text = make_latents(3), CAPTIONS[:3]
    expected = gan.ema_generator(latents, text, training=False)
    plan = apply(spec, gan)
    check_only_the_plan_moves(gan, plan)
    trained = {weight.layer.partition("/")[0] for weight in plan.trained if weight.network == "generator"}
    assert {name.partition("_")[0] for name in trained} == {"reader", "addition"}
    np.testing.assert_array_equal(gan.ema_generator(latents, text, training=False), expected)
    assert is_frozen(spec)
    assert family_of(gan) == family


def test_a_model_with_a_second_stage_draws_from_sketches() -> None:
    gan = pretrained()
    apply("upscale:width=8:depth=1", gan)
    plan = apply("sketch:width=4", gan)
    check_only_the_plan_moves(gan, plan)
    paper = np.ones((2, 64, 64, 3), np.float32)
    paper[1, 20:24] = -1
    given = np.asarray(gan.drawer.asked(paper)["image_input"])
    blank, drawn = gan.sampler.completed(make_latents(1).repeat(2, axis=0), CAPTIONS[:1].repeat(2, axis=0), given)
    assert blank.shape == (64, 64, 3)
    assert (blank != drawn).any()


@pytest.mark.parametrize(
    ("family", "image_input", "weight"),
    [("compact", "sketch", 10), ("projected", "sketch", 60), ("projected", "complete", 10)],
)
def test_what_is_given_counts_more_where_the_discriminator_pulls_harder(
    family: str, image_input: str, weight: float
) -> None:
    """Else `projected` is obeyed alone: after 3,600 steps nothing of a sketch was followed."""
    (term,) = transfer.guide(pretrained(family), image_input, width=4).terms
    assert isinstance(term, Consistency)
    assert term.weight == weight


def test_what_is_known_is_learned_within_some_steps() -> None:
    gan = pretrained()
    plan = transfer.guide(gan, width=8)
    gan.compile(generator_terms=plan.terms, penalty=None)
    batch = tensors(make_batch(16, seed=9))
    network = gan.generator

    def off() -> float:
        condition = {"sentence_embeddings": batch["sentence_embeddings"], **network.given(batch["images"], 3)}
        drawing = network(make_latents(16), network.select(condition), training=False)
        return float(plan.terms[0](None, {**batch, **condition, "drawing": drawing}))

    before = off()
    fit(gan, steps=60)
    assert off() < 0.85 * before


def test_a_step_judges_whole_images_of_which_a_part_was_hidden() -> None:
    gan = pretrained()
    plan = transfer.guide(gan, width=4)
    seen = []
    gan.compile(generator_terms=[*plan.terms, lambda images, batch: seen.append((images, batch)) or 0.0], penalty=None)
    batch = tensors(make_batch(4))
    condition = {"sentence_embeddings": batch["sentence_embeddings"]}
    gan.losses_of({"images": batch["images"], "condition": condition}, 4, training=True)
    ((judged, inputs),) = seen
    mask = np.asarray(inputs["image_input"])[..., 3:]
    assert 0 < mask.mean() < 1
    np.testing.assert_array_equal(judged * (1 - mask), batch["images"] * (1 - mask))
    assert np.abs((judged - batch["images"]) * mask).mean() > 0.01
    _, numbers = gan.losses_of({"images": batch["images"], "condition": condition}, 4, training=False)
    known = np.asarray(numbers["generated"] == batch["images"]).all(axis=-1)
    assert known[mask[..., 0] == 0].all()


@pytest.mark.parametrize("image_input", ["complete", "colorize"])
def test_presets_complete_the_same_pixels(image_input: str, tmp_path: Path) -> None:
    gan = pretrained()
    plan = apply(f"{image_input}:width=4", gan)
    gan.compile(generator_terms=plan.terms, penalty=None, run_eagerly=True)
    fit(gan)
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    assert isinstance(loaded.drawer, GuidedGenerator)
    assert loaded.drawer.image_input == image_input
    assert loaded.fingerprint() == gan.fingerprint()
    batch = tensors(make_batch(2))
    drawn = []
    for model in (gan, loaded):
        given = model.drawer.given(batch["images"], 1)["image_input"]
        drawn.append(model.sampler.completed(make_latents(2), CAPTIONS[:2], np.asarray(given)))
    np.testing.assert_array_equal(*drawn)


def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path) -> None:
    assert "no MLPGenerator" in refusal(apply, "complete", pretrained("mlp"))
    assert "must be at least 0; got -1" in refusal(Consistency, "complete", weight=-1)
    gan = pretrained()
    apply("complete:width=4", gan)
    assert "no GuidedGenerator" in refusal(apply, "edges", gan)
    assert "enlarges what a generator draws from captions alone" in refusal(apply, "upscale", gan)
    assert not list(tmp_path.iterdir())
    embeddings = tf.zeros((1, EMBEDDING_DIM))
    assert gan.drawer(make_latents(1), embeddings).shape == (1, 32, 32, 3)
