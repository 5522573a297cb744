"""Completing pictures: files in, files out, the picture itself never written to."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_t2i.data.pictures import open_picture

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
    search: bool = False,
    record_prompts: bool = True,
) -> dict[str, Any]:
    """Completes a picture with a trained model, one PNG an answer, and a grid of all; written all or none.

    What a hole hides is drawn anew, and all else stays the same to the bit; with a model that draws from edges,
    sketches, grey or small pictures, the central square is drawn. Pictures are turned upright (EXIF) and written as
    RGB, with their transparency, with 8 bits a channel.

    Args:
        model: A run, a preset or its name, that was made by the strategy `complete`, `edges`, `sketch`, `colorize` or
            `enlarge`, or a LiteRT bundle of one.
        picture: A picture of any size.
        captions: What it is to show.
        output: The directory to write to.
        mask: A picture of the same size, white, and opaque, where something is to be drawn. By default that is where
            the picture is transparent.
        num_images: Answers to each caption.
        seed: Seed of the noise.
        context: Side of the square that is looked at, in sides of the hole.
        search: Whether `model` need not have been made for it: see `keras_t2i.models.TextToImageGAN.complete`.
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
    from keras_t2i.tasks.drawing import check_captions, warn_of_losses
    from keras_t2i.training import draw_grid

    check_captions(captions)
    numbers = [(row, column) for row in range(len(captions)) for column in range(num_images)]
    names = [f"{row:02d}-{column:02d}.png" for row, column in numbers]
    _check_kept([picture, *([] if mask is None else [mask])], [output / name for name in (*names, "grid.png")])
    known = open_picture(picture)
    completer = _completer(model, search)
    hole = _hole(known, picture, mask) if completer.has_hole or mask is not None else None
    if known.is_deep:
        warnings.warn(f"{picture} has more than 8 bits a channel, and is completed with 8.", stacklevel=2)
    warn_of_losses(completer.reader, captions)
    masks = None if hole is None else [hole] * len(captions)
    drawn = completer.complete([known.on(255)] * len(captions), masks, captions, num_images, seed, context)
    fingerprint, pictures = completer.fingerprint, {}
    for name, (row, column), image in zip(names, numbers, drawn, strict=True):
        recorded = captions[row] if record_prompts else None
        facts = provenance(
            fingerprint, recorded, seed, row * num_images + column, asked={"image": completer.image_input}
        )
        pictures[name] = png(_as_it_was(known, hole, image), facts, composite=True)
    cells = np.stack([_thumbnail(image) for image in drawn])
    grid = draw_grid(cells.reshape(len(captions), num_images, *cells.shape[1:]), captions)
    pictures["grid.png"] = png(grid, provenance(fingerprint, None, seed, grid=names), composite=True)
    write_files(output, pictures)
    return {"images": [str(output / name) for name in names], "grid": str(output / "grid.png")}


class _Completer(NamedTuple):
    """What completes, whatever it is stored as."""

    fingerprint: str
    reader: Any
    image_input: str
    has_hole: bool
    complete: Callable[..., Any]


def _completer(model: Path, search: bool) -> _Completer:
    from keras_t2i.export.litert_runner import BUNDLE, LiteRTBundle
    from keras_t2i.models import TextToImage
    from keras_t2i.models.completion import guided

    if (Path(model) / BUNDLE).is_file():
        if search:
            raise ValueError("A LiteRT bundle has no gradients to search by: complete with the run or preset.")
        bundle = LiteRTBundle(model)
        return _Completer(bundle.fingerprint, bundle.wordpiece, bundle.image_input, bundle.has_hole, bundle.complete)
    gan: Any = TextToImage.from_preset(model)
    if search:
        if not hasattr(gan, "complete"):
            raise ValueError(f"{type(gan).__name__} draws in several steps: search with a model that draws in one.")
        return _Completer(gan.fingerprint(), gan.text_encoder, "search", True, partial(gan.complete, search=True))
    network = guided(gan)
    return _Completer(gan.fingerprint(), gan.text_encoder, network.image_input, network.kind.has_hole, gan.complete)


def _hole(known: Picture, picture: Path, mask: Path | None) -> np.ndarray:
    """Where something is to be drawn, bool, shape `(H, W)`."""
    if mask is None:
        if known.alpha is None or known.alpha.min() >= _HALF:
            raise ValueError(
                f"What of {str(picture)!r} is to be drawn? Pass a mask of its size that is white there, or a picture "
                "that is transparent there."
            )
        return known.alpha < _HALF
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
