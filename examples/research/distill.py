"""A discriminator that has learned to see before it judges: distilled from frozen image features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_t2i.networks.base import Discriminator

__all__ = ["distill"]

_BATCHES_FOR_SCALE = 8


def distill(
    discriminator: Discriminator,
    features: Any,
    images: np.ndarray,
    steps: int = 500,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    augmentation: Callable[[tf.Tensor], tf.Tensor] | None = None,
    seed: int = 0,
) -> list[float]:
    """Trains a convolutional discriminator to see in real images what a pretrained network sees.

    Each map of the discriminator but the first predicts, through a 1x1 convolution, the pretrained network's map of the
    same height, and its features predict the feature vector. The predictors are thrown away. It takes its time
    before training and costs nothing in training.

    Args:
        discriminator: A built `keras_t2i.networks.CompactDiscriminator`, or another with a method `maps`.
        features: A `keras_t2i.ImageFeatures`. Of an input size above that of the images it sees more in them.
        images: The training images, uint8, shape `(N, H, W, 3)`.
        steps: Batches to train on.
        batch_size: Images in a batch; half of them are mirrored.
        learning_rate: Adam's, falling to zero along a cosine.
        augmentation: What the discriminator will see images through in training, for instance
            `keras_t2i.augmentation.DiffAugment`.
        seed: Seed of order, mirroring and predictors.

    Returns:
        The loss of each step: the mean squared error relative to the variance of what is predicted, from about 1 down.

    Raises:
        ValueError: if the discriminator has no `maps`, or none of the height of one of the features'.
    """
    if not hasattr(discriminator, "maps"):
        raise ValueError(
            f"Only a discriminator with a method `maps` can be distilled; {type(discriminator).__name__} has none."
        )
    batches = _batches(images, batch_size, np.random.default_rng(seed))
    first = [next(batches) for _ in range(_BATCHES_FOR_SCALE)]
    ours, theirs = discriminator.maps(first[0]), features.maps(first[0])
    # The first map is linear in the pixels: there is nothing in it to be learned from.
    pairs = [
        (i, j) for i in range(1, len(ours)) for j, their in enumerate(theirs) if ours[i].shape[1] == their.shape[1]
    ]
    if not pairs:
        raise ValueError(
            f"No map of {features.name} (heights {[maps.shape[1] for maps in theirs]}) has the height of one of the "
            f"discriminator's ({[maps.shape[1] for maps in ours]}); load the features with another `image_size`."
        )

    def wanted(batch: tf.Tensor) -> list[tf.Tensor]:
        maps = features.maps(batch)
        return [*(maps[j] for _, j in pairs), features.embed(batch)]

    def seen(batch: tf.Tensor) -> list[tf.Tensor]:
        maps = discriminator.maps(batch)
        return [*(keras.ops.leaky_relu(maps[i], 0.2) for i, _ in pairs), discriminator.summary(maps)]

    scales = [_center_and_scale(found) for found in zip(*map(wanted, first), strict=True)]
    predictors = [
        keras.layers.Dense(center.shape[-1], kernel_initializer=keras.initializers.GlorotUniform(seed), dtype="float32")
        for center, _ in scales
    ]

    def error(batch: tf.Tensor) -> tf.Tensor:
        targets = wanted(batch)
        errors = [
            tf.reduce_mean(tf.square(predictor(found) - (target - center) * scale))
            for predictor, found, target, (center, scale) in zip(predictors, seen(batch), targets, scales, strict=True)
        ]
        return tf.add_n(errors) / len(errors)

    with tf.GradientTape() as tape:
        value = error(first[0])
    weights = [
        *discriminator.trainable_weights,
        *(weight for layer in predictors for weight in layer.trainable_weights),
    ]
    # What judges, behind the features, is not reached and stays as it was.
    reached = [gradient is not None for gradient in tape.gradient(value, weights)]
    weights = [weight for weight, has_gradient in zip(weights, reached, strict=True) if has_gradient]
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    optimizer.build(weights)

    @tf.function
    def step(batch: tf.Tensor) -> tf.Tensor:
        if augmentation is not None:
            batch = augmentation(batch)
        with tf.GradientTape() as tape:
            value = error(batch)
        optimizer.apply(tape.gradient(value, weights), weights)
        return value

    return [float(step(next(batches))) for _ in range(steps)]


def _batches(images: np.ndarray, batch_size: int, random: np.random.Generator) -> Iterator[tf.Tensor]:
    """Batches without end, half of the images mirrored, each image as often as any other."""
    while True:
        order = random.permutation(len(images))
        for start in range(0, len(order), batch_size):
            chosen = images[order[start : start + batch_size]].astype(np.float32) / 127.5 - 1.0
            mirrored = random.random(len(chosen)) < 0.5
            chosen[mirrored] = chosen[mirrored, :, ::-1]
            yield tf.constant(chosen)


def _center_and_scale(batches: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean of each channel, and one over the standard deviation that channels have on average."""
    values = tf.concat(list(batches), axis=0)
    mean, variance = tf.nn.moments(values, axes=list(range(len(values.shape) - 1)))
    return mean, tf.math.rsqrt(tf.reduce_mean(variance) + 1e-12)
