"""Rows of a captioned image folder: which file, which captions, which split, and why a row cannot be used."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_t2i.data.metadata import SPLIT_NAMES, MetadataRow, image_rows, metadata_rows

__all__ = ["MAX_CAPTION_CHARACTERS", "CaptionedFile", "FolderRows", "SkippedRow", "caption_problem", "read_rows"]

MAX_CAPTION_CHARACTERS = 2000
"""Longer captions skip their row: no encoder reads that far, and such a text is rarely a caption."""


@dataclass(frozen=True)
class SkippedRow:
    """A row that cannot be used.

    Args:
        file: Name of the metadata, caption or image file, relative to the folder.
        line: Line number in that file, from 1, or `None` where the whole file is meant.
        reason: What is wrong with it.
    """

    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


@dataclass
class CaptionedFile:
    """An image file with its captions.

    Args:
        name: Path relative to the folder, with forward slashes.
        path: Where the file is.
        captions: Its distinct captions, at least one.
        split: `"train"`, `"validation"`, `"test"`, another name as given, or `None` where none was given.
        source: File and line that named it, for messages.
        size: Bytes in the file.
        modified: Time of its last change in nanoseconds.
    """

    name: str
    path: str
    captions: list[str]
    split: str | None
    source: tuple[str, int | None]
    size: int
    modified: int


@dataclass
class FolderRows:
    """Every row of a folder, sorted into usable and skipped; nothing is decoded yet."""

    files: list[CaptionedFile] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)
    num_rows: int = 0


class _UnusableRowError(ValueError):
    """The reason why a row is skipped."""


def read_rows(folder: str | os.PathLike[str], caption_column: str | None = None, captions: bool = True) -> FolderRows:
    """Reads which images a folder has and their captions.

    Looked for, in this order: `metadata.jsonl` or `metadata.csv` in the folder; the same in its direct subfolders,
    whose names are then the splits; `.txt` files beside the images, one caption a line.

    Args:
        folder: The folder of images.
        caption_column: Column that holds the captions; by default the first present of `CAPTION_COLUMNS`.
        captions: Without, every image file is a row, and its one caption is empty.

    Raises:
        ValueError: if there is no such folder, it has no captions, or it has no such column.
    """
    folder = Path(folder)
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise ValueError(
            f"The image folder {str(folder)!r} {state}; pass a folder of images with metadata.jsonl in it."
        )
    rows = metadata_rows(folder, caption_column) if captions else image_rows(folder)
    root, result, by_name = os.path.realpath(folder), FolderRows(num_rows=len(rows)), dict[str, CaptionedFile]()
    for row in rows:
        try:
            _add(_captioned_file(row, root, captions), by_name)
        except _UnusableRowError as error:
            result.skipped.append(SkippedRow(*row.source, str(error)))
    result.files = list(by_name.values())
    return result


def _captioned_file(row: MetadataRow, root: str, captions: bool) -> CaptionedFile:
    if row.problem:
        raise _UnusableRowError(row.problem)
    name, split = row.file_name, row.split
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise _UnusableRowError("no usable file_name")
    if split is not None and not isinstance(split, str):
        raise _UnusableRowError(f"split {_short(split)} is not a name")
    split = (split or "").strip().lower()
    if not _is_unicode(name + split):
        raise _UnusableRowError("file_name or split is not valid UTF-8")
    try:
        path = os.path.realpath(os.path.join(row.directory, name))
        if not path.startswith(os.path.join(root, "")):
            raise _UnusableRowError(f"{_short(name)} leads out of the folder")
        status = os.stat(path)
    except FileNotFoundError as error:
        raise _UnusableRowError(f"{_short(name)} is missing") from error
    except OSError as error:
        raise _UnusableRowError(f"{_short(name)} cannot be opened ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):
        raise _UnusableRowError(f"{_short(name)} is not a regular file")
    return CaptionedFile(
        path[len(os.path.join(root, "")) :].replace(os.sep, "/"),
        path,
        _usable_captions(row.captions) if captions else [""],
        SPLIT_NAMES.get(split, split) or None,
        row.source,
        status.st_size,
        status.st_mtime_ns,
    )


def _usable_captions(value: Any) -> list[str]:
    """Returns the distinct captions of a cell: one text, a list of texts, or a JSON list in a text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            listed = json.loads(value)
            value = listed if isinstance(listed, list) and all(isinstance(item, str) for item in listed) else value
        except (ValueError, RecursionError):
            pass  # A caption that happens to open with a bracket.
    texts = value if isinstance(value, list) else [value]
    captions: dict[str, None] = {}
    for text in texts:
        if text is None:
            continue
        if not isinstance(text, str):
            raise _UnusableRowError(f"caption {_short(text)} is not a text")
        problem = caption_problem(text)
        if problem is None:
            captions[" ".join(text.split())] = None
        elif text.strip():
            raise _UnusableRowError(problem)
    if not captions:
        raise _UnusableRowError("empty caption")
    return list(captions)


def caption_problem(text: str) -> str | None:
    """What keeps a text from being a caption; `None` where nothing does."""
    if not text.strip():
        return "empty caption"
    if "\0" in text:
        return "caption has a NUL character"
    if len(text) > MAX_CAPTION_CHARACTERS:
        return f"caption has {len(text):,} characters, more than {MAX_CAPTION_CHARACTERS:,}"
    return None if _is_unicode(text) else "caption is not valid UTF-8"


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _add(file: CaptionedFile, by_name: dict[str, CaptionedFile]) -> None:
    """Adds a file, or its new captions to the one already there: some tables have a row for each caption."""
    known = by_name.setdefault(file.name, file)
    if known is file:
        return
    if known.split != file.split:
        raise _UnusableRowError(f"split is {file.split}, but {known.split} at line {known.source[1]}")
    new = [caption for caption in file.captions if caption not in known.captions]
    if not new:
        raise _UnusableRowError(f"repeats line {known.source[1]}")
    known.captions.extend(new)


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
