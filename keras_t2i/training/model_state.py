"""What one training step reads from the last: every variable and every random state of a model in training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from keras_t2i.models import Stylizer, TextToImage
from keras_t2i.models.state import held_by

__all__ = ["model_state", "owners"]


def model_state(gan: TextToImage | Stylizer) -> dict[str, keras.Variable]:
    """Everything that training changes, by names that do not depend on how many models a process has made."""
    groups: dict[str, Iterable[keras.Variable]] = {}
    for name, owner in owners(gan).items():
        if not owner.built:
            # Its slots (momenta) do not exist yet, so they could neither be saved nor restored: Keras only warns.
            raise ValueError(f"The model's {name} is not built and has no slots to save; pass it to `compile`.")
        # `variables` of a network includes the random state of its layers; `weights` would not. Of billions of weights
        # the frozen ones are those that a run starts from each time.
        is_large = not getattr(owner, "has_average", True)
        groups[name] = owner.trainable_variables if is_large else owner.variables
    groups |= {name: held_by(held) for name, held in gan.state().items()}
    return {
        f"{group}/{position:04d}": variable
        for group, variables in groups.items()
        for position, variable in enumerate(variables)
    }


def owners(gan: TextToImage | Stylizer) -> dict[str, Any]:
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
