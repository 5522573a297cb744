"""Elastic weight consolidation against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from checks import make_batch, tensors
from pretrained_models import CAPTIONS, pretrained, refusal

from keras_t2i import transfer
from keras_t2i.core.latents import latents_for


def test_fisher_information_is_the_mean_of_squared_gradients_image_by_image() -> None:
    gan = pretrained("dcgan")
    gan.adapt(CAPTIONS + 1.0)  # What the text was centered on for other data plays no part.
    found = transfer.fisher_information(gan, CAPTIONS, num_images=5, seed=3)
    for network in (gan.generator, gan.discriminator):
        np.testing.assert_allclose(network.text_mean, CAPTIONS.mean(axis=0) + 1.0, rtol=1e-5)
        network.adapt(CAPTIONS)
    chosen = CAPTIONS[np.random.default_rng(3).integers(0, len(CAPTIONS), 5)]
    latents = latents_for(3, 5, gan.generator.latent_dim)
    variables = gan.generator.trainable_variables
    gradients = []
    for number in range(5):
        one = slice(number, number + 1)
        with tf.GradientTape() as tape:
            images = gan.generator(latents[one], chosen[one], training=False)
            likelihood = tf.math.log(tf.sigmoid(gan.discriminator(images, chosen[one], training=False)))
        gradients.append([gradient.numpy() for gradient in tape.gradient(likelihood, variables)])
    for position, information in enumerate(found):
        each = np.stack([gradient[position] for gradient in gradients])
        np.testing.assert_allclose(information, np.square(each).mean(axis=0), rtol=1e-3, atol=1e-12)
    squared_means = [np.square(np.mean([gradient[p] for gradient in gradients], axis=0)) for p in range(len(found))]
    assert any(np.any(mean < 0.5 * f.numpy()) for mean, f in zip(squared_means, found, strict=True))


def test_the_price_is_zero_at_the_source_and_rises_with_what_matters() -> None:
    gan = pretrained("mlp")
    (term,) = transfer.ewc(gan, CAPTIONS, num_images=4, weight=2.0).terms
    batch = tensors(make_batch())
    assert term(None, batch) == 0
    information = transfer.fisher_information(gan, CAPTIONS, num_images=4)
    mean = sum(float(tf.reduce_sum(f)) for f in information) / sum(int(tf.size(f)) for f in information)
    variable, mine = gan.generator.trainable_variables[0], information[0]
    variable.assign(variable + 0.1)
    np.testing.assert_allclose(term(None, batch), 2.0 * 0.01 * tf.reduce_sum(mine) / mean, rtol=1e-3)
    with tf.GradientTape() as tape:
        price = term(None, batch)
    assert tf.reduce_any(tape.gradient(price, variable) != 0)


@pytest.mark.parametrize(
    ("embeddings", "options", "words"),
    [
        (CAPTIONS, {"weight": -1.0}, "`weight` must be at least 0"),
        (CAPTIONS[:0], {}, "must have the shape (N, D); got (0, 8)"),
        (CAPTIONS[0], {}, "must have the shape (N, D)"),
    ],
)
def test_what_cannot_be_estimated_is_refused(embeddings: np.ndarray, options: dict, words: str) -> None:
    assert words in refusal(transfer.ewc, pretrained("mlp"), embeddings, **options)


def test_a_discriminator_that_sees_nothing_is_refused() -> None:
    gan = pretrained("mlp")
    for weight in gan.discriminator.trainable_weights:
        weight.assign(tf.zeros_like(weight))
    assert "depends on no weight" in refusal(transfer.ewc, gan, CAPTIONS, num_images=2)
