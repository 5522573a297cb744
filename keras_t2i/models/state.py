"""What training changes beside weights: the variables and random states that objects hold, however they are nested."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

__all__ = ["held_by", "load_random_states", "save_random_states"]

_PREFIX = "random_"
_ENCODER = "text_encoder"

_OPAQUE = ("builtins", "keras", "numpy", "tensorflow")
"""What these libraries' own objects hold is none of our business."""


def held_by(owner: Any) -> list[keras.Variable]:
    """The variables and random states that losses, penalties, terms and augmentations hold, always in one order."""
    return list(_held_by(owner, set()))


def save_random_states(model: Any, store: Any) -> None:
    """Puts the random states of a model, and of what it is compiled with, into a store of Keras.

    The fingerprint of its text encoder goes along, whose weights do not.
    """
    for number, variable in enumerate(_random_states(model)):
        store[f"{_PREFIX}{number}"] = variable.numpy()
    if model.text_encoder is not None:
        store[_ENCODER] = np.frombuffer(bytes.fromhex(model.text_encoder.fingerprint), np.uint8)


def load_random_states(model: Any, store: Any) -> dict[str, Any]:
    """Reads them back, as far as they are there; returns what else is in the store.

    Raises:
        ValueError: if the weights were trained with another text encoder.
    """
    names = list(store.keys())
    if _ENCODER in names and model.text_encoder is not None:
        theirs, ours = np.array(store[_ENCODER]).tobytes().hex(), model.text_encoder.fingerprint
        if theirs != ours:
            raise ValueError(
                f"these weights were trained with another text encoder (fingerprint {theirs[:12]}; this model's is "
                f"{ours[:12]}): build the model with that one."
            )
    for number, variable in enumerate(_random_states(model)):
        if f"{_PREFIX}{number}" in names:
            variable.assign(store[f"{_PREFIX}{number}"])
    return {name: store[name] for name in names if not name.startswith(_PREFIX) and name != _ENCODER}


def _random_states(model: Any) -> list[Any]:
    if not getattr(model, "trackers", None):  # Not compiled: there is nothing to go on with.
        return []
    of_networks = []
    for part in model.parts().values():
        weights = {id(weight) for weight in part.network.weights}
        of_networks += [variable for variable in part.network.variables if id(variable) not in weights]
    state = model.state()
    return [*of_networks, *held_by([state["random"], state.get("state")])]


def _held_by(owner: Any, seen: set[int]) -> Iterator[keras.Variable]:
    """The variables and random states that losses, penalties and augmentations hold, however they are nested."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    variables: tuple[Any, ...] = (keras.Variable,)
    layers: tuple[Any, ...] = (keras.Layer,)
    if tensorflow := sys.modules.get("tensorflow"):
        variables, layers = (*variables, tensorflow.Variable), (*layers, tensorflow.Module)
    if isinstance(owner, variables):
        yield owner
    elif isinstance(owner, keras.random.SeedGenerator):
        yield owner.state
    elif isinstance(owner, layers):
        if getattr(owner, "trainable", True):  # What is frozen, such as image features, never changes.
            yield from owner.variables
    else:
        for part in _made_of(owner):
            yield from _held_by(part, seen)


def _made_of(owner: Any) -> Iterable[Any]:
    """What may hold variables within a container, a bound function or an object of ours or the user's."""
    if isinstance(owner, list | tuple):
        return owner
    if isinstance(owner, dict):
        return [owner[key] for key in sorted(owner, key=str)]
    if isinstance(owner, functools.partial):
        return [owner.func, owner.args, owner.keywords]
    if isinstance(owner, types.MethodType):
        return [owner.__self__]
    is_opaque = type(owner).__module__.partition(".")[0] in _OPAQUE or not hasattr(owner, "__dict__")
    return [] if is_opaque else [vars(owner)]
