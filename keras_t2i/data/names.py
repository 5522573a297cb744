"""Names of data that are no folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_t2i.core import specs
from keras_t2i.core.tables import Table

if TYPE_CHECKING:
    from keras_t2i.data.pipeline import CaptionedImages

__all__ = ["FITS", "PACKED", "RENDERED", "TFDS", "Rendered", "is_folder"]

TFDS = "tfds"
"""What stands before the colon in `tfds:NAME`."""

PACKED = "packed.json"
"""The file that says what a directory of packed images holds."""


@dataclass(frozen=True)
class Rendered:
    """A domain whose captioned images are made on the spot.

    Args:
        load: Called with `num_images`, `image_size`, `batch_size` and `seed`, and `horizontal_flip` where the images
            can be mirrored.
        attributes: Name of each attribute that captions state and the words it takes, in the order of the labels.
        names_sides: Whether captions name sides, so that images cannot be mirrored.
    """

    load: Callable[..., CaptionedImages]
    attributes: Mapping[str, Sequence[str]]
    names_sides: bool = False


RENDERED: Table[Rendered] = Table(
    "rendered domain",
    {
        "shapes": "keras_t2i.data.synthetic:SHAPES",
        "faces": "keras_t2i.data.cartoon_faces:FACES",
        "phantoms": "keras_t2i.data.chest_phantoms:PHANTOMS",
    },
)
"""Rendered domains by name."""

FITS: Table[Callable[[int, int, int], tuple[tuple[int, int, int, int], tuple[int, int]]]] = Table(
    "fit",
    {name: f"keras_t2i.data.images:{name}" for name in ("crop", "pad", "stretch")},
)
"""What becomes of images that are not square: of width, height and size wanted, the box kept and the size it gets."""


def is_folder(data: str) -> bool:
    """Whether a text that says which data are meant means a folder: rendered domains keep their names everywhere."""
    return specs.split(data)[0] not in (*RENDERED, TFDS)
