"""What every metric on features asks of its inputs."""

from __future__ import annotations

import numpy as np

__all__ = ["checked_features"]


def checked_features(min_rows: int, **features: np.ndarray) -> list[np.ndarray]:
    """Returns the features in the given order, as float64.

    Args:
        min_rows: The fewest rows that each may have.
        **features: Feature vectors, shape `(N, D)`, under the names by which an error is to call them.

    Returns:
        The arrays, float64, shape `(N, D)`.

    Raises:
        ValueError: if one is not a matrix, has too few rows, another D than the first, or a value that is not finite.
    """
    arrays: list[np.ndarray] = []
    for name, given in features.items():
        array = np.asarray(given, np.float64)
        if array.ndim != 2 or array.shape[1] < 1:
            raise ValueError(f"`{name}` must be features of shape (N, D); got shape {array.shape}.")
        if len(array) < min_rows:
            raise ValueError(f"`{name}` needs at least {min_rows} rows; got {len(array)}. Pass more images.")
        if arrays and array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"`{name}` has {array.shape[1]} features a row and `{next(iter(features))}` {arrays[0].shape[1]}; "
                "take both from the same network."
            )
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise ValueError(f"`{name}` must be finite; row {row} is not. Check the images and the network.")
        arrays.append(array)
    return arrays
