"""Whole pictures by the path of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from keras_t2i.data.images import Picture, read_picture

__all__ = ["open_picture", "resized", "style_picture"]

_NARROWEST = 8


def open_picture(path: Path) -> Picture:
    """Reads a picture whole: see `keras_t2i.data.images.read_picture`.

    Raises:
        ValueError: if it cannot be decoded; it is named.
        OSError: if it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            return read_picture(file)
        except ValueError as error:
            raise ValueError(f"{str(path)!r} cannot be read: {error}.") from error


def style_picture(path: Path, shorter: int) -> np.ndarray:
    """A picture whose style is learned, on white where it is transparent, uint8, shape `(H, W, 3)`.

    Args:
        path: Its file.
        shorter: Length that its shorter side is brought to, in pixels.

    Raises:
        ValueError: if it cannot be decoded, or is more than 8 times as long as wide.
        OSError: if it cannot be opened.
    """
    image = Image.fromarray(open_picture(path).on(255))
    if max(image.size) > _NARROWEST * min(image.size):
        raise ValueError(
            f"{str(path)!r} has {image.width} x {image.height} pixels: a style is learned from a picture that is at "
            f"most {_NARROWEST} times as long as wide."
        )
    return np.asarray(resized(image, shorter / min(image.size)))


def resized(image: Image.Image, factor: float) -> Image.Image:
    """An image so many times as large, with antialiasing (Lanczos)."""
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
