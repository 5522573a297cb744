"""The surroundings of a hole in a picture: cut as a square, brought to a size, and what was drawn there put back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from PIL import Image

__all__ = ["Cutout", "central_square"]

_WHOLE = 2
"""A picture at most so many times as large as a model draws is looked at whole."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """A square of a picture around a hole, as a model sees it.

    Args:
        pixels: uint8, shape `(size, size, 3)`.
        hole: bool, shape `(size, size)`: what is to be drawn, among it all that lies beyond the picture. No pixel
            outside of it has anything of what the hole hides.
        left: Where the square begins in the picture, in pixels of that; negative where it begins before it.
        top: Likewise.
        side: Height and width of the square in the picture.
    """

    pixels: np.ndarray
    hole: np.ndarray
    left: int
    top: int
    side: int

    @classmethod
    def of(cls, picture: np.ndarray, hole: np.ndarray, size: int, context: float = 2.0) -> Self:
        """Cuts the square.

        Args:
            picture: uint8, shape `(H, W, 3)`.
            hole: bool, shape `(H, W)`, true somewhere.
            size: Height and width that a model draws.
            context: Side of the square in those of the hole, as far as the picture goes. It is twice `size` at least,
                so that pictures that are not much larger are looked at whole.
        """
        (top, bottom), (left, right) = (_ends(np.any(hole, axis=axis)) for axis in (1, 0))
        reach = max(bottom - top, right - left)
        side = min(max(math.ceil(context * reach), _WHOLE * size), max(min(hole.shape), reach))
        top, left = _begin(top, bottom, side, hole.shape[0]), _begin(left, right, side, hole.shape[1])
        square = np.zeros((side, side, 3), np.uint8)
        covered = np.ones((side, side), bool)
        (rows, columns), (inner_rows, inner_columns) = _common(left, top, side, hole.shape)
        square[inner_rows, inner_columns] = picture[rows, columns]
        covered[inner_rows, inner_columns] = hole[rows, columns]
        pixels, shares = _resized(square, size), _resized(covered.astype(np.float32), size)
        return cls(pixels, shares > 0, left, top, side)

    def put_back(self, picture: np.ndarray, hole: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """The picture with what was drawn in its hole; everywhere else it stays the same to the bit.

        Args:
            picture: What the square was cut from.
            hole: Likewise.
            drawn: uint8, shape `(size, size, 3)`.
        """
        large = _resized(drawn, self.side, Image.Resampling.LANCZOS)
        (rows, columns), (inner_rows, inner_columns) = _common(self.left, self.top, self.side, hole.shape)
        result = picture.copy()
        inside = hole[rows, columns]
        result[rows, columns][inside] = large[inner_rows, inner_columns][inside]
        return result


def central_square(picture: np.ndarray, size: int) -> np.ndarray:
    """The central square of a picture, uint8, shape `(H, W, 3)`, at another size, as images of data are resized."""
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return _resized(picture[top : top + side, left : left + side], size, Image.Resampling.LANCZOS)


def _ends(found: Any) -> tuple[int, int]:
    places = np.flatnonzero(found)
    return int(places[0]), int(places[-1]) + 1


def _begin(start: int, end: int, side: int, length: int) -> int:
    """Where a square begins that has what is between two places in its middle, within the picture where it can be."""
    middle = (start + end - side) // 2
    return (length - side) // 2 if side > length else min(max(middle, 0), length - side)


def _common(left: int, top: int, side: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """What a square and a picture have in common, in rows and columns of the picture and of the square."""
    pairs = []
    for begin, length in ((top, shape[0]), (left, shape[1])):
        start, end = max(begin, 0), min(begin + side, length)
        pairs.append((slice(start, end), slice(start - begin, end - begin)))
    (rows, inner_rows), (columns, inner_columns) = pairs
    return (rows, columns), (inner_rows, inner_columns)


def _resized(square: np.ndarray, size: int, kind: Image.Resampling | None = None) -> np.ndarray:
    """A square at another size; unless told how, no new pixel is made of old ones that it does not lie over."""
    if len(square) == size:
        return np.array(square)
    if kind is None:
        kind = Image.Resampling.BOX if len(square) > size else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(square).resize((size, size), kind))
