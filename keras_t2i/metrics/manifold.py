"""Precision and recall (Kynkäänniemi et al., 2019), density and coverage (Naeem et al., 2020) of generated images."""

from __future__ import annotations

import numpy as np

from keras_t2i.metrics.feature_checks import checked_features
from keras_t2i.metrics.neighbors import squared_distance_blocks

__all__ = ["manifold_metrics"]


def manifold_metrics(real: np.ndarray, generated: np.ndarray, num_neighbors: int = 5) -> dict[str, float]:
    """Tells quality from variety: which generated images lie among the real ones, and the other way round.

    The ball of an image reaches to its `num_neighbors`-th nearest other image of the same set, the edge not included.
    (Some implementations include it; on features without ties both give the same numbers.) Compare values of equal
    numbers of images only.

    Args:
        real: Features of real images, shape `(N, D)`, N > `num_neighbors`.
        generated: Features of generated images, shape `(M, D)`, M > `num_neighbors`.
        num_neighbors: Number of neighbors that sets the size of a ball.

    Returns:
        `precision`: share of generated images that lie in the ball of some real image.
        `recall`: share of real images that lie in the ball of some generated image.
        `density`: number of real balls that a generated image lies in, in the mean, divided by `num_neighbors`; about 1
        where the distributions agree, and may exceed it.
        `coverage`: share of real images with a generated image in their ball.

    Raises:
        ValueError: if `num_neighbors` is below 1, the shapes do not match, rows are missing or a value is not finite.
    """
    if num_neighbors < 1:
        raise ValueError(f"`num_neighbors` must be at least 1; got {num_neighbors}.")
    real, generated = checked_features(num_neighbors + 1, real=real, generated=generated)
    real_radii = _squared_radii(real, num_neighbors)
    generated_radii = _squared_radii(generated, num_neighbors)
    real_balls_around = np.zeros(len(generated), np.int64)
    covered = np.zeros(len(real), bool)
    recalled = np.zeros(len(real), bool)
    for rows, columns, squared in squared_distance_blocks(real, generated):
        in_real_ball = squared < real_radii[rows, None]
        real_balls_around[columns] += in_real_ball.sum(axis=0)
        covered[rows] |= in_real_ball.any(axis=1)
        recalled[rows] |= (squared < generated_radii[columns]).any(axis=1)
    return {
        "precision": float((real_balls_around > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(real_balls_around.mean() / num_neighbors),
        "coverage": float(covered.mean()),
    }


def _squared_radii(features: np.ndarray, num_neighbors: int) -> np.ndarray:
    """The squared distance of each row to its `num_neighbors`-th nearest other row, shape `(N,)`."""
    nearest = np.full((len(features), num_neighbors), np.inf)
    for rows, columns, squared in squared_distance_blocks(features, features):
        if rows == columns:
            np.fill_diagonal(squared, np.inf)
        both = np.concatenate([nearest[rows], squared], axis=1)
        nearest[rows] = np.partition(both, num_neighbors - 1, axis=1)[:, :num_neighbors]
    # A row at the very edge must not count as inside for a rounding error.
    return nearest.max(axis=1) * (1.0 - 1e-9)
