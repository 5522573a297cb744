"""What can be packed: images in files, or in a data set, with captions; nothing is decoded yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_t2i.data.found import Wanted
from keras_t2i.data.rows import SkippedRow, read_rows

if TYPE_CHECKING:
    from keras_t2i.data.pipeline import CaptionedImages

__all__ = ["Item", "Source", "dataset_source", "folder_source", "stamp"]


@dataclass(frozen=True, slots=True)
class Item:
    """An image to be packed.

    Args:
        name: What messages call it.
        place: Where it is: `("file", path)`, `("part", path, offset, bytes)` of a file that holds many,
            `("parquet", path, column, row group, row in it)`, or `(split, number)` of a data set.
        captions: Its distinct captions, at least one.
        split: `"train"`, `"validation"`, `"test"`, another name as given, or `None` where none was given.
        sources: File and line of each row that named it.
    """

    name: str
    place: tuple[Any, ...]
    captions: tuple[str, ...]
    split: str | None = None
    sources: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True)
class Source:
    """Images to be packed, in order.

    Args:
        path: What it is called in messages and commands.
        name: Short name for model cards.
        items: The images.
        skipped: Rows that cannot be used.
        num_rows: Rows in all.
        notes: What a user should know of how it was read, in sentences.
        stamps: Text that changes whenever the images do, beside what the items say.
        dataset: Where the images are from, if not from files.
    """

    path: str
    name: str
    items: Sequence[Item]
    skipped: tuple[SkippedRow, ...] = ()
    num_rows: int = 0
    notes: tuple[str, ...] = ()
    stamps: str = ""
    dataset: CaptionedImages | None = None


def folder_source(
    folder: str | os.PathLike[str],
    captions: bool = True,
    caption_column: str | None = None,
    caption_template: str = "a photo of a {label}",
) -> Source:
    """The images of a folder, read by the rules of `from_folder`, whose arguments these are.

    Raises:
        ValueError: if the folder or its captions are missing.
    """
    rows = read_rows(folder, Wanted(caption_column, caption_template), captions)
    items = [
        Item(file.name, ("file", file.path), tuple(file.captions), file.split, tuple(file.sources))
        for file in rows.files
    ]
    stamps = "\n".join(f"{file.size}\t{file.modified}" for file in rows.files)
    name = os.path.basename(os.path.abspath(folder))
    return Source(str(folder), name, items, tuple(rows.skipped), rows.num_rows, rows.notes, stamps)


def dataset_source(dataset: CaptionedImages, stamps: str) -> Source:
    """The images of a data set; where they are rendered anew each time, one of each.

    Args:
        dataset: The data set.
        stamps: Text that changes whenever its images do.
    """
    items: list[Item] = []
    for name, split in (("train", dataset.train_split), ("validation", dataset.validation_split)):
        if split is not None:
            captions = [tuple(split.captions[number] for number in ids) for ids in split.caption_ids]
            digests = split.digests or [""] * len(captions)
            items += [
                Item(f"{name}/{number}", (name, number, digest), texts, name, ((name, number + 1),))
                for number, (texts, digest) in enumerate(zip(captions, digests, strict=True))
            ]
    return Source(dataset.name, dataset.name, items, dataset.skipped, len(items), (), stamps, dataset)


def stamp(path: Path) -> str:
    """What changes whenever a file does."""
    found = path.stat()
    return f"{path.name}\t{found.st_size}\t{found.st_mtime_ns}"
