"""Metrics in `compile`: what `evaluate` and `fit` report is what the functions say about the same images."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import tiny_gan

from keras_t2i import data, metrics

pytestmark = pytest.mark.usefixtures("eager_training")


def color_features(images: np.ndarray) -> np.ndarray:
    """Mean colors of the four quarters of each image."""
    halves = images.reshape(len(images), 2, images.shape[1] // 2, 2, images.shape[2] // 2, 3)
    return halves.mean(axis=(2, 4)).reshape(len(images), -1).astype(np.float32)


class ColorJudge:
    """Finds the red in images and in captions."""

    name = "red"

    def image_embeddings(self, images: np.ndarray) -> np.ndarray:
        red = images[..., 0].mean(axis=(1, 2)) / 255
        return np.stack([np.cos(red), np.sin(red)], axis=1)

    def text_embeddings(self, captions: list[str]) -> np.ndarray:
        red = np.asarray(["red" in caption for caption in captions], np.float64)
        return np.stack([np.cos(red), np.sin(red)], axis=1)


@pytest.fixture(scope="module")
def dataset() -> data.CaptionedImages:
    return data.shapes(image_size=32, batch_size=16, seed=3)


@pytest.fixture(scope="module")
def batches(dataset: data.CaptionedImages, text_encoder: Any) -> tf.data.Dataset:
    encoded = dataset.encode(text_encoder)
    assert encoded.validation is not None
    return encoded.validation.take(4)


def all_metrics() -> list[keras.metrics.Metric]:
    return [
        metrics.KernelDistance(color_features),
        metrics.FrechetDistance(color_features),
        metrics.TextImageScore(ColorJudge()),
        metrics.RPrecision(ColorJudge()),
    ]


def test_evaluate_reports_what_the_functions_say(batches: tf.data.Dataset, text_encoder: Any) -> None:
    gan = tiny_gan("dcgan", text_encoder, metrics=all_metrics())
    found = gan.evaluate(batches, verbose=0, return_dict=True)
    real, generated, captions = [], [], []
    for batch in batches:
        latents = tf.random.stateless_normal((len(batch["images"]), gan.generator.latent_dim), seed=(0, 0))
        drawn = gan.ema_generator(latents, batch["sentence_embeddings"], training=False)
        for images, kept in ((batch["images"], real), (drawn, generated)):
            kept.append(np.rint((np.asarray(images) + 1) * 127.5).clip(0, 255).astype(np.uint8))
        captions += [caption.decode() for caption in batch["captions"].numpy()]
    real_images, images = np.concatenate(real), np.concatenate(generated)
    features = color_features(real_images), color_features(images)
    assert found["kernel_distance"] == pytest.approx(metrics.kernel_distance(*features).value, rel=1e-5)
    assert found["frechet_distance"] == pytest.approx(metrics.frechet_distance(*features), rel=1e-5)
    embeddings = ColorJudge().image_embeddings(images), ColorJudge().text_embeddings(captions)
    assert found["text_image_score"] == pytest.approx(metrics.text_image_score(*embeddings), rel=1e-5)
    assert found["r_precision"] == pytest.approx(metrics.r_precision(*embeddings, captions).share, rel=1e-5)
    assert {"discriminator_loss", "caption_accuracy"} <= found.keys()


def test_fit_reports_them_for_validation_data_only(batches: tf.data.Dataset, text_encoder: Any) -> None:
    gan = tiny_gan("dcgan", text_encoder, metrics=all_metrics())
    history = gan.fit(batches, validation_data=batches, epochs=2, verbose=0).history
    assert "kernel_distance" not in history
    assert np.isfinite(history["val_kernel_distance"]).all()
    assert np.isfinite(history["val_r_precision"]).all()
    # The second epoch is measured on its own images alone.
    assert history["val_frechet_distance"][1] == pytest.approx(
        gan.evaluate(batches, verbose=0, return_dict=True)["frechet_distance"], rel=1e-5
    )


def test_numbers_do_not_depend_on_the_batch_size(batches: tf.data.Dataset) -> None:
    found = []
    for size in (8, 32):
        metric = metrics.KernelDistance(color_features)
        for batch in batches.unbatch().batch(size):
            metric.update_state(batch, batch["images"][:, ::-1])
        found.append(float(metric.result()))
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_attributes_of_real_images_are_right(dataset: data.CaptionedImages) -> None:
    from keras_t2i.metrics.instruments import instruments_for

    judge = instruments_for(dataset, "shapes", features="none").attributes
    assert judge is not None
    metric = metrics.AttributeAccuracy(judge)
    sharp = data.shapes(image_size=64, batch_size=32)
    assert sharp.validation is not None
    for batch in sharp.validation.take(3):
        metric.update_state(batch, batch["images"])
    assert metric.result() > 0.95
    metric.reset_state()
    for batch in sharp.validation.take(3):
        metric.update_state(batch, tf.roll(batch["images"], 1, axis=0))
    assert metric.result() < 0.2


def test_a_metric_says_what_it_misses() -> None:
    with pytest.raises(ValueError, match="'text_image_score' needs 'captions' in each batch"):
        metrics.TextImageScore(ColorJudge()).update_state({"images": tf.zeros((2, 8, 8, 3))}, tf.zeros((2, 8, 8, 3)))


def test_nothing_measured_is_not_a_number() -> None:
    assert np.isnan(metrics.KernelDistance(color_features).result())
