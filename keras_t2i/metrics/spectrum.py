"""Texture: whether images hold as much fine and coarse detail as real ones, frequency by frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_t2i.metrics.measure import Examined, Measure

__all__ = ["BANDS", "SPECTRUM_WORST", "power_by_band", "spectral_difference"]

BANDS: Mapping[str, tuple[float, float]] = {
    "coarse": (0.02, 0.18),
    "medium": (0.18, 0.35),
    "fine": (0.35, 0.6),
    "finer": (0.6, 0.8),
    "finest": (0.8, 1.0),
    "diagonal": (1.0, 1.5),
}
"""Bands of spatial frequency by name, from and up to so many times the Nyquist frequency (a period of two pixels); the
last is of frequencies that only diagonals hold: checks and hatching."""

_CLEAN_DB = 3.0
_LUMINANCE = (0.299, 0.587, 0.114)


def power_by_band(images: np.ndarray) -> np.ndarray:
    """Returns the mean spectral power of images' luminance in each of the `BANDS`.

    Each image is faded to its mean towards its edges (Hann window), or these would count as fine detail.

    Args:
        images: Of any range, shape `(N, H, W, 3)`, at least 16 pixels high and wide.

    Returns:
        Power, float64, shape `(len(BANDS),)`.

    Raises:
        ValueError: if there are no images, or they are smaller.
    """
    if len(images) < 1 or min(images.shape[1:3]) < 16:
        raise ValueError(f"A spectrum needs images of at least 16 x 16 pixels; got shape {images.shape}.")
    height, width = images.shape[1:3]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    radius = np.hypot(2 * np.fft.fftfreq(height)[:, None], 2 * np.fft.rfftfreq(width)[None, :])
    power = np.zeros(radius.shape)
    for start in range(0, len(images), 256):
        gray = images[start : start + 256].astype(np.float32) @ np.asarray(_LUMINANCE, np.float32)
        gray -= (gray * window).sum((1, 2), keepdims=True) / window.sum()
        power += np.square(np.abs(np.fft.rfft2(gray * window))).sum(axis=0)
    power /= len(images)
    return np.asarray([power[(radius >= low) & (radius < high)].mean() for low, high in BANDS.values()])


def spectral_difference(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Returns how much more power generated images have than real ones in each band of spatial frequency.

    Reference:
        Azimuthally integrated spectra of generated images: Durall et al. 2020, arXiv:2003.01826.

    Args:
        generated: uint8, shape `(N, H, W, 3)`.
        real: uint8, of the same height and width, shape `(M, H, W, 3)`.

    Returns:
        For each of the `BANDS` decibels: 0 is right; below, detail is missing (blur); above, there is too much (noise,
        checks, hatching).

    Raises:
        ValueError: if the sizes differ or are below 16 pixels, or there are no images.
    """
    if generated.shape[1:] != real.shape[1:]:
        raise ValueError(f"Spectra are compared at one size; got images of shape {generated.shape} and {real.shape}.")
    # Rounding to bytes alone leaves a power of one twelfth of a level a pixel: what is below cannot be seen.
    floor = 1e-3
    ratios = (power_by_band(generated) + floor) / (power_by_band(real) + floor)
    return dict(zip(BANDS, (10 * np.log10(ratios)).tolist(), strict=True))


def _spectrum(examined: Examined) -> dict[str, Any]:
    if min(examined.real.shape[1:3]) < 16:
        return {}
    found = spectral_difference(examined.generated, examined.real)
    worst = max(found, key=lambda band: abs(found[band]))
    numbers = {f"spectrum_{band}": decibels for band, decibels in found.items()}
    return {"spectrum_worst": abs(found[worst]), "spectrum_worst_band": worst, **numbers}


def _alarm(numbers: Mapping[str, Any]) -> str | None:
    if numbers["spectrum_worst"] <= _CLEAN_DB:
        return None
    band = numbers["spectrum_worst_band"]
    by = numbers[f"spectrum_{band}"]
    where = f"Texture: {abs(by):.1f} dB too {'much' if by > 0 else 'little'} {band} detail"
    if by < 0:
        return f"{where}: images are blurred. Train longer, or with a discriminator that sees pixels."
    return f"{where}: look for checks, hatching and noise. Train longer, or with a discriminator that sees pixels."


SPECTRUM_WORST = Measure(
    _spectrum,
    "Texture, worst band",
    "lower",
    "number",
    "Decibels by which the power of detail differs from that of real images, in the band of spatial frequency where it "
    "differs most: 0 is right, and below 1 is not seen.",
    alarm=_alarm,
    in_curves=True,
)
