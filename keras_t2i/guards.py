"""A stop before anything that is not finite reaches the weights."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["require_finite"]


def require_finite(values: Any, statistics: list[Any], statistics_before: list[tf.Tensor]) -> tf.Operation:
    """An operation that fails where a loss or a gradient is not finite, to run before any trainable weight is touched.

    The forward pass has by then moved the batch-norm statistics: they are put back first.
    """
    tensors = [tensor for tensor in tf.nest.flatten(values) if tensor is not None]
    finite = tf.math.is_finite(tf.linalg.global_norm(tensors))
    for weight, before in zip(statistics, statistics_before, strict=True):
        weight.assign(tf.where(finite, weight.value, before))
    with tf.control_dependencies([tf.identity(weight.value) for weight in statistics]):
        return tf.debugging.assert_equal(
            finite, True, message="Training stopped: a loss or a gradient is not finite; no weight was changed."
        )
