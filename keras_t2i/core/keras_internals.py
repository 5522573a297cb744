"""What is used of Keras, KerasHub and TensorFlow beyond what they document: `pyproject.toml` bounds their versions."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator
from typing import Any

_KERAS_HUB = {
    "MMDiT": "keras_hub.src.models.stable_diffusion_3.mmdit",
    "T5Encoder": "keras_hub.src.models.stable_diffusion_3.t5_encoder",
    "VAEBackbone": "keras_hub.src.models.vae.vae_backbone",
}

KERAS_HUB_CLASSES = frozenset((module, name) for name, module in _KERAS_HUB.items())
"""Classes that KerasHub writes into presets, by module and name, and has not registered."""

__all__ = [
    "KERAS_HUB_CLASSES",
    "applies_as_given",
    "function_graph",
    "is_created_frozen",
    "jax_state",
    "keras_hub_class",
    "known_values",
    "maker_of",
    "own_layers",
    "safe_mode",
    "unallocated",
    "untrack",
]


def applies_as_given(optimizer: Any) -> None:
    """Makes an optimizer apply the gradients that it is given; Keras' own adds up those of all devices first.

    Where they are the whole batch's on every device, each changes its own copy.
    """
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    optimizer._backend_update_step = functools.partial(BaseOptimizer._backend_update_step, optimizer)


def own_layers(layer: Any, recursive: bool = True) -> list[Any]:
    """A layer and those within it, in the order of their creation; not recursively, only what it is made of itself."""
    return list(layer._flatten_layers(include_self=recursive, recursive=recursive))


def untrack(layer: Any, value: Any) -> None:
    """Makes a layer forget what was assigned to it, so that it no longer counts it among its own."""
    layer._tracker.untrack(value)


def is_created_frozen(layer: Any, weight: Any) -> bool:
    """Whether a weight was never meant to be trained, as statistics are, whatever is frozen since."""
    return any(weight is other for other in layer._non_trainable_variables)


def maker_of(tensor: Any) -> Any:
    """The layer or operation that a symbolic tensor comes from."""
    return tensor._keras_history.operation


def function_graph(graph: Any, name: str) -> Any:
    """The graph of a function that a TensorFlow graph calls."""
    return graph._get_function(name).graph


def known_values() -> dict[int, Any]:
    """The values that variables have in the stateless scope that is open, by the variables' `id`; it may be changed.

    Raises:
        RuntimeError: if none is open.
    """
    from keras.src.backend.common.stateless_scope import get_stateless_scope, in_stateless_scope

    if not in_stateless_scope():
        raise RuntimeError("No keras.StatelessScope is open.")
    return get_stateless_scope().state_mapping


def jax_state(model: Any) -> dict[str, Any]:
    """What JAX's trainer has made of a model's variables so far, by kind, while `fit` runs."""
    return model._jax_state


def safe_mode() -> Any:
    """A context in which Keras builds no lambdas and runs no code of a configuration, whatever is set elsewhere.

    `safe_mode=True`, where it can be passed at all, gives way to `keras.config.enable_unsafe_deserialization()`: here
    nothing is set, so that Keras' own default holds again, which is the safe one.
    """
    from keras.src.saving.serialization_lib import SafeModeScope

    return SafeModeScope(None)


def keras_hub_class(name: str) -> Any:
    """One of the classes that KerasHub builds Stable Diffusion of, and shows nobody.

    Raises:
        ImportError: if KerasHub is not installed.
    """
    return getattr(importlib.import_module(_KERAS_HUB[name]), name)


@contextlib.contextmanager
def unallocated() -> Iterator[None]:
    """A context in which networks are built whose weights have shapes, and take no memory: they can only be counted."""
    import keras
    from keras.src.backend.common import global_state

    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute("uninitialized_variables", [])  # Or Keras would make up for it later.
