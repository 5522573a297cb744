"""Rows of a captioned image folder: which file, which captions, which split, and why a row cannot be used."""

from __future__ import annotations

import ast
import io
import json
import os
import stat
import tokenize
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from keras_t2i.core.printable import escaped, spaced
from keras_t2i.data.found import CaptionRow, Wanted
from keras_t2i.data.layouts import folder_problem, found_in
from keras_t2i.data.listing import Listing, named
from keras_t2i.data.split_lists import listed_splits
from keras_t2i.data.splits import SPLIT_NAMES, split_of_folders

__all__ = [
    "MAX_CAPTION_CHARACTERS",
    "CaptionedFile",
    "FolderRows",
    "SkippedRow",
    "UnusableRowError",
    "caption_problem",
    "check_skipped",
    "read_rows",
    "skipped_summary",
    "usable_captions",
    "with_damaged",
]

_NAMED_ROWS = 3
MAX_CAPTION_CHARACTERS = 2000
"""Longer captions skip their row: no encoder reads that far, and such a text is rarely a caption."""


@dataclass(frozen=True)
class SkippedRow:
    """A row that cannot be used, as it can be printed: control characters are escaped.

    Args:
        file: Name of the metadata, caption or image file, relative to the folder.
        line: Line number in that file, from 1, or `None` where the whole file is meant.
        reason: What is wrong with it.
    """

    file: str
    line: int | None
    reason: str

    def __post_init__(self) -> None:
        for name in ("file", "reason"):
            object.__setattr__(self, name, escaped(getattr(self, name)))

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
        sources: File and line of each row that named it.
        size: Bytes in the file.
        modified: Time of its last change in nanoseconds.
    """

    name: str
    path: str
    captions: list[str]
    split: str | None
    sources: list[tuple[str, int | None]]
    size: int
    modified: int


@dataclass
class FolderRows:
    """Every row of a folder, sorted into usable and skipped; nothing is decoded yet.

    Args:
        layout: How captions were found, in a few words.
        files: Images with captions.
        skipped: Rows that cannot be used.
        num_rows: Rows in all.
        unnamed: Images of the folder that no row names.
        notes: What a user should know of how the folder was read, in sentences.
    """

    layout: str
    files: list[CaptionedFile] = field(default_factory=list)
    skipped: list[SkippedRow] = field(default_factory=list)
    num_rows: int = 0
    unnamed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _SupportsSources(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def sources(self) -> Sequence[tuple[str, int | None]]: ...


def with_damaged(
    skipped: Iterable[SkippedRow], images: Iterable[_SupportsSources], errors: Iterable[str]
) -> list[SkippedRow]:
    """Rows that are skipped, with those of images that cannot be decoded, in the order of files and lines.

    Args:
        skipped: The rows.
        images: Images, in order.
        errors: What is wrong with each, an empty text where nothing is; there may be fewer.
    """
    damaged = [
        SkippedRow(*source, f"{image.name}: {error}")
        for image, error in zip(images, errors, strict=False)
        if error
        for source in image.sources
    ]
    return sorted([*skipped, *damaged], key=lambda row: (row.file, row.line or 0))


class UnusableRowError(ValueError):
    """The reason why a row is skipped."""


def read_rows(folder: str | os.PathLike[str], wanted: Wanted | None = None, captions: bool = True) -> FolderRows:
    """Reads which images a folder has and their captions, by the first of `LAYOUTS` that fits.

    Args:
        folder: The folder of images.
        wanted: Column and template of captions.
        captions: Without, every image file is a row, and its one caption is empty.

    Raises:
        ValueError: if there is no such folder, it has no captions, or it has no such column.
    """
    folder = Path(folder)
    if problem := folder_problem(folder):
        raise ValueError(f"The image folder {str(folder)!r} {problem}.")
    listing = Listing.of(folder)
    found = found_in(listing, wanted or Wanted(), captions)
    place = _Place(listing, os.path.realpath(folder), listed_splits(listing))
    result, by_name = FolderRows(found.about, num_rows=len(found.rows)), dict[str, CaptionedFile]()
    for row in found.rows:
        try:
            _add(_captioned_file(row, place, captions), by_name)
        except UnusableRowError as error:
            result.skipped.append(SkippedRow(*row.source, str(error)))
    result.files = list(by_name.values())
    told = {row.file for row in result.skipped if row.line is None}
    result.unnamed = tuple(
        name for name in (*listing.images, *listing.unread) if name not in place.named and named([name]) not in told
    )
    result.notes = (*found.notes, *_notes(str(folder), result, len(listing.images) + len(listing.unread)))
    return result


@dataclass
class _Place:
    """Where rows are looked up: the files of the folder, its path without links, the splits that lists tell.

    `named` grows by every file that a row names.
    """

    listing: Listing
    root: str
    splits: dict[str, str]
    named: set[str] = field(default_factory=set)


def _notes(folder: str, rows: FolderRows, num_images: int) -> list[str]:
    notes = []
    if rows.unnamed:
        notes.append(
            f"{len(rows.unnamed):,} of {num_images:,} images in {folder!r} are in no row and are not used"
            f" ({named(rows.unnamed)})."
        )
    others = Counter(file.split for file in rows.files if file.split and file.split not in SPLIT_NAMES.values())
    if others:
        told = ", ".join(f"{name!r} of {count:,} images" for name, count in others.items())
        notes.append(f"Splits of {folder!r} that are neither trained on nor measured on: {told}.")
    return notes


def _captioned_file(row: CaptionRow, place: _Place, captions: bool) -> CaptionedFile:
    if row.problem:
        raise UnusableRowError(row.problem)
    name, split = row.file_name, row.split
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise UnusableRowError("no usable file_name")
    if split is not None and not isinstance(split, str):
        raise UnusableRowError(f"split {_short(split)} is not a name")
    split = (split or "").strip().lower()
    if not _is_unicode(name + split):
        raise UnusableRowError("file_name or split is not valid UTF-8")
    try:
        located = place.listing.locate(row.directory, name, row.table_split)
    except ValueError as error:
        raise UnusableRowError(str(error)) from error
    place.named.add(located)
    path, status = _file(os.path.join(place.listing.folder, located), name, place.root)
    inside = path[len(os.path.join(place.root, "")) :].replace(os.sep, "/")
    place.named.add(inside)
    return CaptionedFile(
        inside,
        path,
        usable_captions(row.captions) if captions else [""],
        SPLIT_NAMES.get(split, split) or row.table_split or place.splits.get(located) or split_of_folders(located),
        [row.source],
        status.st_size,
        status.st_mtime_ns,
    )


def _file(path: str, name: str, root: str) -> tuple[str, os.stat_result]:
    """The path of a file without links, and its status."""
    try:
        path = os.path.realpath(path)
        if not path.startswith(os.path.join(root, "")):
            raise UnusableRowError(f"{_short(name)} leads out of the folder")
        status = os.stat(path)
    except FileNotFoundError as error:
        raise UnusableRowError(f"{_short(name)} is missing") from error
    except OSError as error:
        raise UnusableRowError(f"{_short(name)} cannot be opened ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):
        raise UnusableRowError(f"{_short(name)} is not a regular file")
    return path, status


def usable_captions(value: Any) -> list[str]:
    """Returns the distinct captions of a cell: one text, a list of texts, or such a list written in a text.

    Control characters become spaces: no encoder reads them, and a terminal would obey them.
    """
    texts = value if isinstance(value, list) else [value]
    if isinstance(value, str) and value.lstrip().startswith("["):
        texts = _listed(value) or [value]  # Else a caption that happens to open with a bracket.
    captions: dict[str, None] = {}
    for text in texts:
        if text is None:
            continue
        if not isinstance(text, str):
            raise UnusableRowError(f"caption {_short(text)} is not a text")
        problem = caption_problem(text)
        if problem is None:
            captions[" ".join(spaced(text).split())] = None
        elif spaced(text).strip():
            raise UnusableRowError(problem)
    if not captions:
        raise UnusableRowError("empty caption")
    return list(captions)


def _listed(text: str) -> list[str] | None:
    """The texts of a list as JSON, Python or NumPy write it, `None` where it is none."""
    try:
        listed = json.loads(text)
        return listed if isinstance(listed, list) and all(isinstance(item, str) for item in listed) else None
    except (ValueError, RecursionError):
        pass
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text.strip()).readline))
        texts = [ast.literal_eval(token.string) for token in tokens if token.type == tokenize.STRING]
    except (ValueError, SyntaxError, tokenize.TokenError):
        return None
    # NumPy puts no commas: Python would read its texts as one.
    others = {token.string.strip() for token in tokens if token.type != tokenize.STRING}
    return texts if others <= {"[", "]", ",", ""} and all(isinstance(item, str) for item in texts) else None


def caption_problem(text: str) -> str | None:
    """What keeps a text from being a caption; `None` where nothing does."""
    if not spaced(text).strip():
        return "empty caption"
    if "\0" in text:
        return "caption has a NUL character"
    if len(text) > MAX_CAPTION_CHARACTERS:
        return f"caption has {len(text):,} characters, more than {MAX_CAPTION_CHARACTERS:,}"
    return None if _is_unicode(text) else "caption is not valid UTF-8"


def check_skipped(folder: str, skipped: Sequence[SkippedRow], num_rows: int, max_skipped_share: float) -> None:
    """Stops where too many rows cannot be used.

    Raises:
        ValueError: if they are more than this share.
    """
    if len(skipped) > max_skipped_share * num_rows:
        raise ValueError(
            f"{skipped_summary(folder, skipped, num_rows)} At most {max_skipped_share:.0%} may be so "
            f"(`max_skipped_share`); `keras-t2i data check {folder}` names them all."
        )


def skipped_summary(folder: str, skipped: Sequence[SkippedRow], num_rows: int) -> str:
    """One sentence: how many rows cannot be used, and the first few by name."""
    told = "; ".join(map(str, skipped[:_NAMED_ROWS])) + ("; ..." if len(skipped) > _NAMED_ROWS else "")
    return f"{len(skipped)} of {num_rows} rows of {folder!r} cannot be used ({told})."


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
        raise UnusableRowError(f"split is {file.split}, but {known.split} at {_where(known)}")
    new = [caption for caption in file.captions if caption not in known.captions]
    if not new:
        raise UnusableRowError(f"repeats {_where(known)}")
    known.captions.extend(new)
    known.sources.extend(file.sources)


def _where(file: CaptionedFile) -> str:
    name, line = file.sources[0]
    return f"line {line}" if line else name


def _short(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
