"""What Keras' own tools expect of a model: one optimizer to look at, archives, compile configurations, callbacks."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from keras_t2i.core.keras_internals import own_layers
from keras_t2i.models import files
from keras_t2i.models.part import Part

__all__ = ["Rates", "check_augmentation", "check_callbacks", "check_penalties", "compile_config", "restored"]

_REFUSED: dict[type[keras.callbacks.Callback], str] = {
    keras.callbacks.BackupAndRestore: "keeps the epoch and not the place in the data: use keras_t2i.training.train, "
    "whose runs resume to the bit",
    keras.callbacks.SwapEMAWeights: "swaps what an optimizer averages, and this model averages its networks itself "
    "(`ema_decay`): leave it out",
}
_CHANGES_RATES = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
_COMPARES = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau)
_SERIALIZED = "serialized"


class Rates:
    """The optimizers of a model as one, for what looks at `model.optimizer.learning_rate`.

    Reading gives the rate of the first; setting moves all of them, and their ratios stay as they are: also through a
    rate of 0, where those of before are kept.

    Args:
        optimizers: A function that returns them.
        moved: A function that returns what else a step moves, which is no weight and no metric.
    """

    def __init__(
        self, optimizers: Callable[[], list[keras.optimizers.Optimizer]], moved: Callable[[], list[Any]]
    ) -> None:
        self._optimizers, self._moved = optimizers, moved
        self._ratios: list[float] = []

    @property
    def built(self) -> bool:
        """Whether all of them have their slots."""
        return all(optimizer.built for optimizer in self._optimizers())

    @property
    def variables(self) -> list[Any]:
        """Those of all of them, and what else a step moves."""
        return [*(variable for optimizer in self._optimizers() for variable in optimizer.variables), *self._moved()]

    @property
    def iterations(self) -> Any:
        """Steps done, a variable."""
        return self._optimizers()[0].iterations

    @property
    def learning_rate(self) -> Any:
        """The rate of the first optimizer, a variable."""
        return self._optimizers()[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        optimizers = self._optimizers()
        _refuse_schedules(optimizers, "Setting `optimizer.learning_rate`")
        rates = [float(keras.ops.convert_to_numpy(optimizer.learning_rate)) for optimizer in optimizers]
        if rates[0] > 0:
            self._ratios = [rate / rates[0] for rate in rates]
        if not self._ratios:
            raise ValueError(
                f"`optimizer.learning_rate` got {float(value)}, but the rates are {rates}, with no ratio to keep: set "
                "that of each optimizer."
            )
        for optimizer, ratio in zip(optimizers, self._ratios, strict=True):
            optimizer.learning_rate = float(value) * ratio


def check_augmentation(captions: Any, network: Any) -> None:
    """Raises `ValueError` where changes to captions are asked of a network that reads these itself."""
    if captions is not None and network.text_tower is not None:
        raise ValueError("`caption_augmentation` changes sentence embeddings; these networks read token numbers.")


def check_penalties(penalties: Iterable[Any], discriminator: Any, num_replicas: int) -> None:
    """Raises `ValueError` where a penalty, due now and then, would have devices tell each other what each has found."""
    if num_replicas > 1 and any(penalties):
        tells = [layer for layer in own_layers(discriminator) if isinstance(layer, keras.layers.BatchNormalization)]
        if tells:
            raise ValueError(
                "A gradient penalty and batch normalization in the discriminator do not go together on several devices"
                ": pass penalty=None (--penalty none), or train on one."
            )


def check_callbacks(model: Any, callbacks: Any, optimizers: list[keras.optimizers.Optimizer]) -> None:
    """Refuses callbacks that would lose something, before training.

    Raises:
        ValueError: for such a callback, one that changes learning rates which follow a schedule, one that would write
            what cannot be read, or one that Keras would stop at after the first epoch.
    """
    given = getattr(callbacks, "callbacks", callbacks) or []
    for callback in given if isinstance(given, Iterable) else [given]:
        name = type(callback).__name__
        for kind, why in _REFUSED.items():
            if isinstance(callback, kind):
                raise ValueError(f"The callback {kind.__name__} {why}.")
        if isinstance(callback, _CHANGES_RATES):
            _refuse_schedules(optimizers, f"The callback {name}")
        is_checkpoint = isinstance(callback, keras.callbacks.ModelCheckpoint)
        if is_checkpoint and not callback.save_weights_only:
            files.check(model)
        compares = callback.save_best_only if is_checkpoint else isinstance(callback, _COMPARES)
        if compares and callback.mode == "auto" and callback.monitor not in ("loss", "val_loss"):
            raise ValueError(
                f"The callback {name} got monitor={callback.monitor!r} and mode='auto', which Keras cannot tell the "
                "better direction of: pass mode='min' or mode='max'."
            )


def compile_config(
    parts: Mapping[str, Part], arguments: Mapping[str, Any], metrics: Iterable[Any]
) -> dict[str, Any] | None:
    """How a model is trained in a form that JSON can hold, or `None` with a warning where it has none.

    Args:
        parts: The networks by name.
        arguments: Those of `compile` by name; objects must be Keras' own or registered.
        metrics: What `compile` was given to measure with; it is left out, with a warning.
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        try:
            found[name] = _plain(value)
        except TypeError:
            _warn_without(f"`{name}` cannot be serialized")
            return None
    layers = {name: own_layers(part.network) for name, part in parts.items() if part.is_trained}
    trainable = {name: [_trained_of(layer) for layer in each] for name, each in layers.items()}
    if any(getattr(layer, "lora_enabled", False) for each in layers.values() for layer in each):
        _warn_without("the adapters of LoRA are merged into their layers")
        return None
    if names := [metric.name for metric in metrics]:
        warnings.warn(f"The file does not hold the metrics {', '.join(names)}: compile with them again.", stacklevel=2)
    return {"arguments": found, "trainable": trainable}


def restored(parts: Mapping[str, Part], config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `compile` that `compile_config` has made plain; the same weights are frozen as were."""
    for name, saved in config["trainable"].items():
        layers = own_layers(parts[name].network)
        for layer, (trainable, _) in zip(layers, saved, strict=True):
            layer.trainable = trainable
        for layer, (_, weights) in zip(layers, saved, strict=True):
            for weight, trainable in zip(layer.weights, weights, strict=True):
                weight.trainable = trainable
    return {name: _object(value) for name, value in config["arguments"].items()}


def _trained_of(layer: keras.Layer) -> tuple[bool, list[bool]]:
    """Whether a layer is trained, which changes what it computes, and which of its weights are."""
    return bool(layer.trainable), [bool(weight.trainable) for weight in layer.weights]


def _warn_without(why: str) -> None:
    warnings.warn(
        f"The file holds the whole model, but not how it is trained: {why}. Call `compile` on the loaded model before "
        "training it further.",
        stacklevel=3,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    named = value if inspect.isfunction(value) else type(value)
    is_registered = keras.saving.get_registered_object(keras.saving.get_registered_name(named)) is named
    if not is_registered and not type(value).__module__.startswith("keras."):
        raise TypeError  # Keras would write it, and find nothing of that name when it reads the file.
    return {_SERIALIZED: json.loads(json.dumps(keras.saving.serialize_keras_object(value)))}


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
