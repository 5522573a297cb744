"""Attribute accuracy: does a generated image show what its caption says, as a trained classifier sees it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_t2i.core.pixels import from_bytes
from keras_t2i.data import RENDERED
from keras_t2i.metrics.measure import Examined, Measure

__all__ = ["ALL_ATTRIBUTES", "AttributeJudge", "attribute_accuracy"]

_JUDGE_SIZE = 64


class AttributeJudge:
    """A small convolutional classifier with one softmax an attribute.

    It is trained on real images, whose attributes are known, and then judges generated ones. Images of another size
    are resized to 64 pixels, antialiased.

    Args:
        attributes: Name of each attribute and the words it takes, in the order of the labels.
    """

    def __init__(self, attributes: Mapping[str, Sequence[str]]) -> None:
        self.attributes = {name: tuple(words) for name, words in attributes.items()}
        self._sizes = [len(words) for words in self.attributes.values()]
        images = keras.Input((_JUDGE_SIZE, _JUDGE_SIZE, 3))
        x = images
        for filters in (16, 32, 48, 64):
            x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))
        x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
        x = layers.Dense(96, activation="relu")(layers.Flatten()(x))
        self.network = keras.Model(images, layers.Dense(sum(self._sizes))(x))

    def fit(self, draw: Callable[[int], tuple[Any, Any]], num_steps: int = 1500, learning_rate: float = 3e-3) -> None:
        """Trains the classifier.

        Args:
            draw: A function of the step number that returns a batch of images in [-1, 1], shape `(B, 64, 64, 3)`, and
                their labels, int64, shape `(B, num_attributes)`.
            num_steps: Batches to train on.
            learning_rate: Adam's, at the start; it falls to zero along a cosine.
        """
        schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        optimizer = keras.optimizers.Adam(schedule)
        optimizer.build(self.network.trainable_variables)
        noise = keras.random.SeedGenerator(1)

        @tf.function
        def train_step(images: tf.Tensor, labels: tf.Tensor) -> None:
            # Noise of random strength: generated images are never as clean as rendered ones.
            strength = 0.08 * keras.random.uniform((tf.shape(images)[0], 1, 1, 1), seed=noise)
            images += strength * keras.random.normal(tf.shape(images), seed=noise)
            with tf.GradientTape() as tape:
                parts = tf.split(self.network(images, training=True), self._sizes, axis=1)
                losses = [
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels[:, i], part) for i, part in enumerate(parts)
                ]
                loss = tf.reduce_mean(tf.add_n(losses))
            optimizer.apply(tape.gradient(loss, self.network.trainable_variables), self.network.trainable_variables)

        for step in range(num_steps):
            train_step(*draw(step))

    @classmethod
    def packaged(cls, domain: str) -> AttributeJudge | None:
        """The judge of a rendered domain that travels in the package, or `None` where there is none."""
        file = Path(str(resources.files("keras_t2i.metrics"))) / "judges" / f"{domain}.npz"
        return cls.load(RENDERED[domain].attributes, file) if domain in RENDERED and file.is_file() else None

    def predict(self, images: np.ndarray, batch_size: int = 128) -> np.ndarray:
        """Returns the attributes seen, int64, shape `(N, num_attributes)`, in images, uint8, shape `(N, H, W, 3)`."""
        predictions = []
        for start in range(0, len(images), batch_size):
            batch = from_bytes(tf.cast(images[start : start + batch_size], tf.float32))
            if batch.shape[1] != _JUDGE_SIZE:
                batch = tf.image.resize(batch, (_JUDGE_SIZE, _JUDGE_SIZE), antialias=True)
            parts = tf.split(self.network(batch, training=False), self._sizes, axis=1)
            predictions.append(np.stack([part.numpy().argmax(axis=1) for part in parts], axis=1))
        return np.concatenate(predictions)

    def save(self, path: str | Path) -> None:
        """Writes the weights, rounded to five significant bits so that they compress, as float16 to an `.npz` file."""
        arrays = {}
        for i, value in enumerate(self.network.get_weights()):
            mantissas, exponents = np.frexp(value)
            arrays[f"{i:02d}"] = np.ldexp(np.round(mantissas * 32) / 32, exponents).astype("float16")
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, attributes: Mapping[str, Sequence[str]], path: str | Path) -> AttributeJudge:
        """Reads a judge of these attributes from a file written by `save`."""
        judge = cls(attributes)
        with np.load(path, allow_pickle=False) as arrays:
            judge.network.set_weights([arrays[name].astype("float32") for name in sorted(arrays.files)])
        return judge


def attribute_accuracy(predictions: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Compares attributes seen with attributes asked for.

    Args:
        predictions: Attributes seen, integers, shape `(N, num_attributes)`.
        labels: Attributes asked for, likewise.
        names: Names of the attributes.

    Returns:
        The share of images with every attribute right as `"all_attributes"`, and that of each attribute by its name.

    Raises:
        ValueError: if the shapes differ.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or labels.ndim != 2 or labels.shape[1] != len(names) or not len(labels):
        raise ValueError(
            f"Expected predictions and labels of the same shape (N, {len(names)}), N > 0; "
            f"got {predictions.shape} and {labels.shape}."
        )
    right = predictions == labels
    shares = {name: float(right[:, i].mean()) for i, name in enumerate(names)}
    return {"all_attributes": float(right.all(axis=1).mean()), **shares}


def _attributes(examined: Examined) -> dict[str, float]:
    judge, labels = examined.attributes, examined.labels
    if judge is None or labels is None:
        return {}
    names, asked = list(judge.attributes), np.repeat(labels, examined.num_images, axis=0)
    on_real = attribute_accuracy(judge.predict(examined.real), labels, names)
    found = attribute_accuracy(judge.predict(examined.generated), asked, names)
    return {**found, "judge_on_real": on_real["all_attributes"]}


ALL_ATTRIBUTES = Measure(
    _attributes,
    "All attributes right",
    "higher",
    "share",
    "Share of images in which a classifier of real images finds every attribute right.",
    on_real="judge_on_real",
    in_curves=True,
)
