"""Part: one network of a model, and what training does to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

__all__ = ["Part"]


@dataclass(frozen=True)
class Part:
    """One network of a model, and what training does to it.

    Args:
        network: The network.
        average_of: Name of the part whose weights it follows, as a running average; `None` where it is trained itself.
        optimizer: What trains it, once the model is compiled.
    """

    network: Any
    average_of: str | None = None
    optimizer: keras.optimizers.Optimizer | None = None

    @property
    def is_trained(self) -> bool:
        return self.average_of is None
