"""Pictures of many images with their captions."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_grid"]

_GAP = 6
_TEXT_WIDTH = 220
_SMALLEST_CELL = 96
_FONT_SIZE = 14
_HEADING_HEIGHT = 22
_SYSTEM_FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")
_INK, _PAPER = (20, 20, 20), (255, 255, 255)

_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


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
