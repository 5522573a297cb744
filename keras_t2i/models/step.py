"""What every training step does around its losses: a stop before what is not finite, and running averages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

__all__ = ["Guard", "update_averages"]


class Guard:
    """A stop before a loss or a gradient that is not finite reaches the weights.

    Attributes:
        stopped: A variable that is true once this has happened.
    """

    def __init__(self) -> None:
        self.stopped = keras.Variable(False, trainable=False, dtype="bool")
        self._statistics: list[Any] = []
        self._before: list[tf.Tensor] = []

    @contextlib.contextmanager
    def watching(self, networks: Sequence[Any]) -> Iterator[None]:
        """Keeps the statistics that a forward pass moves, such as those of batch normalisation, as they were before."""
        self._statistics = [weight for network in networks for weight in network.non_trainable_weights]
        self._before = [tf.identity(weight.value) for weight in self._statistics]
        yield

    @contextlib.contextmanager
    def finite(self, values: Any) -> Iterator[None]:
        """Runs the block where all values are finite; else puts the statistics back, and training fails."""
        tensors = [tensor for tensor in tf.nest.flatten(values) if tensor is not None]
        finite = tf.math.is_finite(tf.linalg.global_norm(tensors))
        for weight, before in zip(self._statistics, self._before, strict=True):
            weight.assign(tf.where(finite, weight.value, before))
        self.stopped.assign(tf.logical_not(finite))
        done = [tf.identity(variable.value) for variable in (*self._statistics, self.stopped)]
        self._statistics, self._before = [], []  # Tensors of a graph must not outlive it.
        with tf.control_dependencies(done):
            stop = tf.debugging.assert_equal(
                finite, True, message="Training stopped: a loss or a gradient is not finite; no weight was changed."
            )
        with tf.control_dependencies([] if stop is None else [stop]):
            yield


def update_averages(parts: Mapping[str, Any], decay: float) -> None:
    """Moves every average, batch-norm statistics included, towards the part that it is of.

    The decay is small at first, so that the untrained weights are soon forgotten.

    Args:
        parts: See `keras_t2i.models.TextToImage.parts`.
        decay: The decay that is come to.
    """
    for part in parts.values():
        if part.average_of is not None:
            current = parts[part.average_of]
            step = tf.cast(current.optimizer.iterations, tf.float32)
            warmed_up = tf.minimum(decay, (1.0 + step) / (10.0 + step))
            for slow, fast in zip(part.network.weights, current.network.weights, strict=True):
                slow.assign(slow + (1.0 - warmed_up) * (fast - slow))
