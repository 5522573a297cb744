"""What one training step reads from the last: every variable and every random state of a model in training."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_t2i.models import TextToImage

__all__ = ["model_state", "owners"]

_OPAQUE = ("builtins", "keras", "numpy", "tensorflow")  # what these libraries' own objects hold is none of our business


def model_state(gan: TextToImage) -> dict[str, keras.Variable]:
    """Everything that training changes, by names that do not depend on how many models a process has made."""
    groups: dict[str, Iterable[keras.Variable]] = {}
    for name, owner in owners(gan).items():
        if not owner.built:
            # Its slots (momenta) do not exist yet, so they could neither be saved nor restored: Keras only warns.
            raise ValueError(f"The model's {name} is not built and has no slots to save; pass it to `compile`.")
        # `variables` of a network includes the random state of its layers; `weights` would not.
        groups[name] = owner.variables
    groups |= {name: _held_by(held, set()) for name, held in gan.state().items()}
    return {
        f"{group}/{position:04d}": variable
        for group, variables in groups.items()
        for position, variable in enumerate(variables)
    }


def owners(gan: TextToImage) -> dict[str, Any]:
    """The networks of a model and what trains them, by name.

    Raises:
        ValueError: if it is not compiled.
    """
    parts = gan.parts()
    optimizers = {f"{name}_optimizer": part.optimizer for name, part in parts.items() if part.is_trained}
    missing = next((name for name, optimizer in optimizers.items() if optimizer is None), None)
    if missing is not None:
        raise ValueError(f"Checkpoints need a compiled model, but it has no {missing}; call `compile` first.")
    return {**{name: part.network for name, part in parts.items()}, **optimizers}


def _held_by(owner: Any, seen: set[int]) -> Iterator[keras.Variable]:
    """The variables and random states that losses, penalties and augmentations hold, however they are nested."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    if isinstance(owner, keras.Variable | tf.Variable):
        yield owner
    elif isinstance(owner, keras.random.SeedGenerator):
        yield owner.state
    elif isinstance(owner, keras.Layer | tf.Module):
        if getattr(owner, "trainable", True):  # What is frozen, such as image features, never changes.
            yield from owner.variables
    elif isinstance(owner, list | tuple):
        for item in owner:
            yield from _held_by(item, seen)
    elif isinstance(owner, dict):
        for key in sorted(owner, key=str):
            yield from _held_by(owner[key], seen)
    elif isinstance(owner, functools.partial):
        yield from _held_by([owner.func, owner.args, owner.keywords], seen)
    elif isinstance(owner, types.MethodType):
        yield from _held_by(owner.__self__, seen)
    elif type(owner).__module__.partition(".")[0] not in _OPAQUE and hasattr(owner, "__dict__"):
        yield from _held_by(vars(owner), seen)
