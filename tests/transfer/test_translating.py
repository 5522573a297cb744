"""Translated drawings: what is trained, what stays, that a look is learned, and that all downstream takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checks import make_batch, make_latents, tensors
from pretrained_models import CAPTIONS, check_exports_draw_the_same, fit, moved, pretrained, refusal, values

from keras_t2i import TextToImageGAN, transfer
from keras_t2i.networks import TranslatedGenerator
from keras_t2i.networks.outlines import moved as moved_images
from keras_t2i.networks.translated import Translator
from keras_t2i.objectives.translating import Translating
from keras_t2i.transfer.strategies import apply


@pytest.mark.parametrize("family", ["compact", "projected"])
def test_a_network_behind_the_generator_learns_and_the_discriminator(family: str) -> None:
    gan = pretrained(family)
    plan = apply("translate:width=4:depth=1", gan)
    assert isinstance(gan.generator, TranslatedGenerator)
    trained = {weight.path for weight in plan.trained}
    of_generator = {path.split("/")[1] for path in trained if path.startswith("generator/")}
    assert of_generator == {"translator"}
    assert (plan.terms[0].maps is not None) == (family == "projected")
    before = {side: values(gan, side) for side in ("generator", "discriminator")}
    gan.compile(generator_terms=plan.terms, run_eagerly=True)
    fit(gan)
    changed = set().union(*(moved(before[side], values(gan, side)) for side in before))
    assert {path for path in changed if not path.endswith("/direction")} <= trained  # Of spectral norms, no weight.
    assert {path for path in trained if path.startswith("generator/")} <= changed


def test_drawing_and_image_are_moved_alike() -> None:
    images = tf.constant(make_batch(6, 32)["images"])
    pairs = moved_images(tf.concat([images, -images], axis=-1), seed=3)
    np.testing.assert_allclose(pairs[..., :3], -pairs[..., 3:], atol=1e-5)
    assert np.abs(pairs[..., :3] - images).max() > 0.1


def test_what_is_compared_is_what_a_drawing_becomes_with_its_image() -> None:
    gan = pretrained()
    transfer.translate(gan, width=4, depth=1)
    generator, batch = gan.generator, tensors(make_batch(4, gan.image_size))
    latents, text = make_latents(4), batch["sentence_embeddings"]
    term = Translating(lambda images: [images[:, ::2, ::2]], pixel_weight=3.0, feature_weight=2.0)
    drawn = generator.source(latents, text, training=False)
    pairs = moved_images(tf.concat([drawn, batch["images"]], axis=-1), seed=5)
    translated, images = term.draw(generator, batch["images"], latents, text, seed=5)
    np.testing.assert_allclose(images, pairs[..., 3:], atol=1e-6)
    np.testing.assert_allclose(translated, generator.translator(pairs[..., :3], training=True), atol=1e-6)
    assert float(term(translated, {"images": images})) > float(term(images, {"images": images})) == 0
    with tf.GradientTape() as tape:
        loss = term(*(lambda made: (made[0], {"images": made[1]}))(term.draw(generator, images, latents, text, seed=5)))
    gradients = tape.gradient(loss, generator.translator.trainable_variables)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_a_look_is_learned_and_what_is_drawn_stays() -> None:
    """The new pictures are what the model draws, inverted: so are its drawings of other captions then."""
    gan = pretrained()
    source = gan.ema_generator
    plan = transfer.translate(gan, width=8, depth=1, pixels=100.0)
    gan.compile(generator_terms=plan.terms, penalty=None, generator_optimizer=tf.keras.optimizers.Adam(3e-3))
    text = np.repeat(CAPTIONS[:6], 40, axis=0)
    drawn = source(make_latents(len(text)), text, training=False)
    batches = {"images": -drawn, "sentence_embeddings": tf.constant(text), "latents": make_latents(len(text))}
    gan.fit(tf.data.Dataset.from_tensor_slices(batches).batch(8), verbose=0, epochs=3)
    latents, others = make_latents(6), CAPTIONS[6:]
    before = source(latents, others, training=False).numpy()
    after = gan.generator(latents, others, training=False).numpy()
    assert np.mean(np.abs(after + before)) < 0.5 * np.mean(np.abs(before - before.mean()))


def test_what_is_beyond_white_learns_to_come_back() -> None:
    translator = Translator(4, 1)
    images = tf.zeros((2, 32, 32, 3))
    translator(images)
    translator.to_image.convolution.bias.assign([3.0, 3.0, 3.0])
    np.testing.assert_array_equal(translator(images), np.ones((2, 32, 32, 3)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(translator(images, training=True) + 0.5))
    assert np.all(tape.gradient(loss, translator.to_image.convolution.bias) > 0)


def test_presets_and_exports_draw_the_same_pixels(tmp_path: Path) -> None:
    gan = pretrained()
    transfer.translate(gan, width=4, depth=1)
    latents, text = make_latents(2), CAPTIONS[:2]
    expected = gan.ema_generator(latents, text, training=False).numpy()
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    assert isinstance(loaded.generator, TranslatedGenerator)
    np.testing.assert_array_equal(loaded.ema_generator(latents, text, training=False), expected)
    check_exports_draw_the_same(gan, tmp_path)


def test_what_cannot_be_is_refused_in_a_line() -> None:
    guided = pretrained()
    transfer.guide(guided, "edges", width=4)
    assert "images guide this one" in refusal(transfer.translate, guided)
    assert "must be at least 1; got 0 and 3" in refusal(transfer.translate, pretrained(), width=0)
    assert "must be at least 0; got -1" in refusal(transfer.translate, pretrained(), pixels=-1.0)
