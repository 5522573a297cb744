"""Fréchet distance between the Gaussians fitted to two sets of features (Heusel et al., 2017)."""

from __future__ import annotations

import numpy as np

from keras_t2i.metrics.feature_checks import checked_features

__all__ = ["frechet_distance"]


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Returns `|mu_1 - mu_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))`, with unbiased covariances.

    It is the "FID" where the features are those of the Inception network of 2015-12-05, and is else named after its
    features. It falls as N grows, even between two samples of the same images: compare distances of equal N only, and
    below some 2,000 images prefer `kernel_distance`.

    Args:
        real: Features of real images, shape `(N, D)`, N >= 2.
        generated: Features of generated images, shape `(M, D)`, M >= 2.

    Returns:
        The distance, in squared units of the features, never negative.

    Raises:
        ValueError: if the shapes do not match, a row is missing or a value is not finite.
    """
    real, generated = checked_features(2, real=real, generated=generated)
    shift = real.mean(axis=0) - generated.mean(axis=0)
    a, b = _covariance_factor(real), _covariance_factor(generated)
    # With C_1 = A'A and C_2 = B'B, the eigenvalues of C_1 C_2 other than 0 are the squared singular values of A B'.
    # No covariance is formed and no root taken of it, so singular ones (N <= D, constant features) lose no digits.
    trace_of_root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + np.square(a).sum() + np.square(b).sum() - 2.0 * trace_of_root))


def _covariance_factor(features: np.ndarray) -> np.ndarray:
    """A matrix A of at most D rows, such that A'A is the unbiased covariance of the features."""
    centered = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    if centered.shape[0] <= centered.shape[1]:
        return centered
    triangle: np.ndarray = np.linalg.qr(centered, mode="r")  # type: ignore[assignment]
    return triangle
