"""Pictures of many images with their captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_t2i.core.lettering import Lettering

__all__ = ["draw_grid"]

_GAP = 6
_TEXT_WIDTH = 220
_SMALLEST_CELL = 96
_FONT_SIZE = 14
_HEADING_HEIGHT = 22
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


def draw_grid(images: np.ndarray, captions: Sequence[str], headings: Sequence[str] = ()) -> Image.Image:
    """Draws one row an image set, its caption to the left of it.

    Small images are enlarged by a whole factor, without smoothing, so that pixels stay what they are. A caption that is
    too long for its row ends in an ellipsis. Letters of other scripts are drawn with fonts of the system.

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
    lettering = Lettering(_FONT_SIZE)
    for column, heading in enumerate(headings):
        middle = _TEXT_WIDTH + _GAP + column * (cell_width + _GAP) + cell_width // 2
        place = middle - lettering.length(heading) / 2, (first_row - lettering.line_height) // 2
        lettering.draw(picture, place, heading, _INK)
    for row, caption in enumerate(captions):
        top = first_row + row * (cell_height + _GAP)
        most = max(1, cell_height // lettering.line_height)
        lines = lettering.wrapped(caption, _TEXT_WIDTH - 2 * _GAP, most)
        first = top + (cell_height - len(lines) * lettering.line_height) // 2
        for number, line in enumerate(lines):
            lettering.draw(picture, (_GAP, first + number * lettering.line_height), line, _INK)
        for column, image in enumerate(images[row]):
            cell = Image.fromarray(image).resize((cell_width, cell_height), Image.Resampling.NEAREST)
            picture.paste(cell, (_TEXT_WIDTH + _GAP + column * (cell_width + _GAP), top))
    return picture
