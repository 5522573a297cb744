"""A report on a folder of captioned images, before anything is trained on it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_t2i.core.files import written
from keras_t2i.data.folder import FolderContents, read_folder
from keras_t2i.data.rows import SkippedRow

__all__ = ["FolderReport", "check_folder"]

_CELL, _TEXT_WIDTH, _GAP, _COLUMNS, _FONT_SIZE = 112, 200, 8, 3, 13
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


@dataclass(frozen=True)
class FolderReport:
    """What a folder of captioned images holds.

    Args:
        folder: The folder, as it was passed.
        layout: How captions were found, in a few words.
        num_rows: Rows read.
        num_images: Images that can be used.
        splits: Images in each split; `validation` may be the held-out share that `from_folder` would draw.
        captions_per_image: How many images have how many captions.
        caption_characters: Characters in a caption: `min`, `median`, `95%` and `max`, over every image's captions.
        num_distinct_captions: Captions that differ.
        image_sizes: `min`, `median` and `max` of `width` and `height` before cropping, in pixels.
        duplicates: Groups of files that show the same pixels once cropped and resized.
        skipped: Rows that cannot be used, with file, line and reason.
        unnamed: Images that no row names.
        notes: What to know of how the folder was read, in sentences.
        contents: The images and captions themselves.
    """

    folder: str
    layout: str
    num_rows: int
    num_images: int
    splits: dict[str, int]
    captions_per_image: dict[int, int]
    caption_characters: dict[str, int]
    num_distinct_captions: int
    image_sizes: dict[str, dict[str, int]]
    duplicates: tuple[tuple[str, ...], ...]
    skipped: tuple[SkippedRow, ...]
    unnamed: tuple[str, ...]
    notes: tuple[str, ...]
    contents: FolderContents = field(repr=False)

    @property
    def skipped_share(self) -> float:
        """Share of the rows that cannot be used."""
        return len(self.skipped) / max(1, self.num_rows)

    def as_dict(self) -> dict[str, Any]:
        """Returns the report as plain values, ready for JSON."""
        names = [name for name in self.__dataclass_fields__ if name != "contents"]
        report = {name: getattr(self, name) for name in names}
        report["captions_per_image"] = {str(count): images for count, images in self.captions_per_image.items()}
        report["duplicates"] = [list(group) for group in self.duplicates]
        report |= {"unnamed": list(self.unnamed), "notes": list(self.notes)}
        report["skipped"] = [{"file": row.file, "line": row.line, "reason": row.reason} for row in self.skipped]
        return {**report, "skipped_share": self.skipped_share}

    def contact_sheet(self, path: str | os.PathLike[str], num_images: int = 36) -> Path:
        """Draws images from all over the folder, as the model would see them, with their captions beside them.

        Args:
            path: The PNG file to write; it appears whole or not at all.
            num_images: Images to draw, at most as many as there are.

        Returns:
            The path written.

        Raises:
            ValueError: if there is no usable image, or the file cannot be written.
        """
        if not self.num_images:
            raise ValueError(
                f"{self.folder!r} has no usable image to draw; the report names what is wrong with its rows."
            )
        chosen = np.unique(np.linspace(0, self.num_images - 1, max(1, num_images)).round().astype(int))
        path = Path(path)
        try:
            with written(path) as beside:
                _draw(self.contents, chosen).save(beside, "PNG")
        except OSError as error:
            raise ValueError(
                f"The contact sheet cannot be written to {str(path)!r}: {error.strerror or error}."
            ) from error
        return path


def check_folder(
    folder: str | os.PathLike[str],
    image_size: int = 64,
    *,
    caption_column: str | None = None,
    caption_template: str = "a photo of a {label}",
    validation_share: float = 0.1,
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> FolderReport:
    """Reads a folder by the rules of `from_folder`, and reports instead of stopping at unusable rows.

    Decoded images go to the same cache, so that training on the folder starts at once afterwards. Arguments are those
    of `from_folder`.

    Raises:
        ValueError: if the folder, its captions or the caption column are missing.
    """
    contents = read_folder(
        folder, image_size, caption_column=caption_column, caption_template=caption_template, cache_dir=cache_dir
    )
    captions = [caption for file in contents.files for caption in file.captions]
    sizes = contents.records["size"][contents.positions]
    return FolderReport(
        folder=contents.folder,
        layout=contents.layout,
        num_rows=contents.num_rows,
        num_images=len(contents.files),
        splits={name: len(numbers) for name, numbers in contents.splits(validation_share, seed).items()},
        captions_per_image=dict(sorted(Counter(len(file.captions) for file in contents.files).items())),
        caption_characters=_quantiles(
            np.asarray([len(caption) for caption in captions]), ("min", "median", "95%", "max")
        ),
        num_distinct_captions=len(set(captions)),
        image_sizes={
            axis: _quantiles(sizes[:, number], ("min", "median", "max"))
            for number, axis in enumerate(("width", "height"))
        },
        duplicates=_duplicates(contents),
        skipped=contents.skipped,
        unnamed=contents.unnamed,
        notes=contents.notes,
        contents=contents,
    )


def _quantiles(values: np.ndarray, names: tuple[str, ...]) -> dict[str, int]:
    shares = {"min": 0.0, "median": 0.5, "95%": 0.95, "max": 1.0}
    if not values.size:
        return {}
    return {name: int(np.quantile(values, shares[name], method="lower")) for name in names}


def _duplicates(contents: FolderContents) -> tuple[tuple[str, ...], ...]:
    groups: dict[bytes, list[str]] = {}
    for file, position in zip(contents.files, contents.positions, strict=True):
        digest = hashlib.sha256(contents.records["pixels"][position].tobytes()).digest()
        groups.setdefault(digest, []).append(file.name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _draw(contents: FolderContents, numbers: np.ndarray) -> Image.Image:
    font = ImageFont.load_default(_FONT_SIZE)
    width, height = _CELL + _TEXT_WIDTH + 3 * _GAP, _CELL + _GAP
    columns = min(_COLUMNS, len(numbers))
    sheet = Image.new("RGB", (columns * width, -(-len(numbers) // columns) * height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, number in enumerate(numbers):
        left, top = (place % columns) * width + _GAP, (place // columns) * height + _GAP
        pixels = Image.fromarray(np.array(contents.records["pixels"][contents.positions[number]]))
        sheet.paste(pixels.resize((_CELL, _CELL), Image.Resampling.BICUBIC), (left, top))
        lines: list[str] = []
        for caption in contents.files[number].captions:
            lines += _wrapped(f"- {caption}", draw, font)
        most = _CELL // (_FONT_SIZE + 2)
        if len(lines) > most:
            lines[most - 1 :] = [f"{lines[most - 1]} ..."]
        for line_number, line in enumerate(lines):
            draw.text((left + _CELL + _GAP, top + line_number * (_FONT_SIZE + 2)), line, _INK, font)
    return sheet


def _wrapped(text: str, draw: ImageDraw.ImageDraw, font: Any) -> list[str]:
    """Breaks a text into lines that fit beside an image; a word too long for a line is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) <= _TEXT_WIDTH:
            lines[-1] = longer
            continue
        while draw.textlength(word, font=font) > _TEXT_WIDTH:
            word = word[: len(word) * 3 // 4]
        lines.append(word)
    return lines
