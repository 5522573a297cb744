"""Pictures of many images with their captions."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_t2i.provenance import fingerprint, png, provenance

__all__ = ["ImageGrid", "draw_grid"]

_GAP = 6
_TEXT_WIDTH = 220
_SMALLEST_CELL = 96
_FONT_SIZE = 14
_HEADING_HEIGHT = 22
_SYSTEM_FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


_log = logging.getLogger(__name__)
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class ImageGrid(keras.callbacks.Callback):
    """Draws the same captions from the same noise at the end of every epoch, captions beside the images.

    The pictures are `epoch-0001.png` and so on, so that progress can be compared from one to the next.

    Args:
        directory: Where the pictures go.
        captions: Captions, one row each.
        sentence_embeddings: Their embeddings, float32, shape `(len(captions), D)`; computed by the model's text
            encoder where they are left out.
        num_images: Images of each caption.
        seed: Seed of the noise.
        tensorboard_dir: A directory for TensorBoard; the pictures are then logged there as well.

    Raises:
        ValueError: without captions, or if captions and embeddings differ in number.
        ImportError: if `tensorboard_dir` is given and TensorBoard is not installed.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        captions: Sequence[str],
        sentence_embeddings: np.ndarray | None = None,
        num_images: int = 6,
        seed: int = 0,
        tensorboard_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        if not captions or num_images < 1:
            raise ValueError(f"A grid needs captions and images; got {len(captions)} captions x {num_images} images.")
        if sentence_embeddings is not None and len(sentence_embeddings) != len(captions):
            raise ValueError(f"Got {len(captions)} captions but {len(sentence_embeddings)} embeddings; pass one each.")
        self.directory = Path(directory)
        self.captions = list(captions)
        self.sentence_embeddings = sentence_embeddings
        self.num_images = num_images
        self.seed = seed
        self._tensorboard = None if tensorboard_dir is None else _tensorboard_writer(tensorboard_dir)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.sentence_embeddings is None:
            self.sentence_embeddings = self.model.text_encoder.encode(self.captions)
        repeated = np.repeat(self.sentence_embeddings, self.num_images, axis=0)
        images = self.model.generate_from_embeddings(repeated, seed=self.seed)
        grid = draw_grid(images.reshape(len(self.captions), self.num_images, *images.shape[1:]), self.captions)
        content = png(grid, provenance(fingerprint(self.model), seed=self.seed))
        target = self.directory / f"epoch-{epoch + 1:04d}.png"
        temporary = target.with_suffix(".tmp")
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            _log.warning("Could not write %s (%s). Training goes on.", target, error.strerror or error)
        if self._tensorboard is not None:
            import tensorflow as tf

            with self._tensorboard.as_default():
                tf.summary.image("generated", np.asarray(grid)[None], step=epoch + 1)
                self._tensorboard.flush()


def draw_grid(images: np.ndarray, captions: Sequence[str], headings: Sequence[str] = ()) -> Image.Image:
    """Draws one row an image set, its caption to the left of it.

    Small images are enlarged by a whole factor, without smoothing, so that pixels stay what they are. A caption that is
    too long for its row ends in an ellipsis. Letters that no font at hand has show as boxes.

    Args:
        images: uint8, shape `(num_captions, num_images, H, W, 3)`.
        captions: One caption a row.
        headings: One word or two above each column, or none.

    Returns:
        The picture, RGB.

    Raises:
        ValueError: if the number of captions differs from the number of rows, or of headings from that of columns.
    """
    if images.ndim != 5 or images.dtype != np.uint8 or len(images) != len(captions):
        raise ValueError(
            f"A grid needs uint8 images (num_captions, num_images, H, W, 3); got {images.dtype} {images.shape} and "
            f"{len(captions)} captions."
        )
    rows, columns, height, width, _ = images.shape
    if len(headings) not in (0, columns):
        raise ValueError(f"A grid needs one heading a column; got {len(headings)} headings for {columns} columns.")
    factor = max(1, -(-_SMALLEST_CELL // height))
    cell_height, cell_width = height * factor, width * factor
    first_row = _GAP + (_HEADING_HEIGHT if headings else 0)
    size = (
        _TEXT_WIDTH + _GAP + columns * (cell_width + _GAP),
        first_row + rows * (cell_height + _GAP),
    )
    picture = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    for column, heading in enumerate(headings):
        middle = _TEXT_WIDTH + _GAP + column * (cell_width + _GAP) + cell_width // 2
        draw.text((middle, first_row // 2), heading, fill=_INK, font=_font_for(heading), anchor="mm")
    for row, caption in enumerate(captions):
        top = first_row + row * (cell_height + _GAP)
        font = _font_for(caption)
        lines = _wrap(caption, draw, font, _TEXT_WIDTH - 2 * _GAP, cell_height)
        draw.multiline_text((_GAP, top + cell_height // 2), lines, fill=_INK, font=font, anchor="lm")
        for column, image in enumerate(images[row]):
            cell = Image.fromarray(image).resize((cell_width, cell_height), Image.Resampling.NEAREST)
            picture.paste(cell, (_TEXT_WIDTH + _GAP + column * (cell_width + _GAP), top))
    return picture


def _font_for(caption: str) -> _Font:
    """Pillow's own font, the same on all systems; for letters that it lacks, one of the system's where there is one."""
    if not caption.isascii():
        for name in _SYSTEM_FONTS:
            with contextlib.suppress(OSError):
                return ImageFont.truetype(name, _FONT_SIZE)
    return ImageFont.load_default(_FONT_SIZE)


def _wrap(caption: str, draw: ImageDraw.ImageDraw, font: _Font, width: int, height: int) -> str:
    """Breaks a caption at spaces, or within a word that alone is too wide, until the lines fill the height."""
    line_height = draw.textbbox((0, 0), "Ag\nAg", font=font)[3] - draw.textbbox((0, 0), "Ag", font=font)[3]
    most = max(1, int(height // line_height))
    # Nothing beyond this can be visible; the cut keeps a caption of 100,000 characters cheap.
    shown = "".join(character if character.isprintable() else " " for character in caption[: most * width])
    lines = [""]
    for word in shown.split():
        candidate = f"{lines[-1]} {word}".strip()
        if draw.textlength(candidate, font=font) <= width:
            lines[-1] = candidate
            continue
        if lines[-1]:
            lines.append("")
        for character in word:
            if lines[-1] and draw.textlength(lines[-1] + character, font=font) > width:
                lines.append("")
            lines[-1] += character
    if len(lines) > most or len(caption) > most * width:
        lines = lines[:most]
        while lines[-1] and draw.textlength(lines[-1] + "...", font=font) > width:
            lines[-1] = lines[-1][:-1]
        lines[-1] += "..."
    return "\n".join(lines)


def _tensorboard_writer(directory: str | os.PathLike[str]) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        raise ImportError('TensorBoard is not installed; install it with: pip install "keras-t2i[tensorboard]"')
    import tensorflow as tf

    return tf.summary.create_file_writer(os.fspath(directory))
