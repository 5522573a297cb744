"""Unconditional: any family without captions, with the losses of a plain GAN, from training to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checks import FAMILIES, make_batch, tiny_gan

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.presets import build_gan
from keras_t2i.text import TextEncoder, Unconditional

pytestmark = pytest.mark.usefixtures("eager_training")

CAPTIONS = ["a red star", "a blue circle", "", "a red star"]


@pytest.fixture(scope="module")
def encoder() -> Unconditional:
    return TextEncoder.from_preset("none")  # type: ignore[return-value]


def batch() -> dict[str, np.ndarray]:
    return {"images": make_batch()["images"], "captions": np.array(CAPTIONS)}


def test_every_caption_is_the_same_zero(encoder: Unconditional, tmp_path: Path) -> None:
    np.testing.assert_array_equal(encoder.encode(CAPTIONS), np.zeros((4, 1), np.float32))
    encoder.save_to_preset(tmp_path / "encoder")
    restored = TextEncoder.from_preset(tmp_path / "encoder")
    assert isinstance(restored, Unconditional)
    assert restored.fingerprint == encoder.fingerprint


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_without_captions(family: str, encoder: Unconditional) -> None:
    gan = tiny_gan(family, encoder, penalty="ma_gp" if family == "df_gan" else None)
    gan.adapt(CAPTIONS)
    history = gan.fit(tf.data.Dataset.from_tensors(batch()).repeat(2), verbose=0).history
    assert np.isfinite(history["generator_loss"] + history["discriminator_loss"] + history["penalty"]).all()


def test_its_losses_are_those_of_a_gan_that_compares_no_captions(encoder: Unconditional) -> None:
    gan = build_gan("compact", encoder, image_size=32)
    plain = build_gan("compact", encoder, image_size=32, matching_weight=0.0, contrastive_weight=0.0)
    dataset = tf.data.Dataset.from_tensors(batch())
    logs, expected = (model.evaluate(dataset, return_dict=True, verbose=0) for model in (gan, plain))
    assert logs == expected
    real = gan.discriminator(batch()["images"], np.zeros((4, 1), np.float32), training=False).numpy()
    latents = tf.random.stateless_normal((4, gan.generator.latent_dim), seed=(0, 0))
    drawn = gan.ema_generator(latents, np.zeros((4, 1), np.float32), training=False)
    fake = gan.discriminator(drawn, np.zeros((4, 1), np.float32), training=False).numpy()
    losses = np.logaddexp(0, -real) + np.logaddexp(0, fake)
    np.testing.assert_allclose(logs["discriminator_loss"], losses.mean(), rtol=1e-4)
    np.testing.assert_allclose(logs["generator_loss"], np.logaddexp(0, -fake).mean(), rtol=1e-4)


def test_presets_and_exports_work_as_with_captions(encoder: Unconditional, tmp_path: Path) -> None:
    gan = build_gan("mlp", encoder, image_size=32)
    images = gan.generate(CAPTIONS[:1], num_images=2, seed=4)
    assert not np.array_equal(images[0], images[1])
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(loaded.generate(["something else"], num_images=2, seed=4), images)
    loaded.export(tmp_path / "saved")
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["generate"](
        prompts=tf.constant(["x"]), seeds=tf.constant([4], tf.int64), truncation=tf.constant([1.0])
    )
    assert np.abs(served["images"].numpy().astype(int) - gan.generate("x", seed=4)).max() <= 1
    loaded.export(tmp_path / "bundle", "litert")
    assert (tmp_path / "bundle" / "generator.tflite").is_file()
