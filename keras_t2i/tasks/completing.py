"""Completing pictures: files in, files out, the picture itself never written to."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_t2i.data.images import Picture

__all__ = ["complete"]

_THUMBNAIL = 256
_HALF = 128


def complete(
    model: Path,
    picture: Path,
    captions: Sequence[str],
    output: Path,
    mask: Path | None = None,
    num_images: int = 4,
    seed: int = 0,
    context: float = 2.0,
    record_prompts: bool = True,
) -> dict[str, Any]:
    """Completes a picture with a trained model, one PNG an answer, and a grid of all; written all or none.

    What a hole hides is drawn anew, and all else stays the same to the bit; with a model that draws from edges, grey or
    small pictures, the central square is drawn. Pictures are turned upright (EXIF) and written as RGB, with their
    transparency, with 8 bits a channel.

    Args:
        model: A run, a preset or its name, that was made by the strategy `complete`, `edges`, `colorize` or `enlarge`.
        picture: A picture of any size.
        captions: What it is to show.
        output: The directory to write to.
        mask: A picture of the same size, white, and opaque, where something is to be drawn. By default that is where
            the picture is transparent.
        num_images: Answers to each caption.
        seed: Seed of the noise.
        context: Side of the square that is looked at, in sides of the hole.
        record_prompts: Whether the files hold their captions.

    Returns:
        Where the `images`, in order, and the `grid` are.

    Raises:
        ValueError: for a text that is no caption, a picture or a mask that cannot be read, a mask that does not fit or
            hides nothing, a file that would be written over, or if `model` is no model that completes pictures.
        OSError: if a file cannot be read or written.
    """
    from keras_t2i.core.files import write_files
    from keras_t2i.core.provenance import png, provenance
    from keras_t2i.data.pictures import open_picture
    from keras_t2i.models import TextToImage
    from keras_t2i.models.completion import guided
    from keras_t2i.tasks.drawing import check_captions, warn_of_losses
    from keras_t2i.training import draw_grid

    check_captions(captions)
    numbers = [(row, column) for row in range(len(captions)) for column in range(num_images)]
    names = [f"{row:02d}-{column:02d}.png" for row, column in numbers]
    _check_kept([picture, *([] if mask is None else [mask])], [output / name for name in (*names, "grid.png")])
    known = open_picture(picture)
    gan: Any = TextToImage.from_preset(model)
    network = guided(gan)
    hole = _hole(known, picture, mask) if network.kind.has_hole or mask is not None else None
    if known.is_deep:
        warnings.warn(f"{picture} has more than 8 bits a channel, and is completed with 8.", stacklevel=2)
    warn_of_losses(gan.text_encoder, captions)
    masks = None if hole is None else [hole] * len(captions)
    drawn = gan.complete([known.on(255)] * len(captions), masks, captions, num_images, seed, context)
    fingerprint, pictures = gan.fingerprint(), {}
    for name, (row, column), image in zip(names, numbers, drawn, strict=True):
        recorded = captions[row] if record_prompts else None
        facts = provenance(fingerprint, recorded, seed, row * num_images + column, asked={"image": network.image_input})
        pictures[name] = png(_as_it_was(known, hole, image), facts, composite=True)
    cells = np.stack([_thumbnail(image) for image in drawn])
    grid = draw_grid(cells.reshape(len(captions), num_images, *cells.shape[1:]), captions)
    pictures["grid.png"] = png(grid, provenance(fingerprint, None, seed, grid=names), composite=True)
    write_files(output, pictures)
    return {"images": [str(output / name) for name in names], "grid": str(output / "grid.png")}


def _hole(known: Picture, picture: Path, mask: Path | None) -> np.ndarray:
    """Where something is to be drawn, bool, shape `(H, W)`."""
    if mask is None:
        if known.alpha is None or known.alpha.min() >= _HALF:
            raise ValueError(
                f"What of {str(picture)!r} is to be drawn? Pass a mask of its size that is white there, or a picture "
                "that is transparent there."
            )
        return known.alpha < _HALF
    from keras_t2i.data.pictures import open_picture

    found = open_picture(mask)
    if found.pixels.shape != known.pixels.shape:
        (height, width), (rows, columns) = known.pixels.shape[:2], found.pixels.shape[:2]
        raise ValueError(
            f"The mask {str(mask)!r} has {columns} x {rows} pixels and its picture, upright, {width} x {height}: make "
            "one of that size."
        )
    hole = found.on(0).mean(axis=-1) >= _HALF
    if not hole.any():
        raise ValueError(f"The mask {str(mask)!r} has nothing white: white, and opaque, is what is to be drawn.")
    return hole


def _as_it_was(known: Picture, hole: np.ndarray | None, drawn: np.ndarray) -> Any:
    """What was drawn in the hole of a picture, with the colors and the transparency that it had elsewhere."""
    from PIL import Image

    if hole is None:
        return Image.fromarray(drawn)
    result = Image.fromarray(np.where(hole[..., None], drawn, known.pixels))
    if known.alpha is not None and (alpha := np.where(hole, 255, known.alpha)).min() < 255:
        result.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return result


def _thumbnail(image: np.ndarray) -> np.ndarray:
    from PIL import Image

    small = Image.fromarray(image)
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return np.asarray(small)


def _check_kept(given: Iterable[Path], written: Sequence[Path]) -> None:
    for path in given:
        if any(other.exists() and os.path.samefile(path, other) for other in written if path.exists()):
            raise ValueError(f"{str(path)!r} would be written over: choose another output directory.")
