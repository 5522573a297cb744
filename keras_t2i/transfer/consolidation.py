"""Elastic weight consolidation: what mattered on the source moves little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from keras_t2i.core.latents import latents_for
from keras_t2i.transfer.plan import Plan, start_from_average

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN

__all__ = ["ewc", "fisher_information"]


def ewc(
    gan: TextToImageGAN,
    sentence_embeddings: np.ndarray,
    num_images: int = 256,
    weight: float = 0.01,
    seed: int = 0,
) -> Plan:
    """Trains both networks whole, with a price on moving weights of the generator that matter on the source.

    It adds `weight * sum(F * (theta - theta_0)^2)` to the generator's loss.

    Reference:
        Few-shot Image Generation with Elastic Weight Consolidation (Li et al., 2020), arXiv:2012.02780. Differs: the
        Fisher information is divided by its mean, so that `weight` means the same whatever the model.

    Args:
        gan: A model with trained weights, before `compile`.
        sentence_embeddings: Those of the source's captions, float32, shape `(N, D)`. While the Fisher information is
            estimated the text is centered on them, as it was when the source was trained.
        num_images: Images of which it is estimated, each of a caption drawn at random.
        weight: Of the term.
        seed: Seed of captions and noise.

    Raises:
        ValueError: without embeddings, for a negative weight, or if no weight matters.
    """
    if weight < 0 or num_images < 1:
        raise ValueError(f"`weight` must be at least 0 and `num_images` at least 1; got {weight} and {num_images}.")
    start_from_average(gan)
    information = fisher_information(gan, sentence_embeddings, num_images, seed)
    variables = gan.generator.trainable_variables
    mean = sum(float(tf.reduce_sum(values)) for values in information) / sum(int(tf.size(v)) for v in information)
    if not 0 < mean < float("inf"):
        raise ValueError(
            f"The mean Fisher information is {mean}: this discriminator's verdict depends on no weight. Choose a "
            "trained source."
        )
    scaled = [values / mean for values in information]
    anchors = [tf.identity(variable.value) for variable in variables]

    def term(generated: tf.Tensor, batch: dict[str, Any]) -> tf.Tensor:
        prices = [
            tf.reduce_sum(values * tf.square(variable - anchor))
            for values, variable, anchor in zip(scaled, variables, anchors, strict=True)
        ]
        return weight * tf.add_n(prices)

    return Plan.of(gan, "ewc", (term,))


def fisher_information(
    gan: TextToImageGAN, sentence_embeddings: np.ndarray, num_images: int = 256, seed: int = 0
) -> list[tf.Tensor]:
    """The diagonal Fisher information of the generator's trainable weights, in their order and shapes.

    It is the mean over generated images of the *squared* gradient of `log D(G(z, c), c)`, image by image: the square of
    a batch's mean gradient would be smaller by about the number of images in the batch.

    Args:
        gan: The model.
        sentence_embeddings: Captions, float32, shape `(N, D)`.
        num_images: How many images.
        seed: Seed of captions and noise.

    Raises:
        ValueError: without embeddings.
    """
    embeddings = np.asarray(sentence_embeddings, np.float32)
    if embeddings.ndim != 2 or not len(embeddings):
        raise ValueError(f"`sentence_embeddings` must have the shape (N, D); got {embeddings.shape}.")
    chosen = embeddings[np.random.default_rng(seed).integers(0, len(embeddings), num_images)]
    latents = latents_for(seed, num_images, gan.generator.latent_dim)
    variables = gan.generator.trainable_variables

    @tf.function(reduce_retracing=True)
    def squares(noise: tf.Tensor, text: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            images = gan.generator(noise, text, training=False)
            likelihood = tf.math.log_sigmoid(gan.discriminator(images, text, training=False))
        gradients = tape.gradient(likelihood, variables, unconnected_gradients="zero")
        return [tf.square(tf.cast(gradient, tf.float32)) for gradient in gradients]

    networks = (gan.generator, gan.discriminator)
    centering = [(w, w.numpy()) for network in networks if network.text_tower is None for w in _centering(network)]
    try:
        for network in networks:
            network.adapt(embeddings)
        totals = [tf.zeros(variable.shape) for variable in variables]
        for noise, text in zip(tf.constant(latents), tf.constant(chosen), strict=True):
            totals = [total + new for total, new in zip(totals, squares(noise[None], text[None]), strict=True)]
    finally:
        for weight, before in centering:
            weight.assign(before)
    return [total / num_images for total in totals]


def _centering(network: Any) -> tuple[Any, Any]:
    return network.text_mean, network.text_scale
