"""What Keras must run on, said in one line before it is imported."""

from __future__ import annotations

import os

__all__ = ["BACKENDS", "check_backend"]

BACKENDS = ("tensorflow", "jax")
_LEGACY = "TF_USE_LEGACY_KERAS"


def check_backend(name: str | None = None) -> None:
    """Refuses what nothing here runs on.

    Args:
        name: What Keras runs on; by default what the environment asks it to.

    Raises:
        ImportError: for anything but Keras 3 on TensorFlow or JAX.
    """
    if os.environ.get(_LEGACY, "").lower() in ("1", "true"):
        raise ImportError(
            f"{_LEGACY}={os.environ[_LEGACY]} has TensorFlow use Keras 2, and keras_t2i needs Keras 3: unset it."
        )
    name = name or os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if name not in BACKENDS:
        raise ImportError(
            f"Keras runs on {name!r} here, and keras_t2i on TensorFlow and JAX: set KERAS_BACKEND=tensorflow or "
            "KERAS_BACKEND=jax before Keras is imported."
        )
