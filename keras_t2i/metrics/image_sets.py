"""Generated images against real ones, as two sets: how far apart they lie, and how far each covers the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_t2i.metrics.frechet import frechet_distance
from keras_t2i.metrics.kernel import kernel_distance
from keras_t2i.metrics.manifold import manifold_metrics
from keras_t2i.metrics.measure import Examined, Measure

__all__ = ["COVERAGE", "FRECHET_DISTANCE", "KERNEL_DISTANCE", "PRECISION", "compare_images"]


def compare_images(generated: np.ndarray, real: np.ndarray, features: Any) -> dict[str, Any]:
    """Measures how far generated images are, as a set, from real ones.

    Distances depend on the features and, all but the kernel distance, on the numbers of images: compare only what was
    measured with the same of both.

    Args:
        generated: uint8, shape `(N, H, W, 3)`, N >= 3.
        real: uint8, shape `(M, H, W, 3)`, M >= 3.
        features: A `keras_t2i.ImageFeatures`.

    Returns:
        `features` (their name), `num_images`, `num_real`, `frechet_distance`, `kernel_distance` with the ends of its
        95 % interval, `kernel_distance_low` and `_high`, `precision`, `recall`, `density` and `coverage`.

    Raises:
        ValueError: if there are fewer images, or the features cannot take them.
    """
    of_real, of_generated = features(real), features(generated)
    kernel = kernel_distance(of_real, of_generated)
    result = {
        "features": features.name,
        "num_images": len(generated),
        "num_real": len(real),
        "frechet_distance": frechet_distance(of_real, of_generated),
        "kernel_distance": kernel.value,
        "kernel_distance_low": kernel.low,
        "kernel_distance_high": kernel.high,
    }
    neighbors = min(5, len(real) - 1, len(generated) - 1)
    return {**result, **manifold_metrics(of_real, of_generated, num_neighbors=neighbors)}


def _compared(examined: Examined) -> dict[str, Any]:
    if examined.features is None:
        return {}
    return compare_images(examined.generated, examined.real, examined.features)


KERNEL_DISTANCE = Measure(
    _compared,
    "Kernel distance (KID)",
    "lower",
    "number",
    "Unbiased squared maximum mean discrepancy, cubic kernel, between features of generated and of real images.",
    in_curves=True,
)
FRECHET_DISTANCE = Measure(
    _compared,
    "Fréchet distance",
    "lower",
    "number",
    "Between Gaussians fitted to the same features. It depends on how many there are: compare at equal numbers.",
    in_curves=True,
)
PRECISION = Measure(
    _compared,
    "Precision",
    "higher",
    "share",
    "Share of generated images that lie in the neighborhood of a real one.",
    in_curves=True,
)
COVERAGE = Measure(
    _compared,
    "Coverage",
    "higher",
    "share",
    "Share of real images that have a generated one in their neighborhood.",
    in_curves=True,
)
