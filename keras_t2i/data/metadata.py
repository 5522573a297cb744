"""Captions as a folder's files give them, from metadata tables or text files; nothing in them is trusted yet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CAPTION_COLUMNS", "SPLIT_NAMES", "MetadataRow", "image_rows", "metadata_rows"]

CAPTION_COLUMNS = ("text", "caption", "captions")
"""Names under which captions are looked for, in this order, where no column is named."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What the names of splits that are met stand for."""

_IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm"),
    *(".png", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"),
)


@dataclass(frozen=True)
class MetadataRow:
    """A row as written.

    Args:
        source: Name of the file that has the row, relative to the folder, and the line number if it has one.
        directory: Where `file_name` starts from.
        file_name: Image file.
        captions: One text, or a list of texts.
        split: Name of the split, if any.
        problem: Why the row could not be parsed; the rest is then empty.
    """

    source: tuple[str, int | None]
    directory: Path
    file_name: Any = None
    captions: Any = None
    split: Any = None
    problem: str | None = None


def metadata_rows(folder: Path, caption_column: str | None) -> list[MetadataRow]:
    """Reads every row of a folder's metadata tables or, where there is none, of the text files beside its images.

    Raises:
        ValueError: if the folder cannot be read, has no captions, no rows, or lacks a column.
    """
    try:
        tables = _tables(folder) or [
            table for child in sorted(folder.iterdir()) if child.is_dir() for table in _tables(child)
        ]
        if not tables:
            rows = list(_text_file_rows(folder))
            if not rows or all(row.problem for row in rows):
                raise ValueError(
                    f"No captions in {str(folder)!r}: expected metadata.jsonl or metadata.csv with the columns"
                    " file_name and text, or a .txt file beside each image."
                )
            return rows
        parsed = [(table, line, values) for table in tables for line, values in _table_values(table)]
    except OSError as error:
        raise ValueError(f"The image folder {str(folder)!r} cannot be read: {error.strerror}.") from error
    names = ", ".join(table.relative_to(folder).as_posix() for table in tables)
    if not parsed:
        raise ValueError(f"{names} in {str(folder)!r} has no rows; write one row for each image.")
    columns = {column: None for _, _, values in parsed if isinstance(values, dict) for column in values}
    column = caption_column or next((name for name in CAPTION_COLUMNS if name in columns), "")
    for wanted, fix in (("file_name", "name the image files in it"), (column, "pass caption_column")):
        if columns and wanted not in columns:
            raise ValueError(
                f"No column {wanted or ' or '.join(CAPTION_COLUMNS)} in {names} of {str(folder)!r}; it has"
                f" {', '.join(map(repr, list(columns)[:20]))}: {fix}."
            )
    rows = []
    for table, line, values in parsed:
        source, parent = (table.relative_to(folder).as_posix(), line), table.parent
        if isinstance(values, str):
            rows.append(MetadataRow(source, parent, problem=values))
            continue
        implied = parent.name if parent != folder and parent.name.lower() in SPLIT_NAMES else None
        rows.append(
            MetadataRow(source, parent, values.get("file_name"), values.get(column), values.get("split") or implied)
        )
    return rows


def _tables(folder: Path) -> list[Path]:
    found = [path for name in ("metadata.jsonl", "metadata.csv") if (path := folder / name).is_file()]
    if len(found) > 1:
        raise ValueError(f"{str(folder)!r} has both metadata.jsonl and metadata.csv; keep one of them.")
    return found


def _table_values(table: Path) -> list[tuple[int, dict[str, Any] | str]]:
    """Returns line numbers and, for each, the row's columns or what is wrong with it."""
    read = _json_values if table.suffix == ".jsonl" else _csv_values
    # Bytes that are not UTF-8 become surrogates, which are found later in the row that has them.
    with table.open(
        encoding="utf-8-sig", errors="surrogateescape", newline="\n" if read is _json_values else ""
    ) as lines:
        return list(read(lines))


def _json_values(lines: Any) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"not valid JSON ({getattr(error, 'msg', error)})"
        else:
            yield (
                number,
                values if isinstance(values, dict) else 'not a JSON object such as {"file_name": ..., "text": ...}',
            )


def _csv_values(lines: Any) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.DictReader(lines, strict=True)
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.reader.line_num, f"not valid CSV ({error})"
        else:
            # `None` is the key of cells beyond the header.
            yield reader.line_num, "more cells than columns; quote captions with commas" if None in values else values


def image_rows(folder: Path) -> list[MetadataRow]:
    """Returns a row without captions for each image of a folder and its subfolders, tables and text files ignored.

    Raises:
        ValueError: if the folder cannot be read, or has no image files.
    """
    try:
        names = [image.relative_to(folder) for image in _image_files(folder)]
    except OSError as error:
        raise ValueError(f"The image folder {str(folder)!r} cannot be read: {error.strerror}.") from error
    if not names:
        raise ValueError(f"No images in {str(folder)!r}: expected files such as .jpg or .png, in it or its subfolders.")
    return [MetadataRow((_printable(name), None), folder, name.as_posix(), split=_split_of(name)) for name in names]


def _text_file_rows(folder: Path) -> Iterator[MetadataRow]:
    """Yields a row for each image of the folder and its subfolders, captions from the `.txt` file of the same name."""
    for image in _image_files(folder):
        name, text = image.relative_to(folder), image.with_suffix(".txt")
        if not text.is_file():
            yield MetadataRow((_printable(name), None), folder, problem=f"no caption file {text.name} beside it")
            continue
        captions = text.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
        yield MetadataRow(
            (_printable(text.relative_to(folder)), None), folder, name.as_posix(), captions, _split_of(name)
        )


def _image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)


def _split_of(name: Path) -> str | None:
    return name.parts[0] if name.parts[0].lower() in SPLIT_NAMES else None


def _printable(name: Path) -> str:
    """Returns a file name for messages: one that is not UTF-8 could not be printed."""
    return name.as_posix().encode("utf-8", "backslashreplace").decode("utf-8")
