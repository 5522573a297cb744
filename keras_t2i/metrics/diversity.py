"""Diversity: how far images lie apart. A generator that has collapsed draws all alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_t2i.metrics.measure import Examined, Measure

__all__ = ["DIVERSITY", "pairwise_distance", "relative_diversity"]

_COLLAPSED = 0.5


def pairwise_distance(images: np.ndarray) -> float:
    """Returns the root mean square distance between pairs of different images.

    Args:
        images: At least two images of any range, shape `(N, H, W, 3)`.

    Returns:
        The distance a pixel and channel, in the units of the images.

    Raises:
        ValueError: with fewer than two images.
    """
    if len(images) < 2:
        raise ValueError(f"A distance between images needs at least 2 of them; got {len(images)}.")
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    # The mean of |a - b|^2 over all ordered pairs of different images is 2 N / (N - 1) times the variance.
    variance = flat.var(axis=0).mean()
    return float(np.sqrt(2.0 * len(flat) / (len(flat) - 1) * variance))


def relative_diversity(generated: np.ndarray, real: np.ndarray) -> float:
    """Returns the distance between pairs of generated images, divided by that between pairs of real ones.

    Args:
        generated: At least two images, shape `(N, H, W, 3)`.
        real: Likewise, in the same units, shape `(M, H, W, 3)`.

    Returns:
        1 where they are as diverse as real images, 0 where all are alike.

    Raises:
        ValueError: with fewer than two images of either.
    """
    return pairwise_distance(generated) / max(pairwise_distance(real), 1e-12)


def _diversity(examined: Examined) -> dict[str, float]:
    if min(len(examined.real), len(examined.generated)) < 2:
        return {}
    first = examined.by_caption[:, 0]
    order = np.random.default_rng(examined.seed).permutation(len(first))
    typical = _typical_distance(first[order]) / max(_typical_distance(examined.real[order]), 1e-12)
    return {"diversity": relative_diversity(examined.generated, examined.real), "diversity_typical": typical}


def _typical_distance(images: np.ndarray) -> float:
    """The median distance of images to the next: one that is unlike all others does not move it."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    return float(np.median(np.linalg.norm(flat - np.roll(flat, 1, axis=0), axis=1)))


def _alarm(numbers: Mapping[str, Any]) -> str | None:
    # A few glaring images among many alike lie far apart in the mean.
    apart = min(numbers["diversity"], numbers.get("diversity_typical", np.inf))
    if apart < _COLLAPSED:
        return (
            f"Collapse: images of different captions lie {apart:.2f} times as far apart as real ones. "
            "Look at the grids; try another loss or penalty, or a lower learning rate."
        )
    return None


DIVERSITY = Measure(
    _diversity,
    "Diversity",
    None,
    "number",
    "Distance between pairs of generated images, divided by that between real ones: 1 is right.",
    alarm=_alarm,
    in_curves=True,
)
