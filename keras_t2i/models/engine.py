"""The training step of the backend that Keras runs on, and what it has in common with the other's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_t2i.core.backend import is_jax

__all__ = ["Engine", "update_averages"]

if is_jax():
    from keras_t2i.models.engine_jax import Engine
else:
    from keras_t2i.models.engine_tensorflow import Engine  # type: ignore[assignment]


def update_averages(parts: Mapping[str, Any], decay: float) -> None:
    """Moves every average, batch-norm statistics included, towards the part that it is of.

    The decay is small at first, so that the untrained weights are soon forgotten.

    Args:
        parts: See `keras_t2i.models.TextToImage.parts`.
        decay: The decay that is come to.
    """
    for part in parts.values():
        if part.average_of is not None:
            current = parts[part.average_of]
            step = ops.cast(current.optimizer.iterations, "float32")
            warmed_up = ops.minimum(decay, (1.0 + step) / (10.0 + step))
            for slow, fast in zip(part.network.weights, current.network.weights, strict=True):
                slow.assign(slow + (1.0 - warmed_up) * (fast - slow))
