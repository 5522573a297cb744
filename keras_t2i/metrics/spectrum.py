"""Texture: whether images hold as much fine and coarse detail as real ones, frequency by frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_t2i.metrics.measure import Examined, Measure

__all__ = ["BANDS", "DIRECTIONS", "HATCHING", "SPECTRUM_WORST", "hatching", "power_spectrum", "spectral_difference"]

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

DIRECTIONS: Mapping[str, float] = {"upright": 0.0, "falling": 45.0, "level": 90.0, "rising": 135.0}
"""Directions of stripes by name, as the angle across them in degrees; each takes what is within 22.5 of it."""

_CLEAN_DB = 3.0
_WOVEN_DB = 2.0
_FLOOR = 1.0  # What noise of one level of 255 has: less cannot be seen.
_LUMINANCE = (0.299, 0.587, 0.114)


def power_spectrum(images: np.ndarray) -> np.ndarray:
    """Returns the mean spectral power of images' luminance in each band and direction.

    Each image is faded to its mean towards its edges (Hann window), or these would count as fine detail.

    Args:
        images: Of any range, shape `(N, H, W, 3)`, at least 16 pixels high and wide.

    Returns:
        Power, float64, shape `(len(BANDS), len(DIRECTIONS))`, in squared levels: noise of standard deviation s has
        s^2 everywhere.

    Raises:
        ValueError: if there are no images, or they are smaller.
    """
    if len(images) < 1 or min(images.shape[1:3]) < 16:
        raise ValueError(f"A spectrum needs images of at least 16 x 16 pixels; got shape {images.shape}.")
    height, width = images.shape[1:3]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    power = np.zeros((height, width))
    for start in range(0, len(images), 256):
        gray = images[start : start + 256].astype(np.float32) @ np.asarray(_LUMINANCE, np.float32)
        gray -= (gray * window).sum((1, 2), keepdims=True) / window.sum()
        power += np.square(np.abs(np.fft.fft2(gray * window))).sum(axis=0)
    down, across = 2 * np.fft.fftfreq(height)[:, None], 2 * np.fft.fftfreq(width)[None, :]
    radius, angle = np.hypot(down, across), np.degrees(np.arctan2(down, across))
    cells = np.empty((len(BANDS), len(DIRECTIONS)))
    for i, (low, high) in enumerate(BANDS.values()):
        for j, towards in enumerate(DIRECTIONS.values()):
            near = np.abs((angle - towards + 90) % 180 - 90) <= 22.5
            cells[i, j] = power[near & (radius >= low) & (radius < high)].mean()
    return cells / (len(images) * np.square(window).sum())


def spectral_difference(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Returns how much more power generated images have than real ones in each band of spatial frequency.

    Reference:
        Azimuthally integrated spectra of generated images: Durall et al. 2020, arXiv:2003.01826.

    Args:
        generated: uint8, shape `(N, H, W, 3)`.
        real: uint8, of the same height and width, shape `(M, H, W, 3)`.

    Returns:
        For each of the `BANDS` decibels: 0 is right; below, detail is missing (blur); above, there is too much (noise,
        checks).

    Raises:
        ValueError: if the sizes differ or are below 16 pixels, or there are no images.
    """
    return _by_band(*_spectra(generated, real))


def hatching(generated: np.ndarray, real: np.ndarray) -> tuple[float, str, str]:
    """Returns how far generated images prefer a direction that real ones do not: woven, hatched, striped.

    Args:
        generated: As for `spectral_difference`.
        real: Likewise.

    Returns:
        Decibels, 0 or more: in the worst direction and band, from the coarse on, by how much the difference to real
        images there is above that of the whole band; and the names of band and direction.

    Raises:
        ValueError: as `spectral_difference`.
    """
    return _woven(*_spectra(generated, real))


def _by_band(of_generated: np.ndarray, of_real: np.ndarray) -> dict[str, float]:
    decibels = _decibels(of_generated.mean(axis=1), of_real.mean(axis=1))
    return dict(zip(BANDS, decibels.tolist(), strict=True))


def _woven(of_generated: np.ndarray, of_real: np.ndarray) -> tuple[float, str, str]:
    whole = _decibels(of_generated.mean(axis=1), of_real.mean(axis=1))
    excess = (_decibels(of_generated, of_real) - whole[:, None])[1:]
    band, direction = np.unravel_index(excess.argmax(), excess.shape)
    return max(0.0, float(excess.max())), list(BANDS)[band + 1], list(DIRECTIONS)[direction]


def _spectra(generated: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if generated.shape[1:] != real.shape[1:]:
        raise ValueError(f"Spectra are compared at one size; got images of shape {generated.shape} and {real.shape}.")
    return power_spectrum(generated), power_spectrum(real)


def _decibels(power: np.ndarray, beside: np.ndarray) -> np.ndarray:
    return 10 * np.log10((power + _FLOOR) / (beside + _FLOOR))


def _spectrum(examined: Examined) -> dict[str, Any]:
    if min(examined.real.shape[1:3]) < 16:
        return {}
    spectra = _spectra(examined.generated, examined.real)
    found = _by_band(*spectra)
    worst = max(found, key=lambda band: abs(found[band]))
    numbers = {f"spectrum_{band}": decibels for band, decibels in found.items()}
    woven, band, direction = _woven(*spectra)
    return {
        "spectrum_worst": abs(found[worst]),
        "spectrum_worst_band": worst,
        **numbers,
        "hatching": woven,
        "hatching_is": f"{direction}, {band}",
    }


def _alarm(numbers: Mapping[str, Any]) -> str | None:
    if numbers["spectrum_worst"] <= _CLEAN_DB:
        return None
    band = numbers["spectrum_worst_band"]
    by = numbers[f"spectrum_{band}"]
    told = f"Texture: {abs(by):.1f} dB too {'much' if by > 0 else 'little'} {band} detail"
    return f"{told}: look for {'noise and checks' if by > 0 else 'blur'}. Train longer."


def _hatching_alarm(numbers: Mapping[str, Any]) -> str | None:
    if numbers["hatching"] <= _WOVEN_DB:
        return None
    return (
        f"Hatching: {numbers['hatching']:.1f} dB too much in one direction ({numbers['hatching_is']}), as if woven. "
        "Train longer; with `projected`, look at images at twice their size (`input_size`)."
    )


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
HATCHING = Measure(
    _spectrum,
    "Hatching",
    "lower",
    "number",
    "Decibels by which one direction has more detail than the others, beyond what real images have: 0 is right, from 2 "
    "on images look woven.",
    alarm=_hatching_alarm,
    in_curves=True,
)
