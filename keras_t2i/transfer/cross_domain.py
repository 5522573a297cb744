"""Cross-domain correspondence: images that differed on the source go on differing in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from keras_t2i.networks.base import Generator
from keras_t2i.transfer.plan import Plan, start_from_average

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN

__all__ = ["correspondence"]

_SELF = -1e9


def correspondence(gan: TextToImageGAN, weight: float = 1000.0, num_images: int = 8) -> Plan:
    """Trains both networks whole, and keeps how alike the generator's images are to each other: for about ten images.

    For some latents and captions of each step, the cosine similarities between the features of one image and of the
    others make a distribution, in a frozen copy of the generator as it is now and in the one that is trained; the
    divergence between the two is added to the generator's loss.

    Reference:
        Few-shot Image Generation via Cross-domain Correspondence (Ojha et al., 2021), arXiv:2104.06820. Differs: all
        layers at each step instead of one at random, which has the same mean and less noise; the one discriminator sees
        whole images throughout, where the paper has another one for patches and whole images near ten latents alone.

    Args:
        gan: A model with trained weights, before `compile`; where its text is to be centered on new captions (`adapt`),
            after that.
        weight: Of the term.
        num_images: Images compared at each step, of the batch's first latents and captions.

    Raises:
        ValueError: for a negative weight, fewer than two images, or a generator that does not show its features.
    """
    if weight < 0 or num_images < 2:
        raise ValueError(f"`weight` must be at least 0 and `num_images` at least 2; got {weight} and {num_images}.")
    target = gan.generator
    if type(target).features is Generator.features:
        raise ValueError(f"{type(target).__name__} does not show the features of its blocks; choose another way.")
    start_from_average(gan)
    source = target.copy()
    source.trainable = False

    def term(generated: tf.Tensor, batch: dict[str, Any]) -> tf.Tensor:
        # Like this, batch statistics are moved by the step's own images alone.
        inputs = batch["latents"][:num_images], batch["sentence_embeddings"][:num_images]
        pairs = zip(source.features(*inputs, training=False), target.features(*inputs, training=False), strict=True)
        divergences = [_divergence(_log_similarities(theirs), _log_similarities(ours)) for theirs, ours in pairs]
        return weight * tf.add_n(divergences) / len(divergences)

    return Plan.of(gan, "correspondence", (term,))


def _log_similarities(features: tf.Tensor) -> tf.Tensor:
    """Log-softmax of the cosine similarities of each example to the others, shape `(B, B)`; none to itself."""
    count = tf.shape(features)[0]
    flat = tf.nn.l2_normalize(tf.reshape(tf.cast(features, tf.float32), (count, -1)), axis=1)
    similarities = tf.matmul(flat, flat, transpose_b=True)
    return tf.nn.log_softmax(tf.where(tf.eye(count, dtype=tf.bool), _SELF, similarities))


def _divergence(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Kullback-Leibler divergence of the target from the source, the mean over all pairs of examples."""
    count = tf.cast(tf.shape(source)[0], tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(tf.exp(source) * (source - target)), count * (count - 1.0))
