"""The averaged generator: a slow copy of the trained one, which draws better than it at any single step."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["update_average", "warmed_up_decay"]


def warmed_up_decay(decay: float, step: Any) -> tf.Tensor:
    """The decay at a step: small at first, so that the untrained weights are soon forgotten."""
    step = tf.cast(step, tf.float32)
    return tf.minimum(decay, (1.0 + step) / (10.0 + step))


def update_average(average: Any, current: Any, decay: tf.Tensor) -> None:
    """Moves every weight of a network, batch-norm statistics included, towards those of another of the same form."""
    for slow, fast in zip(average.weights, current.weights, strict=True):
        slow.assign(slow + (1.0 - decay) * (fast - slow))
