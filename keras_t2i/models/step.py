"""One step of training, of whatever has parts: gradients, the stop at what is not finite, averages, and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_t2i.core import replicas
from keras_t2i.core.backend import value_and_gradients
from keras_t2i.core.keras_internals import applies_as_given
from keras_t2i.models.engine import update_averages

__all__ = ["take_step", "track"]


def take_step(model: Any, minimised: Callable[[], tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Moves the trained parts of a model down the gradients of their losses, and their averages after them.

    Args:
        model: What has `parts()`, a `guard` and an `ema_decay`.
        minimised: Returns a scalar for each trained part, by its name, and the numbers to report.

    Returns:
        The numbers.
    """
    trained = {name: part for name, part in model.parts().items() if part.is_trained}
    variables = {name: part.network.trainable_variables for name, part in trained.items()}
    with model.guard.watching([part.network for part in trained.values()]):
        losses, numbers, gradients = _of_all(*value_and_gradients(minimised, variables))
    kept = [slot for part in trained.values() for slot in part.optimizer.variables]
    slots = [slot for slot in kept if keras.backend.is_float_dtype(slot.dtype)]
    with model.guard.finite([losses, gradients], slots):
        for name, part in trained.items():
            if replicas.count() > 1:
                applies_as_given(part.optimizer)
            part.optimizer.apply(gradients[name], variables[name])
    update_averages(model.parts(), model.ema_decay)
    return numbers


def _of_all(
    losses: dict[str, Any], numbers: dict[str, Any], gradients: dict[str, list[Any]]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, list[Any]]]:
    """Losses, numbers and gradients of the whole batch: on several devices, the means of theirs, told in one go."""
    if replicas.count() == 1:
        return losses, numbers, gradients
    known = {name: [gradient is not None for gradient in each] for name, each in gradients.items()}
    parts = [gradient for each in gradients.values() for gradient in each if gradient is not None]
    means = iter(replicas.mean([*losses.values(), *numbers.values(), *parts]))
    return (
        {name: next(means) for name in losses},
        {name: next(means) for name in numbers},
        {name: [next(means) if there else None for there in each] for name, each in known.items()},
    )


def track(trackers: dict[str, keras.metrics.Metric], numbers: dict[str, Any]) -> dict[str, Any]:
    """Enters numbers into the metrics of their names; returns what these have come to."""
    for name, tracker in trackers.items():
        tracker.update_state(numbers[name])
    return {name: tracker.result() for name, tracker in trackers.items()}
