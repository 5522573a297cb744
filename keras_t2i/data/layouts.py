"""How folders of captioned images are laid out: one table, tried in order; the first layout that fits is read."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_t2i.data.captions_in_files import class_folders, every_image, text_files
from keras_t2i.data.captions_in_tables import any_tables, json_annotations, metadata_tables
from keras_t2i.data.found import Found, Wanted
from keras_t2i.data.listing import IMAGE_SUFFIXES, Listing, named, suffix_of

__all__ = ["LAYOUTS", "Layout", "folder_problem", "found_in"]


@dataclass(frozen=True)
class Layout:
    """A way to put captions to images.

    Args:
        read: Returns what it finds, or `None` where a folder is not laid out so.
        has_columns: Whether captions are in a column that may be chosen.
    """

    read: Callable[[Listing, Wanted], Found | None]
    has_columns: bool = False


def _packed_tables(listing: Listing, wanted: Wanted) -> None:
    """Refuses a metadata table that is not read, which leaves images that other layouts would half read."""
    _refuse(listing, [name for name in listing.files if posixpath.basename(name) == "metadata.parquet"])


def _packed(listing: Listing, wanted: Wanted) -> None:
    """Refuses a folder of archives."""
    _refuse(listing, listing.files)


LAYOUTS = {
    "metadata": Layout(metadata_tables, has_columns=True),
    "metadata.parquet": Layout(_packed_tables),
    "annotations": Layout(json_annotations),
    "tables": Layout(any_tables, has_columns=True),
    "text files": Layout(text_files),
    "class folders": Layout(class_folders),
    "packed": Layout(_packed),
}
"""Layouts, in the order in which they are tried."""

_WRITE_OUT = "write its images and captions out as files, as the guide on data shows"
_PACK = "pass it to 'keras-t2i data pack', and train on what that writes"
_PACKED = {
    r"\.(zip|7z|rar)": ("an archive", "unpack it"),
    r"\.(tar\.\w+|tgz)": ("a compressed tar archive", "unpack it (tar -xf)"),
    r"\.tar": ("a tar archive, as webdataset has them", _PACK),
    r"\.parquet": ("a Parquet table", _PACK),
    r"\.arrow": ("an Arrow table", _WRITE_OUT),
    r"\.tfrecord(-\d+-of-\d+)?": ("a file of TensorFlow records", "pass tfds:NAME if TensorFlow Datasets prepared it"),
    r"(^|/)packed\.json": ("what data pack has written", "pass it to train as it is"),
    r"\.(h5|hdf5|lmdb|mdb|npz|pkl|pickle)": ("a file of arrays or objects", _WRITE_OUT),
}
"""Files that hold images or captions and are not opened here: how their names end, what they are, what to do."""


def found_in(listing: Listing, wanted: Wanted, captions: bool = True) -> Found:
    """What a folder has, by the first layout that fits.

    Args:
        listing: The files of the folder.
        wanted: What is looked for.
        captions: Without, every image is a row.

    Raises:
        ValueError: if none fits, one that does cannot be read, or has no such column.
    """
    if not listing.images and not listing.unread:
        _refuse(listing, listing.files)
    if not captions:
        return every_image(listing)
    for layout in LAYOUTS.values():
        try:
            found = layout.read(listing, wanted)
        except OSError as error:
            raise ValueError(f"The image folder {str(listing.folder)!r} cannot be read: {error.strerror}.") from error
        if found is None:
            continue
        if wanted.caption_column is not None and not layout.has_columns:
            raise ValueError(
                f"No column {wanted.caption_column} in {str(listing.folder)!r}: its captions are not in a table, but in"
                f" {found.about}; leave caption_column out."
            )
        return found
    others = [name for name in listing.files if suffix_of(name) not in IMAGE_SUFFIXES]
    there = f", but {named(others)}: for a table with captions in another column, pass caption_column" if others else ""
    raise ValueError(
        f"No captions in {str(listing.folder)!r}: expected metadata.jsonl or metadata.csv with the columns file_name"
        f" and text, or a .txt file beside each image, or what else the guide on data lists{there}."
    )


def _refuse(listing: Listing, names: Sequence[str]) -> None:
    for ending, (what, fix) in _PACKED.items():
        packed = [name for name in names if re.search(f"{ending}$", name.lower())]
        if not packed:
            continue
        name, others = packed[0], f", one of {len(packed)} such files" * (len(packed) > 1)
        raise ValueError(f"No captioned images in {str(listing.folder)!r}: {named([name])} is {what}{others}; {fix}.")


def folder_problem(folder: Path) -> str | None:
    """What is wrong with what should be a folder, and what to do; `None` where it is one."""
    if folder.is_dir():
        return None
    if not folder.exists():
        return "does not exist; pass a folder of images with metadata.jsonl in it"
    for ending, (what, fix) in _PACKED.items():
        if re.search(f"{ending}$", folder.name.lower()):
            return f"is a file, {what}; {fix}"
    return "is a file; pass the folder that it is in"
