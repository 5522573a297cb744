"""Gradients, first calls and compiled functions in JAX.

Variables change while a function of Keras runs; JAX takes functions whose results are all that they do. Here such a
function is given the variables' values, and what has become of them comes back as another result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import keras
from jax import numpy as jnp

from keras_t2i.core.keras_internals import known_values

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

_FROM = 8.0
"""Compute capability from which graphics cards multiply in bfloat16."""


def has_bfloat16() -> bool:
    """Whether there is an accelerator that is faster in bfloat16."""
    device = jax.local_devices()[0]
    return device.platform == "tpu" or float(getattr(device, "compute_capability", None) or 0) >= _FROM


def has_fast_transposes() -> bool:
    """Whether a transposed convolution takes as long as its multiplications: not on processors."""
    return jax.default_backend() != "cpu"


def example(shape: Any) -> Any:
    """What to call a network with so that it is built: a tensor without values, for JAX traces sooner than it runs.

    Args:
        shape: A shape, or a dictionary of shapes.

    Returns:
        A `keras.KerasTensor`, or a dictionary of such.
    """
    if isinstance(shape, Mapping):
        return {name: example(of) for name, of in shape.items()}
    return keras.KerasTensor(tuple(shape))


def value_and_gradients(
    losses: Callable[[], tuple[Mapping[str, Any], Any]], variables: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Any], Any, dict[str, list[Any]]]:
    """Evaluates losses and takes the gradient of each with respect to the variables that it trains.

    What is computed for one loss and again for the next is computed once where this is compiled.

    Args:
        losses: A function without arguments to scalars by name, and anything else that is to be handed on.
        variables: The variables that each loss trains, under the same names.

    Returns:
        The losses; what was handed on; and the gradients by name, in the order of the variables.
    """
    gradients: dict[str, list[Any]] = {}
    found: Any = None
    for name, of in variables.items():

        def one(values: list[Any], name: str = name, of: Sequence[Any] = of) -> tuple[Any, Any]:
            (every, further), changed = _pure(losses, zip(of, values, strict=True))
            return every[name], (dict(every), further, changed)

        gradients[name], found = jax.grad(one, has_aux=True)([variable.value for variable in of])
    every, further, changed = found
    known_values().update(changed)
    return every, further, gradients


def input_gradients(function: Callable[..., Any], sources: Sequence[Any]) -> list[Any]:
    """The gradients of the sum of a function's values with respect to its arguments, which can be differentiated again.

    Args:
        function: Takes the sources, tensors or dictionaries of such, and returns a tensor.
        sources: What to take the gradient with respect to; in dictionaries, what is no floating-point number is fixed.

    Returns:
        One tensor for each floating-point tensor in the sources, in order; zeros where the function does not depend on
        it.
    """
    flat, form = jax.tree.flatten(list(sources))
    numbers = [place for place, value in enumerate(flat) if jnp.issubdtype(value.dtype, jnp.floating)]

    def total(values: list[Any]) -> tuple[Any, Any]:
        varied = list(flat)
        for place, value in zip(numbers, values, strict=True):
            varied[place] = value
        result, changed = _pure(lambda: function(*jax.tree.unflatten(form, varied)))
        return jnp.sum(result), changed

    gradients, changed = jax.grad(total, has_aux=True)([flat[place] for place in numbers])
    known_values().update(changed)
    return gradients


def cond_or_zero(predicate: Any, function: Callable[[], Any]) -> Any:
    """The scalar that a function without arguments returns where a predicate, a tensor, is true, and else 0."""
    _, shapes = jax.eval_shape(lambda: _pure(function))
    known = known_values()
    before = {key: known[key] for key in shapes}
    result, changed = jax.lax.cond(predicate, lambda: _pure(function), lambda: (jnp.zeros(()), before))
    known.update(changed)
    return result


def jitted(function: Callable[..., Any], variables: Callable[[], Sequence[Any]]) -> Callable[..., Any]:
    """A function of arrays, compiled for each of their shapes.

    Args:
        function: Takes and returns tensors.
        variables: Returns those that it reads, as they are at each call.
    """

    @jax.jit
    def pure(values: list[Any], *arrays: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables(), values, strict=True))):
            return function(*arrays)

    return lambda *arrays: pure([variable.value for variable in variables()], *arrays)


def planned_replicas() -> int:
    """How many replicas will train what is built now."""
    return 1


def replica() -> tuple[Any, int]:
    """Which of the replicas of a step this is, and how many there are: one."""
    return 0, 1


def of_all_replicas(rows: Any) -> Any:
    """The rows of all replicas."""
    return rows


def mean_of_replicas(values: list[Any]) -> list[Any]:
    """The means of what all replicas have."""
    return values


def _pure(function: Callable[[], Any], instead: Any = ()) -> tuple[Any, dict[int, Any]]:
    """What a function returns, and the new values of the variables that it changes, which stay as they are.

    Args:
        function: Takes no arguments.
        instead: Pairs of variables and values that they are to have meanwhile.
    """
    outer = known_values()
    with keras.StatelessScope() as scope:
        inner = known_values()
        inner.update(outer)
        for variable, value in instead:
            scope.add_update((variable, value))
        before = dict(inner)
        result = function()
        changed = {key: value for key, value in inner.items() if value is not before.get(key)}
    return result, changed
