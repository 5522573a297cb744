"""Copies: does the model draw its training images?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_t2i.metrics.measure import Examined, Measure

__all__ = ["MEMORIZATION"]

_COPYING = 0.25


def _memorization(examined: Examined) -> dict[str, float]:
    found = examined.nearest
    return {} if found is None else {"memorization": found.share, "memorization_by_chance": found.by_chance}


def _alarm(numbers: Mapping[str, Any]) -> str | None:
    if numbers["memorization"] > max(_COPYING, numbers.get("memorization_by_chance", 0.0)):
        return (
            f"Copies: {numbers['memorization']:.0%} of images lie closer to a training image than nearly all real "
            "held-out ones do. Look at the nearest training images."
        )
    return None


MEMORIZATION = Measure(
    _memorization,
    "Copies",
    "lower",
    "share",
    "Share of images that lie closer to a training image than 95 % of real held-out images do: 5 % is right.",
    alarm=_alarm,
)
