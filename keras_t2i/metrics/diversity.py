"""Diversity: how far images lie apart. A generator that has collapsed draws all alike."""

from __future__ import annotations

import numpy as np

__all__ = ["pairwise_distance"]


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
