"""What is done with the backend itself, by the one that Keras runs on: TensorFlow or JAX."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import keras

from keras_t2i.core.supported import check_backend

if TYPE_CHECKING:
    from keras_t2i.core.backend_tensorflow import (
        cond_or_zero,
        example,
        has_bfloat16,
        has_fast_transposes,
        input_gradients,
        jitted,
        mean_of_replicas,
        of_all_replicas,
        planned_replicas,
        replica,
        value_and_gradients,
    )

__all__ = [
    "cond_or_zero",
    "example",
    "has_bfloat16",
    "has_fast_transposes",
    "input_gradients",
    "is_jax",
    "jitted",
    "mean_of_replicas",
    "need_tensorflow",
    "of_all_replicas",
    "planned_replicas",
    "replica",
    "value_and_gradients",
]


def is_jax() -> bool:
    """Whether Keras runs on JAX.

    Raises:
        ImportError: if it runs on anything but TensorFlow and JAX.
    """
    return _module().__name__.endswith("jax")


def need_tensorflow(what: str) -> None:
    """Raises `ValueError` where Keras runs on anything else.

    Args:
        what: What needs it, as a sentence begins.
    """
    name = keras.backend.backend()
    if name != "tensorflow":
        raise ValueError(
            f"{what} with TensorFlow, and Keras runs on {name!r} here: save a preset, and do it with "
            "KERAS_BACKEND=tensorflow."
        )


def _module() -> Any:
    name = keras.backend.backend()
    check_backend(name)
    return importlib.import_module(f"keras_t2i.core.backend_{name}")


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(_module(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
