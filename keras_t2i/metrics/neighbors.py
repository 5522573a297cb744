"""Nearest neighbors among features, in blocks of bounded memory, and the share of generated images that are copies."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keras_t2i.metrics.feature_checks import checked_features

__all__ = ["Memorization", "memorization", "nearest_neighbors", "squared_distance_blocks"]

_QUANTILE = 0.05
_BY_CHANCE = 0.01


@dataclass(frozen=True, eq=False)
class Memorization:
    """How close generated images lie to training images.

    Args:
        share: Share of generated images no farther from their nearest training image than `threshold`. About 0.05 for
            a generator whose images resemble the training images as much as other real ones do.
        indices: For each generated image, the number of the nearest training image, int64, shape `(N,)`.
        distances: For each generated image, the Euclidean distance to that image, float64, shape `(N,)`.
        threshold: The distance to the nearest training image that 5 % of held-out real images stay below.
        by_chance: The share that as many other real images would exceed in one of a hundred such comparisons: well
            above 0.05 where few are held out, which then say little about the scale.
    """

    share: float
    indices: np.ndarray
    distances: np.ndarray
    threshold: float
    by_chance: float


def memorization(generated: np.ndarray, train: np.ndarray, held_out: np.ndarray) -> Memorization:
    """Returns the share of generated images that lie closer to a training image than real images normally do.

    Real images held out of training, from the same source, set the scale: 5 % of them lie within the threshold. A
    share well above that is a sign of copies; look at the generated images beside the training images found. A low
    share does not prove their absence: images too poor to lie near anything have one as well.

    With fewer than 19 held-out images the threshold is their smallest distance, and the share to be expected is one in
    their number plus one.

    Args:
        generated: Features of generated images, shape `(N, D)`.
        train: Features of all training images, shape `(T, D)`.
        held_out: Features of real images that are not among the training images, shape `(H, D)`.

    Returns:
        The share, the nearest training image of each generated image, and the threshold.

    Raises:
        ValueError: if the shapes do not match, a set is empty or a value is not finite.
    """
    generated, train, held_out = checked_features(1, generated=generated, train=train, held_out=held_out)
    indices, distances = nearest_neighbors(generated, train)
    # This quantile is the one below which another image of the same source falls with a probability of 5 %.
    threshold = float(np.quantile(nearest_neighbors(held_out, train)[1], _QUANTILE, method="weibull"))
    # Not `<`: where held-out images are copies themselves the threshold is 0, and generated copies must still count.
    share = float(np.mean(distances <= threshold))
    return Memorization(share, indices, distances, threshold, _by_chance(len(generated), len(held_out)))


def _by_chance(num_generated: int, num_held_out: int) -> float:
    """The share of real images within the threshold that chance exceeds once in a hundred times.

    All orders of as many other real images and of those held out, from near to far, are as likely: of how many come
    before the held-out image that sets the threshold, the probability is a quotient of numbers of orders.
    """
    place = max(1, math.ceil(_QUANTILE * (num_held_out + 1)))
    orders, left = math.comb(num_generated + num_held_out, num_generated), 1.0
    for within in range(num_generated):
        beyond = math.comb(num_generated - within + num_held_out - place, num_generated - within)
        left -= math.comb(within + place - 1, within) * beyond / orders
        if left < _BY_CHANCE:
            return within / num_generated
    return 1.0


def nearest_neighbors(
    queries: np.ndarray, references: np.ndarray, block_size: int = 1024
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest reference of each query.

    Args:
        queries: Features, shape `(N, D)`.
        references: Features, shape `(M, D)`.
        block_size: Rows of either compared at once: memory grows with its square.

    Returns:
        The number of the nearest reference, int64, shape `(N,)` (of several as near, the first), and the Euclidean
        distance to it, float64, shape `(N,)`.

    Raises:
        ValueError: if the shapes do not match, a set is empty, a value is not finite or `block_size` is below 1.
    """
    queries, references = checked_features(1, queries=queries, references=references)
    indices = np.zeros(len(queries), np.int64)
    nearest = np.full(len(queries), np.inf)
    for rows, columns, squared in squared_distance_blocks(queries, references, block_size):
        candidates = squared.argmin(axis=1)
        smallest = np.take_along_axis(squared, candidates[:, None], axis=1)[:, 0]
        closer = smallest < nearest[rows]
        indices[rows] = np.where(closer, columns.start + candidates, indices[rows])
        nearest[rows] = np.minimum(smallest, nearest[rows])
    # Anew from the differences, which keep the digits that the expanded square loses between near rows.
    distances = np.empty(len(queries))
    for start in range(0, len(queries), block_size):
        rows = slice(start, start + block_size)
        distances[rows] = np.linalg.norm(queries[rows] - references[indices[rows]], axis=1)
    return indices, distances


def squared_distance_blocks(
    x: np.ndarray, y: np.ndarray, block_size: int = 1024
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Yields the squared Euclidean distances between rows, block by block.

    Args:
        x: Rows, float64, shape `(N, D)`.
        y: Rows, float64, shape `(M, D)`.
        block_size: Most rows of either in a block.

    Yields:
        Which rows of `x`, which of `y`, and their squared distances. Rows that differ by no more than rounding (by a
        millionth of their distance from the mean of `y`) have the distance 0.

    Raises:
        ValueError: if `block_size` is below 1.
    """
    if block_size < 1:
        raise ValueError(f"`block_size` must be at least 1; got {block_size}.")
    center = y.mean(axis=0)
    for i in range(0, len(x), block_size):
        rows = slice(i, min(i + block_size, len(x)))
        a = x[rows] - center
        for j in range(0, len(y), block_size):
            columns = slice(j, min(j + block_size, len(y)))
            b = y[columns] - center
            scale = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
            squared = scale - 2.0 * (a @ b.T)
            yield rows, columns, np.where(squared < 1e-12 * scale, 0.0, squared)
