"""Pictures that are to be completed: checked, at the size that a network draws, and what it drew put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from keras_t2i.core.cutout import Cutout, central_square
from keras_t2i.core.pixels import checked_picture, from_bytes

__all__ = ["Incomplete"]


@dataclass(frozen=True, eq=False)
class Incomplete:
    """Pictures, and of each the square that a network sees; `Incomplete.of` makes it.

    Args:
        pictures: uint8, shapes `(H, W, 3)`.
        holes: Of each, what is to be drawn, bool, shape `(H, W)`; `None` where all is.
        cut: What is cut around each hole; `None` where there are none.
        size: Height and width that the network draws.
    """

    pictures: list[np.ndarray]
    holes: list[np.ndarray] | None
    cut: list[Cutout] | None
    size: int

    @classmethod
    def of(
        cls,
        images: Sequence[np.ndarray] | np.ndarray,
        masks: Any,
        image_input: str,
        has_hole: bool,
        size: int,
        context: float,
    ) -> Self:
        """See `keras_t2i.models.TextToImageGAN.complete`.

        Args:
            images: Pictures.
            masks: Of each, or `None`.
            image_input: Name of what the network is given.
            has_hole: Whether that is a picture with a hole.
            size: Height and width that the network draws.
            context: Side of the square that is looked at, in sides of the hole.

        Raises:
            ValueError: for what are no pictures, or masks that do not fit.
        """
        pictures = [checked_picture(image) for image in images]
        if not has_hole:
            if masks is not None:
                raise ValueError(f"This model draws from {image_input!r} and knows no mask: leave it out.")
            return cls(pictures, None, None, size)
        holes = _holes(pictures, masks)
        if not 1 <= context < float("inf"):
            raise ValueError(f"`context`, in sides of the hole, must be a number of at least 1; got {context}.")
        pairs = zip(pictures, holes, strict=True)
        return cls(pictures, holes, [Cutout.of(picture, hole, size, context) for picture, hole in pairs], size)

    def captions(self, prompts: str | Sequence[str]) -> list[str]:
        """A caption of each picture; `ValueError` where there are more or fewer."""
        prompts = [prompts] * len(self.pictures) if isinstance(prompts, str) else list(prompts)
        if len(prompts) != len(self.pictures):
            raise ValueError(
                f"Each picture has a caption; got {len(self.pictures)} pictures and {len(prompts)} captions."
            )
        return prompts

    @property
    def squares(self) -> np.ndarray:
        """What the network sees of each, float32 in [-1, 1], shape `(N, size, size, 3)`."""
        if self.cut is None:
            squares = [central_square(picture, self.size) for picture in self.pictures]
        else:
            squares = [each.pixels for each in self.cut]
        return from_bytes(np.stack(squares).astype(np.float32))

    @property
    def masks(self) -> np.ndarray | None:
        """1 in the hole of each square and 0 elsewhere, float32, shape `(N, size, size, 1)`, where there are holes."""
        return None if self.cut is None else np.stack([each.hole for each in self.cut]).astype(np.float32)[..., None]

    def finished(self, drawn: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """The pictures with what was drawn, everything outside of their holes as it was.

        Args:
            drawn: uint8, shape `(N * num_images, size, size, 3)`; those of one picture follow each other.

        Returns:
            uint8, `(N * num_images, H, W, 3)`; a list of them where they are of several sizes.
        """
        if self.cut is None or self.holes is None:
            return drawn
        often = len(drawn) // len(self.cut)
        finished = [
            cut.put_back(self.pictures[number // often], self.holes[number // often], drawn[number])
            for number, cut in enumerate(each for each in self.cut for _ in range(often))
        ]
        return np.stack(finished) if len({image.shape for image in finished}) == 1 else finished


def _holes(pictures: Sequence[np.ndarray], masks: Any) -> list[np.ndarray]:
    if masks is None:
        raise ValueError("What is to be drawn? Pass a mask of each picture that is true, or white, there.")
    holes = [np.asarray(mask) for mask in masks]
    if len(holes) != len(pictures):
        raise ValueError(f"Each picture has a mask; got {len(pictures)} pictures and {len(holes)} masks.")
    for number, (picture, hole) in enumerate(zip(pictures, holes, strict=True)):
        if hole.dtype not in (np.bool_, np.uint8) or hole.shape != picture.shape[:2]:
            raise ValueError(
                f"A mask is bool or uint8, of the size of its picture, {picture.shape[:2]}; got {hole.dtype} "
                f"{hole.shape}."
            )
        holes[number] = hole if hole.dtype == np.bool_ else hole >= 128
        if not holes[number].any():
            raise ValueError("Nothing is to be drawn: a mask is true, or white, where something is.")
    return holes
