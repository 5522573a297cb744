"""Gradients, first calls and compiled functions in TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_t2i.core import machine

__all__ = [
    "cond_or_zero",
    "example",
    "has_bfloat16",
    "has_fast_transposes",
    "input_gradients",
    "jitted",
    "mean_of_replicas",
    "of_all_replicas",
    "planned_replicas",
    "replica",
    "value_and_gradients",
]

_FROM = (8, 0)
"""Compute capability from which graphics cards multiply in bfloat16."""
_ISA_WITH_BFLOAT16 = ("ALL", "DEFAULT", "BF16", "FP16", "AMX", "AVX10")
"""Of what `ONEDNN_MAX_CPU_ISA` may be, the parts of names that allow it."""


def has_bfloat16() -> bool:
    """Whether what computes here, an accelerator or else the processor, is faster in bfloat16."""
    if tf.config.list_physical_devices("TPU"):
        return True
    if not (gpus := tf.config.list_physical_devices("GPU")):
        return _multiplies_in_bfloat16()
    found = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return all(details.get("compute_capability", (0, 0)) >= _FROM for details in found)


def _multiplies_in_bfloat16() -> bool:
    """Whether the processor has instructions for it, and oneDNN, which TensorFlow computes by, may use them."""
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return False
    allowed = os.environ.get("ONEDNN_MAX_CPU_ISA", "ALL").upper()
    return any(name in allowed for name in _ISA_WITH_BFLOAT16) and bool(machine.instruction_sets()["avx512_bf16"])


def has_fast_transposes() -> bool:
    """Whether a transposed convolution takes as long as its multiplications: everywhere."""
    return True


def example(shape: Any) -> Any:
    """What to call a network with so that it is built: zeros, for TensorFlow runs one image sooner than it traces it.

    Args:
        shape: A shape, or a dictionary of shapes; of what it leaves open, the first is 1 and others are 2.

    Returns:
        Zeros, float32, or a dictionary of such.
    """
    if isinstance(shape, dict):
        return {name: example(of) for name, of in shape.items()}
    return tf.zeros([size or (2 if axis else 1) for axis, size in enumerate(shape)])


def value_and_gradients(
    losses: Callable[[], tuple[Mapping[str, Any], Any]], variables: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Any], Any, dict[str, list[Any]]]:
    """Evaluates losses once and takes the gradient of each with respect to the variables that it trains.

    Args:
        losses: A function without arguments to scalars by name, and anything else that is to be handed on.
        variables: The variables that each loss trains, under the same names.

    Returns:
        The losses; what was handed on; and the gradients by name, in the order of the variables, `None` for those that
        a loss does not depend on.
    """
    with tf.GradientTape(persistent=True) as tape:
        values, further = losses()
    gradients = {name: tape.gradient(values[name], list(of)) for name, of in variables.items()}
    return dict(values), further, gradients


def input_gradients(function: Callable[..., Any], sources: Sequence[Any]) -> list[Any]:
    """The gradients of the sum of a function's values with respect to its arguments, which can be differentiated again.

    Args:
        function: Takes the sources, tensors or dictionaries of such, and returns a tensor.
        sources: What to take the gradient with respect to.

    Returns:
        One tensor for each tensor in the sources, in order; zeros where the function does not depend on it.
    """
    flat = tf.nest.flatten(list(sources))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(flat)
        total = tf.reduce_sum(function(*sources))
    return tape.gradient(total, flat, unconnected_gradients="zero")


def cond_or_zero(predicate: Any, function: Callable[[], Any]) -> Any:
    """The scalar that a function without arguments returns where a predicate, a tensor, is true, and else 0."""
    from keras import ops

    return ops.cond(predicate, function, lambda: ops.zeros(()))


def jitted(function: Callable[..., Any], variables: Callable[[], Sequence[Any]]) -> Callable[..., Any]:
    """A function of arrays, compiled for each of their shapes.

    Args:
        function: Takes and returns tensors.
        variables: Returns those that it reads, as they are at each call.
    """
    del variables  # A graph refers to them.
    compiled = tf.function(function, reduce_retracing=True, autograph=False)
    return lambda *arrays: compiled(*map(tf.constant, arrays))


def planned_replicas() -> int:
    """How many replicas will train what is built now."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def replica() -> tuple[Any, int]:
    """Which of the replicas of a step this is, from 0, and how many there are."""
    context = tf.distribute.get_replica_context()
    if context is None:  # A model is being built for several devices.
        return 0, 1
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def of_all_replicas(rows: Any) -> Any:
    """The rows of all replicas, one after the other."""
    context = tf.distribute.get_replica_context()
    here = tf.cast(rows, tf.int32) if rows.dtype == tf.bool else tf.identity(rows)
    gathered = tf.cast(context.all_gather(here, axis=0), rows.dtype)
    length = rows.shape[0] and rows.shape[0] * context.num_replicas_in_sync
    return tf.ensure_shape(gathered, (length, *rows.shape[1:]))


def mean_of_replicas(values: list[Any]) -> list[Any]:
    """The means of what all replicas have, tensor by tensor; gradients pass."""
    # An identity, because an argument of the step is on no device yet; sparse gradients become dense.
    here = [tf.identity(tf.convert_to_tensor(value)) for value in values]
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, here)
