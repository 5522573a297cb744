"""A second stage: what it trains, that forms and captions stay, and that everything downstream takes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checks import make_batch, make_latents, tensors
from command_line import keras_t2i, write_images, write_rows
from pretrained_models import (
    CAPTIONS,
    check_exports_draw_the_same,
    check_only_the_plan_moves,
    fit,
    moved,
    pretrained,
    refusal,
    values,
)

from keras_t2i import TextToImageGAN, networks, transfer
from keras_t2i.core.files import write_checksums
from keras_t2i.core.pixels import resize
from keras_t2i.models.recipes import family_of
from keras_t2i.networks.upscaled import UpscaledGenerator, Upscaler
from keras_t2i.objectives.losses import perceptual_loss
from keras_t2i.objectives.redrawing import Redrawing
from keras_t2i.transfer.strategies import apply, image_size


@pytest.fixture(scope="module")
def upscaled() -> TextToImageGAN:
    gan = pretrained()
    plan = transfer.upscale(gan, width=8, depth=1)
    gan.compile(generator_terms=plan.terms, penalty=None, run_eagerly=True)
    fit(gan)
    return gan


@pytest.mark.parametrize("family", ["projected", "dcgan"])
def test_the_second_stage_and_its_judge_are_trained_and_nothing_else(family: str) -> None:
    gan = pretrained(family)
    latents, text = make_latents(3), CAPTIONS[:3]
    small = gan.ema_generator(latents, text, training=False)
    plan = apply("upscale:width=8:depth=1", gan)
    assert gan.image_size == 64
    check_only_the_plan_moves(gan, plan)
    trained = {weight.layer.partition("/")[0] for weight in plan.trained if weight.network == "generator"}
    assert trained == {"upscaler"}
    assert not [weight for weight in plan.statistics if weight.network == "generator"]
    np.testing.assert_array_equal(gan.ema_generator.source(latents, text, training=False), small)


def test_at_first_images_are_the_source_s_enlarged() -> None:
    gan = pretrained()
    latents, text = make_latents(3), CAPTIONS[:3]
    small = gan.ema_generator(latents, text, training=False)
    transfer.upscale(gan, image_size=128)
    images = gan.ema_generator(latents, text, training=False)
    assert images.shape == (3, 128, 128, 3)
    enlarged = resize(resize(small, 64), 128)
    assert np.mean(np.abs(images - enlarged)) < 0.1 * np.mean(np.abs(enlarged - np.mean(enlarged)))


def test_half_of_what_is_judged_is_real_images_redrawn(upscaled: TextToImageGAN) -> None:
    generator, batch = upscaled.generator, tensors(make_batch(5, 64))
    latents, text = make_latents(5), batch["sentence_embeddings"]
    term = Redrawing(lambda images: [images, images[:, ::2, ::2]], pixel_weight=3.0, feature_weight=2.0)
    drawn, _ = term.draw(generator, batch["images"], latents, text, seed=0)
    redrawn = generator.upscaler(resize(batch["images"][:2], 32), training=True)
    np.testing.assert_allclose(drawn[:2], redrawn, atol=1e-6)
    np.testing.assert_allclose(drawn[2:], generator(latents[2:], text[2:], training=True), atol=1e-6)
    real = batch["images"][:2]
    features = perceptual_loss([redrawn, redrawn[:, ::2, ::2]], [real, real[:, ::2, ::2]])
    expected = 3.0 * np.mean(np.abs(redrawn - real)) + 2.0 * features
    np.testing.assert_allclose(term(drawn, batch), expected, rtol=1e-5)
    same = tf.concat([real, drawn[2:]], axis=0)
    np.testing.assert_allclose(term(same, batch), 0, atol=1e-5)


def test_a_few_steps_bring_redrawn_images_nearer_to_themselves() -> None:
    gan = pretrained()
    plan = transfer.upscale(gan, width=8, depth=1)
    assert plan.terms[0].maps is None  # This discriminator has no frozen network to see with.
    gan.compile(generator_terms=[Redrawing(pixel_weight=300.0)], penalty=None)
    images = tf.constant(make_batch(16, 64, seed=9)["images"])

    def off() -> float:
        return float(np.mean(np.abs(gan.generator.upscaler(resize(images, 32)) - images)))

    before = off()
    fit(gan, steps=60)
    assert off() < 0.7 * before


def test_what_is_drawn_beyond_white_learns_to_come_back() -> None:
    upscaler = Upscaler(2, width=8, depth=1)
    images = tf.zeros((2, 32, 32, 3))
    upscaler(images)
    upscaler.to_image.bias.assign([3.0, 3.0, 3.0])
    np.testing.assert_array_equal(upscaler(images), np.ones((2, 64, 64, 3)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(upscaler(images, training=True) + 0.5))
    assert np.all(tape.gradient(loss, upscaler.to_image.bias) > 0)


def test_presets_and_exports_draw_the_same_pixels(upscaled: TextToImageGAN, tmp_path: Path) -> None:
    latents, text = make_latents(2), CAPTIONS[:2]
    expected = upscaled.ema_generator(latents, text, training=False).numpy()
    upscaled.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    assert isinstance(loaded.generator, UpscaledGenerator)
    assert family_of(loaded) == "compact"
    np.testing.assert_array_equal(loaded.ema_generator(latents, text, training=False), expected)
    check_exports_draw_the_same(upscaled, tmp_path)


def test_nothing_but_a_generator_may_stand_inside(upscaled: TextToImageGAN, tmp_path: Path) -> None:
    upscaled.save_to_preset(tmp_path / "preset")
    config = json.loads((tmp_path / "preset" / "config.json").read_text())
    config["generator"]["config"]["source"] = {
        **{"module": "keras.layers", "class_name": "Lambda", "registered_name": None},
        "config": {"function": "evil"},
    }
    shutil.copytree(tmp_path / "preset", tmp_path / "evil")
    (tmp_path / "evil" / "config.json").write_text(json.dumps(config))
    write_checksums(tmp_path / "evil")
    assert "'Lambda' is not a generator" in refusal(TextToImageGAN.from_preset, tmp_path / "evil")


def test_all_of_it_can_be_trained_on(upscaled: TextToImageGAN, tmp_path: Path) -> None:
    upscaled.save_to_preset(tmp_path / "preset")
    gan = TextToImageGAN.from_preset(tmp_path / "preset")
    plan = transfer.full(gan)
    assert not plan.frozen or all("text" in weight.name for weight in plan.frozen)
    gan.compile(generator_terms=plan.terms, penalty=None, run_eagerly=True)
    before = values(gan, "generator")
    fit(gan)
    assert any("source" in path for path in moved(before, values(gan, "generator")))


def test_the_command_trains_goes_on_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_rows(tmp_path / "images", write_images(tmp_path / "images", 12))
    common = ("--batch-size", 4)
    first = keras_t2i("train", "images", "-o", "small", "--family", "mlp", "--image-size", 32, "--epochs", 1, *common)
    assert first.code == 0, first.err
    command = ("finetune", "small", "images", "--strategy", "upscale", *common)
    for epochs, output in ((2, "whole"), (1, "parts"), (2, "parts")):
        done = keras_t2i(*command, "-o", output, "--epochs", epochs)
        assert done.code == 0, done.err
    whole, parts = TextToImageGAN.from_preset("whole"), TextToImageGAN.from_preset("parts")
    assert whole.image_size == 64
    for ours, theirs in zip(whole.ema_generator.get_weights(), parts.ema_generator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    source = TextToImageGAN.from_preset("small").ema_generator
    for ours, theirs in zip(source.get_weights(), whole.ema_generator.source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    drawn = keras_t2i("generate", "whole", "picture number 3", "-n", 1, "-o", "drawn")
    assert drawn.code == 0, drawn.err
    measured = keras_t2i("evaluate", "whole", "--features", "none")
    assert measured.code == 0, measured.err


def test_what_cannot_be_done_is_said_in_one_line() -> None:
    assert image_size("upscale", 64) == 128
    assert image_size("upscale:image_size=256+freeze_d", 64) == 256
    assert "2 or 4 times as large: of 64 pixels not 100" in refusal(image_size, "upscale:image_size=100", 64)
    assert "must be one of 32, 64, 128, 256; got 512" in refusal(
        UpscaledGenerator, networks.CompactGenerator(256), image_size=512
    )
    assert "are enlarged 2 or 4 times, not to 256 pixels" in refusal(
        UpscaledGenerator, networks.CompactGenerator(32), image_size=256
    )
    assert "must be at least 0; got -1" in refusal(Redrawing, pixel_weight=-1)
