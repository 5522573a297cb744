"""Images with more than 8 bits a channel, part by part: whole, their values would take several times their memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from PIL import Image, ImageFile

__all__ = ["STRIP_PIXELS", "Box", "Deep", "Values", "eight_bits", "is_in_halves", "strips"]

STRIP_PIXELS = 1 << 18
"""What is worked on at once of a large image."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""

_OTHER = "B" if sys.byteorder == "little" else "L"
# Pillow keeps the high byte of colors of 16 bits. Read as if their bytes were swapped, it keeps the low one; gray with
# transparency has four bytes a pixel, as RGBA has.
_LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{swapped}"
    for mode in ("RGB", "RGBA")
    for order, swapped in (("B", "L"), ("L", "B"), ("N", _OTHER))
} | {"LA;16B": "RGBA"}
_SAMPLE, _OUTLIERS = 65_536, 0.001


class Values(NamedTuple):
    """Values of more than 8 bits, shape `(H, W)` or `(H, W, 3)`, and opacity, uint8, shape `(H, W)`, or `None`."""

    values: np.ndarray
    alpha: np.ndarray | None


@dataclass(frozen=True)
class Deep:
    """An image with more than 8 bits a channel.

    Args:
        image: Its values, or their high bytes.
        low: Their low bytes, if those are apart.
        raw_mode: How they are written in the file.
    """

    image: Image.Image
    low: Image.Image | None
    raw_mode: Any

    @classmethod
    def of(cls, image: ImageFile.ImageFile) -> Self | None:
        """An image that was just opened; of others, which are not even decoded, `None`."""
        raw_mode = _raw_mode(image)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return cls(image, None, raw_mode)
        if not is_in_halves(image):
            return None
        file, kind = image.fp, image.format
        assert file is not None
        assert kind is not None
        image.load()
        file.seek(0)
        again = Image.open(file, formats=[kind])
        again.tile = [tile._replace(args=_with_low_bytes(tile.args)) for tile in again.tile]
        again.load()
        return cls(image, again, raw_mode)

    def part(self, box: Box) -> Values:
        """What is in a box of it."""
        transparent = self.image.info.get("transparency")
        values, alpha = np.asarray(self.image.crop(box)), None
        if self.low is not None:
            high, low = values, np.asarray(self.low.crop(box))
            if self.raw_mode == "LA;16B":
                high, low, alpha = high[..., 0], low[..., 1], low[..., 2]
            elif high.shape[-1] == 4:
                alpha = high[..., 3]
                high, low = high[..., :3], low[..., :3]
            values = high.astype(np.uint16) << 8 | low
        if isinstance(transparent, int | tuple):
            opaque = values != np.asarray(transparent)
            alpha = np.where(opaque.any(-1) if values.ndim == 3 else opaque, 255, 0).astype(np.uint8)
        return Values(values, alpha)

    def extremes(self) -> tuple[float, float]:
        """The lowest and the highest value, but for one in a thousand: of a sample, and of what is finite."""
        width, height = self.image.size
        sampled, passed = [], 0
        for box in strips((0, 0, width, height)):
            values = self.part(box).values
            step = width * height * (3 if values.ndim == 3 else 1) // _SAMPLE | 1
            sampled.append(values.reshape(-1)[-passed % step :: step].copy())  # A view would keep them all.
            passed += values.size
        sample = np.concatenate(sampled)
        finite = sample[np.isfinite(sample)]
        if not finite.size:
            raise ValueError("has no finite value")
        return (
            float(np.quantile(finite, _OUTLIERS, method="lower")),
            float(np.quantile(finite, 1 - _OUTLIERS, method="higher")),
        )


def is_in_halves(image: ImageFile.ImageFile) -> bool:
    """Whether an image that was just opened is to be decoded twice, for the high and for the low bytes."""
    return _raw_mode(image) in _LOW_BYTES


def strips(box: Box, multiple: int = 1) -> Iterator[Box]:
    """A box in strips, from the top, each but the last of so many rows that a number divides them."""
    left, top, right, bottom = box
    rows = max(1, STRIP_PIXELS // (right - left) // multiple) * multiple
    for start in range(top, bottom, rows):
        yield left, start, right, min(start + rows, bottom)


def eight_bits(deep: Values, between: tuple[float, float]) -> Image.Image:
    """An image whose values between two become those from black to white: L, RGB or RGBA."""
    low, high = between
    values = np.nan_to_num(deep.values.astype(np.float32), nan=low, posinf=high, neginf=low)
    scaled = (values.clip(low, high) - low) * (255.0 / (high - low))
    image = Image.fromarray(scaled.round().astype(np.uint8))
    if deep.alpha is not None:
        image = image.convert("RGB")
        image.putalpha(Image.fromarray(deep.alpha))
    return image


def _raw_mode(image: ImageFile.ImageFile) -> Any:
    args = image.tile[0].args if image.tile else None
    return args[0] if isinstance(args, tuple) and args else args


def _with_low_bytes(args: Any) -> Any:
    return (_LOW_BYTES[args[0]], *args[1:]) if isinstance(args, tuple) else _LOW_BYTES[args]
