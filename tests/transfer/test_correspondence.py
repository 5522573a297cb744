"""Cross-domain correspondence against its definition, for every family."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import FAMILIES, built_networks, make_batch, make_latents, tensors
from pretrained_models import CAPTIONS, pretrained, refusal

from keras_t2i import networks, transfer
from keras_t2i.models.gan import TextToImageGAN


def batch_of(size: int) -> dict[str, tf.Tensor]:
    return {**tensors(make_batch(size)), "latents": tf.constant(make_latents(size))}


def test_the_term_is_zero_at_the_source_and_the_divergence_elsewhere() -> None:
    gan = pretrained()
    (term,) = transfer.correspondence(gan, weight=10.0, num_images=3).terms
    batch = batch_of(4)
    np.testing.assert_allclose(term(None, batch), 0, atol=1e-6)
    source = gan.generator.copy()
    kernel = gan.generator.blocks[0].conv_in.kernel
    kernel.assign(kernel * -2.0)
    inputs = batch["latents"][:3], batch["sentence_embeddings"][:3]
    expected = [
        divergence(theirs.numpy(), ours.numpy())
        for theirs, ours in zip(source.features(*inputs), gan.generator.features(*inputs), strict=True)
    ]
    assert expected[0] == pytest.approx(0, abs=1e-6)
    assert expected[1] > 1e-5
    np.testing.assert_allclose(term(None, batch), 10.0 * np.mean(expected), rtol=1e-2)


def divergence(source: np.ndarray, target: np.ndarray) -> float:
    """The mean over images and their others of p log(p / q), written out."""
    total = 0.0
    for i in range(len(source)):
        p, q = (softmax([cosine(maps[i], maps[j]) for j in range(len(maps)) if j != i]) for maps in (source, target))
        total += float(np.sum(p * np.log(p / q)))
    return total / (len(source) * (len(source) - 1))


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def softmax(values: list[float]) -> np.ndarray:
    return np.exp(values) / np.exp(values).sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_shows_features_that_the_image_is_drawn_from(family: str) -> None:
    generator, _ = built_networks(family)
    features = generator.features(make_latents(), CAPTIONS[:4], training=False)
    assert len(features) >= 2
    assert all(len(found) == 4 and np.isfinite(found).all() for found in features)
    with tf.GradientTape() as tape:
        found = generator.features(tf.constant(make_latents()), tf.constant(CAPTIONS[:4]), training=False)[-1]
        total = tf.reduce_sum(found)
    assert tf.reduce_any(tape.gradient(total, generator.trainable_weights[0]) != 0)


def test_a_source_with_adapters_is_copied_with_them_merged() -> None:
    gan = pretrained("dcgan")
    transfer.lora(gan, rank=2)
    for weight in gan.generator.trainable_weights:
        weight.assign(weight + 0.2)
    copy = gan.generator.copy()
    assert copy.count_params() < gan.generator.count_params()
    inputs = make_latents(), CAPTIONS[:4]
    np.testing.assert_array_equal(copy(*inputs, training=False), gan.generator(*inputs, training=False))


def test_unfit_arguments_and_generators_are_refused() -> None:
    message = refusal(transfer.correspondence, pretrained("mlp"), num_images=1)
    assert "`num_images` at least 2; got 1000.0 and 1" in message

    class Opaque(networks.Generator):
        def __init__(self, **kwargs: object) -> None:
            super().__init__(32, 6, **kwargs)
            self.draw = keras.layers.Dense(32 * 32 * 3, name="draw")

        def call(self, latents: tf.Tensor, sentence_embeddings: tf.Tensor, training: bool | None = None) -> tf.Tensor:
            return keras.ops.reshape(self.draw(latents), (-1, 32, 32, 3))

        def get_config(self) -> dict:
            return {}

    gan = TextToImageGAN(None, Opaque(), pretrained("mlp").discriminator, embedding_dim=8)
    assert "does not show the features" in refusal(transfer.correspondence, gan)
