"""Kernel distance between two sets of features (Binkowski et al., 2018), with a confidence interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_t2i.metrics.feature_checks import checked_features

__all__ = ["KernelEstimate", "kernel_distance"]

_BLOCK_SIZE = 512  # 2 MB of kernel values, which stay in the cache
_NORMAL_QUANTILE = 1.959964  # 97.5 %


@dataclass(frozen=True)
class KernelEstimate:
    """A kernel distance and the ends of its 95 % confidence interval.

    Args:
        value: The unbiased estimate; about 0, and then as often below it as above, where the two distributions agree.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> KernelEstimate:
    """Returns the squared maximum mean discrepancy under the kernel `(x.y / D + 1)^3`, without bias.

    It is the "KID" where the features are those of the Inception network of 2015-12-05. All pairs of rows are used. The
    mean over random subsets that papers print estimates the same quantity, with more noise and a seed to choose.

    The interval is 1.96 jackknife standard errors to either side: each row of either set is left out in turn. It tells
    what another draw of images would change. Where the two distributions agree it is wider than need be.

    The kernel grows with the length of the feature vectors: damage that changes it first one way and then the other, as
    ever stronger blur does for some networks, need not raise the distance further. Read it together with coverage.

    Time grows with the square of the number of rows, memory does not.

    Args:
        real: Features of real images, shape `(N, D)`, N >= 3.
        generated: Features of generated images, shape `(M, D)`, M >= 3.

    Returns:
        The distance and its interval.

    Raises:
        ValueError: if the shapes do not match, rows are missing or a value is not finite.
    """
    real, generated = checked_features(3, real=real, generated=generated)
    n, m = len(real), len(generated)
    within_real, within_generated = _sums_over_others(real), _sums_over_others(generated)
    across_real, across_generated = _kernel_sums(real, generated)
    value = within_real.sum() / (n * (n - 1)) + within_generated.sum() / (m * (m - 1)) - 2 * across_real.sum() / (n * m)
    variance = _jackknife_variance(within_real, across_real / m)
    variance += _jackknife_variance(within_generated, across_generated / n)
    margin = _NORMAL_QUANTILE * np.sqrt(variance)
    return KernelEstimate(float(value), float(value - margin), float(value + margin))


def _jackknife_variance(within: np.ndarray, across: np.ndarray) -> float:
    """The share of one set in the variance: of its rows, the kernel sums over the others and the means over the rest.

    Without row i the estimate is `-2 / (n - 1) (within_i / (n - 2) - across_i)` plus what is the same for all i.
    """
    n = len(within)
    return float(4.0 / n * np.var(within / (n - 2) - across, ddof=1))


def _sums_over_others(x: np.ndarray) -> np.ndarray:
    """For each row, the sum of its kernel with all other rows, shape `(N,)`."""
    return _kernel_sums(x, x)[0] - (np.einsum("nd,nd->n", x, x) / x.shape[1] + 1.0) ** 3


def _kernel_sums(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of either, the sum of its kernel with all rows of the other, shapes `(N,)` and `(M,)`."""
    sums_x, sums_y = np.zeros(len(x)), np.zeros(len(y))
    for i in range(0, len(x), _BLOCK_SIZE):
        for j in range(0, len(y), _BLOCK_SIZE):
            products = x[i : i + _BLOCK_SIZE] @ y[j : j + _BLOCK_SIZE].T / x.shape[1] + 1.0
            kernel = products * products * products
            sums_x[i : i + _BLOCK_SIZE] += kernel.sum(axis=1)
            sums_y[j : j + _BLOCK_SIZE] += kernel.sum(axis=0)
    return sums_x, sums_y
