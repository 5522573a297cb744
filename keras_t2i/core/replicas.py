"""What makes a step on several devices that of one device with the whole batch: the rows of a batch, and what is drawn.

A step runs once on each device, as a replica, with as many rows of a batch as every other one has. All of them change
weights alike, by the mean of their gradients. Outside of such a step, and in JAX, there is one replica with all rows,
and nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_t2i.core import backend

__all__ = ["are_planned", "count", "dropout", "mean", "normal", "own", "randint", "uniform", "whole"]


def count() -> int:
    """How many replicas the step at hand runs on."""
    return backend.replica()[1]


def are_planned() -> bool:
    """Whether what is being built will be trained by several replicas."""
    return backend.planned_replicas() > 1


def own(rows: Any) -> Any:
    """The rows of this replica.

    Args:
        rows: What belongs to the whole batch, row by row: a tensor whose rows can be divided by the replicas.
    """
    number, of = backend.replica()
    return rows if of == 1 else ops.reshape(rows, (of, -1, *rows.shape[1:]))[number]


def whole(rows: Any) -> Any:
    """The rows of all replicas, in the order of the batch. No gradient passes: it is for what the batch holds.

    Args:
        rows: Those of this replica, a tensor.
    """
    return rows if count() == 1 else ops.stop_gradient(backend.of_all_replicas(rows))


def mean(values: Sequence[Any]) -> list[Any]:
    """Tensors, each the mean of what the replicas have in its place; gradients pass.

    Args:
        values: The same number of tensors on every replica, of the same shapes.
    """
    return list(values) if count() == 1 else backend.mean_of_replicas(list(values))


def normal(shape: Sequence[Any], seed: Any) -> Any:
    """`keras.random.normal` for the rows of this replica, of what is drawn for the whole batch."""
    return own(keras.random.normal(_of_all(shape), seed=seed))


def uniform(shape: Sequence[Any], low: float = 0.0, high: float = 1.0, *, seed: Any) -> Any:
    """`keras.random.uniform`, likewise."""
    return own(keras.random.uniform(_of_all(shape), low, high, seed=seed))


def randint(shape: Sequence[Any], low: int, high: int, seed: Any) -> Any:
    """`keras.random.randint`, likewise."""
    return own(keras.random.randint(_of_all(shape), low, high, seed=seed))


def dropout(values: Any, rate: float, seed: Any) -> Any:
    """`keras.random.dropout`, likewise."""
    if count() == 1:
        return keras.random.dropout(values, rate, seed=seed)
    kept = keras.random.dropout(ops.ones(_of_all(ops.shape(values)), values.dtype), rate, seed=seed)
    return values * own(kept)


def _of_all(shape: Sequence[Any]) -> tuple[Any, ...]:
    rows, *rest = shape
    return (rows * count(), *rest)
