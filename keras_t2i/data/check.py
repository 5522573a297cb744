"""A report on a folder of captioned images, before anything is trained on it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_t2i.core.files import written
from keras_t2i.core.lettering import Lettering
from keras_t2i.data.folder import FolderContents, read_folder
from keras_t2i.data.images import Reading, window
from keras_t2i.data.listing import named
from keras_t2i.data.looks import found_intensities, is_cut, is_one_color, near_copies, notices
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
        intensities: Where images have more than 8 bits a channel: the `number` of these, the `min` and the `max` of
            their values, and those that become `black` and `white`. Else empty.
        one_color: Files that are nearly one color once they are read.
        cut: Files of which the crop to the central square leaves out more than a third.
        duplicates: Groups of files that show the same pixels once made square and resized.
        near_duplicates: Groups of files that show nearly the same: also resized, compressed anew, mirrored.
        crossing: Validation files of which training has a duplicate, or nearly.
        skipped: Rows that cannot be used, with file, line and reason.
        unnamed: Images that no row names.
        notices: How the folder was read, and what is worth a look before training, a line each.
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
    intensities: dict[str, float]
    one_color: tuple[str, ...]
    cut: tuple[str, ...]
    duplicates: tuple[tuple[str, ...], ...]
    near_duplicates: tuple[tuple[str, ...], ...]
    crossing: tuple[str, ...]
    skipped: tuple[SkippedRow, ...]
    unnamed: tuple[str, ...]
    notices: tuple[str, ...]
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
        for name in ("duplicates", "near_duplicates"):
            report[name] = [list(group) for group in getattr(self, name)]
        for name in ("one_color", "cut", "crossing", "unnamed", "notices"):
            report[name] = list(getattr(self, name))
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
    fit: str = "crop",
    intensity_range: tuple[float, float] | None = None,
    validation_share: float = 0.1,
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> FolderReport:
    """Reads a folder by the rules of `from_folder`, and reports instead of stopping at unusable rows.

    Decoded images go to the same cache, so that training on the folder starts at once afterwards. Arguments are those
    of `from_folder`.

    Raises:
        ValueError: if the folder, its captions or the caption column are missing, or an argument is out of range.
    """
    reading = Reading(fit, intensity_range)
    contents = read_folder(
        folder,
        image_size,
        caption_column=caption_column,
        caption_template=caption_template,
        reading=reading,
        cache_dir=cache_dir,
    )
    names = np.asarray([file.name for file in contents.files], object)
    one_color, cut = (tuple(names[which(contents.records)[contents.positions]]) for which in (is_one_color, is_cut))
    splits = contents.splits(validation_share, seed)
    same, alike = _copies(contents)
    none = np.empty(0, np.int64)
    held_out = splits.get("validation", splits.get("test", none))
    crossing = names[held_out[np.isin(alike[held_out], alike[splits.get("train", none)])]]
    captions = [caption for file in contents.files for caption in file.captions]
    sizes = contents.records["size"][contents.positions]
    return FolderReport(
        folder=contents.folder,
        layout=contents.layout,
        num_rows=contents.num_rows,
        num_images=len(contents.files),
        splits={name: len(numbers) for name, numbers in splits.items()},
        captions_per_image=dict(sorted(Counter(len(file.captions) for file in contents.files).items())),
        caption_characters=_quantiles(
            np.asarray([len(caption) for caption in captions]), ("min", "median", "95%", "max")
        ),
        num_distinct_captions=len(set(captions)),
        image_sizes={
            axis: _quantiles(sizes[:, number], ("min", "median", "max"))
            for number, axis in enumerate(("width", "height"))
        },
        intensities=_intensities(contents),
        one_color=one_color,
        cut=cut if fit == "crop" else (),
        duplicates=_groups(names, same),
        near_duplicates=_groups(names, alike, same),
        crossing=tuple(crossing),
        skipped=contents.skipped,
        unnamed=contents.unnamed,
        notices=(
            *contents.notes,
            *notices(contents.records, contents.positions, reading),
            *_named(one_color, "Images of nearly one color"),
            *_named(tuple(crossing), "Validation images that are in training too, or nearly"),
        ),
        contents=contents,
    )


def _quantiles(values: np.ndarray, names: tuple[str, ...]) -> dict[str, int]:
    shares = {"min": 0.0, "median": 0.5, "95%": 0.95, "max": 1.0}
    if not values.size:
        return {}
    return {name: int(np.quantile(values, shares[name], method="lower")) for name in names}


def _intensities(contents: FolderContents) -> dict[str, float]:
    found = found_intensities(contents.records, contents.positions)
    between = window(found) if contents.reading.intensity_range is None else contents.reading.intensity_range
    if not len(found) or between is None:
        return {}
    values = {"min": float(found[:, 0].min()), "max": float(found[:, 1].max())}
    return {"number": len(found), **values, "black": between[0], "white": between[1]}


def _copies(contents: FolderContents) -> tuple[np.ndarray, np.ndarray]:
    """For each image, the number of the first that shows the same pixels, and that of the first that nearly does."""
    first_of: dict[bytes, int] = {}
    pixels = contents.records["pixels"]
    digests = (hashlib.sha256(pixels[position].tobytes()).digest() for position in contents.positions)
    same = np.asarray([first_of.setdefault(digest, number) for number, digest in enumerate(digests)], np.int64)
    different = np.unique(same)
    nearest = np.arange(len(same))

    def first(number: int) -> int:
        while nearest[number] != number:
            number = nearest[number]
        return number

    for pair in different[near_copies(contents.records, contents.positions[different])]:
        smaller, larger = sorted(map(first, pair.tolist()))
        nearest[larger] = smaller
    return same, np.asarray([first(number) for number in same.tolist()], np.int64)


def _groups(names: np.ndarray, numbers: np.ndarray, known: np.ndarray | None = None) -> tuple[tuple[str, ...], ...]:
    """Names with the same number, where there are several; but for groups that are known as such by other numbers."""
    groups: dict[int, list[int]] = {}
    for place, number in enumerate(numbers.tolist()):
        groups.setdefault(number, []).append(place)
    told = (places for places in groups.values() if len(places) > 1)
    return tuple(tuple(names[places]) for places in told if known is None or len(set(known[places].tolist())) > 1)


def _named(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    """A line that counts files and names some, where there are any."""
    return (f"{what}: {len(names)} ({named(names)}).",) if names else ()


def _draw(contents: FolderContents, numbers: np.ndarray) -> Image.Image:
    lettering = Lettering(_FONT_SIZE)
    most = _CELL // lettering.line_height
    width, height = _CELL + _TEXT_WIDTH + 3 * _GAP, _CELL + _GAP
    columns = min(_COLUMNS, len(numbers))
    sheet = Image.new("RGB", (columns * width, -(-len(numbers) // columns) * height + _GAP), _PAPER)
    for place, number in enumerate(numbers):
        left, top = (place % columns) * width + _GAP, (place // columns) * height + _GAP
        pixels = Image.fromarray(np.array(contents.records["pixels"][contents.positions[number]]))
        sheet.paste(pixels.resize((_CELL, _CELL), Image.Resampling.BICUBIC), (left, top))
        lines: list[str] = []
        for caption in contents.files[number].captions:
            lines += lettering.wrapped(f"- {caption}", _TEXT_WIDTH, most)
        if len(lines) > most:
            lines[most - 1 :] = [f"{lines[most - 1]} ..."]
        for line_number, line in enumerate(lines):
            beside = left + _CELL + _GAP, top + line_number * lettering.line_height
            lettering.draw(sheet, beside, line, _INK)
    return sheet
