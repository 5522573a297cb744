"""What Keras' own tools expect of a model: one optimizer to look at, archives, compile configurations, callbacks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

__all__ = ["Rates", "check_callbacks", "compile_config", "restored"]

_REFUSED: dict[type[keras.callbacks.Callback], str] = {
    keras.callbacks.BackupAndRestore: "keeps the epoch and not the place in the data: use keras_t2i.training.train, "
    "whose runs resume to the bit",
    keras.callbacks.SwapEMAWeights: "swaps what an optimizer averages, and this model averages its networks itself "
    "(`ema_decay`): leave it out",
}
_CHANGES_RATES = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
_SERIALIZED = "serialized"


class Rates:
    """The optimizers of a model as one, for what looks at `model.optimizer.learning_rate`.

    Reading gives the rate of the first; setting moves all of them, and their ratios stay as they are.

    Args:
        optimizers: A function that returns them.
    """

    def __init__(self, optimizers: Callable[[], list[keras.optimizers.Optimizer]]) -> None:
        self._optimizers = optimizers

    @property
    def built(self) -> bool:
        """Whether all of them have their slots."""
        return all(optimizer.built for optimizer in self._optimizers())

    @property
    def variables(self) -> list[Any]:
        """Those of all of them."""
        return [variable for optimizer in self._optimizers() for variable in optimizer.variables]

    @property
    def learning_rate(self) -> Any:
        """The rate of the first optimizer, a variable."""
        return self._optimizers()[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        optimizers = self._optimizers()
        _refuse_schedules(optimizers, "Setting `optimizer.learning_rate`")
        factor = float(value) / float(keras.ops.convert_to_numpy(optimizers[0].learning_rate))
        for optimizer in optimizers:
            optimizer.learning_rate = factor * float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def check_callbacks(callbacks: Any, optimizers: list[keras.optimizers.Optimizer]) -> None:
    """Refuses callbacks that would lose something, before training.

    Raises:
        ValueError: for such a callback, or one that changes learning rates which follow a schedule.
    """
    given = getattr(callbacks, "callbacks", callbacks) or []
    for callback in given if isinstance(given, Iterable) else [given]:
        for kind, why in _REFUSED.items():
            if isinstance(callback, kind):
                raise ValueError(f"The callback {kind.__name__} {why}.")
        if isinstance(callback, _CHANGES_RATES):
            _refuse_schedules(optimizers, f"The callback {type(callback).__name__}")


def compile_config(arguments: Mapping[str, Any], metrics: Iterable[Any]) -> dict[str, Any] | None:
    """The arguments of `compile` in a form that JSON can hold, or `None` with a warning where they have none.

    Args:
        arguments: By name; objects are asked for their `get_config`.
        metrics: What `compile` was given to measure with; it is left out, with a warning.
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        try:
            found[name] = _plain(value)
        except TypeError:
            warnings.warn(
                f"The file holds the whole model, but not how it is trained: `{name}` cannot be serialized. Call "
                "`compile` on the loaded model before training it further.",
                stacklevel=2,
            )
            return None
    if names := [metric.name for metric in metrics]:
        warnings.warn(f"The file does not hold the metrics {', '.join(names)}: compile with them again.", stacklevel=2)
    return found


def restored(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `compile` that `compile_config` has made plain."""
    return {name: _object(value) for name, value in config.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if not hasattr(value, "get_config"):
        raise TypeError
    return {_SERIALIZED: keras.saving.serialize_keras_object(value)}


def _object(value: Any) -> Any:
    if isinstance(value, list):
        return [_object(item) for item in value]
    if isinstance(value, dict) and _SERIALIZED in value:
        return keras.saving.deserialize_keras_object(value[_SERIALIZED])
    return value


def _refuse_schedules(optimizers: list[keras.optimizers.Optimizer], what: str) -> None:
    for optimizer in optimizers:
        rate = optimizer.get_config()["learning_rate"]
        if isinstance(rate, Mapping):
            raise ValueError(
                f"{what} needs learning rates that are numbers; {type(optimizer).__name__} follows a "
                f"{rate.get('class_name', 'schedule')}: pass a number."
            )
