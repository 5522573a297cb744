"""Tables with a row for each image or caption, as they are written: with commas, semicolons, tabs or in JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_t2i.data.listing import read_text, suffix_of

__all__ = [
    "CAPTION_COLUMNS",
    "FILE_COLUMNS",
    "Table",
    "caption_columns_in",
    "caption_columns_of",
    "cell_of",
    "column_in",
    "read_table",
    "starts_table",
]

CAPTION_COLUMNS = ("text", "caption", "captions", "comment", "raw")
"""Names under which captions are looked for, in this order, where no column is named."""

FILE_COLUMNS = (
    *("file_name", "filename", "image_name", "image_file", "image", "file", "image_path", "filepath", "path", "img"),
)
"""Names under which image files are looked for, in this order."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_FIRST_BYTES = 1 << 16
_NUMBER = re.compile(r"-?[\d.]+")
_NUMBERED = re.compile(r"(?:text|caption|comment|sentence)s?[_ -]?\d+", re.IGNORECASE)
_TOKEN = re.compile(r"(.+)#\d+")


@dataclass(frozen=True)
class Table:
    """A table as it is written.

    Args:
        columns: Their names, in order.
        rows: The line where each starts, and its cells by column, or what is wrong with it.
        notes: What a user should know of how it was read.
    """

    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, Any] | str]]
    notes: tuple[str, ...] = ()


def read_table(path: Path, is_image: Callable[[str], bool]) -> Table:
    """Reads a table.

    Args:
        path: A `.jsonl` file, or text with a separator and a header; without a header where its first line names an
            image, and where it has `image.jpg#0` in front of a tab, as Flickr's captions have.
        is_image: Whether a text names an image of the folder.
    """
    if suffix_of(path.name) == ".jsonl":
        rows = list(_json_rows(io.StringIO(read_text(path), newline="\n")))
        return Table(tuple(dict.fromkeys(c for _, values in rows if isinstance(values, dict) for c in values)), rows)
    lines = list(io.StringIO(read_text(path), newline=""))
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    if first == len(lines):
        return Table((), [])
    delimiter, header = _header(lines[first], is_image)
    if header is not None:
        records = _records(lines, first + 1, delimiter, _names_image(header, delimiter, is_image))
        return _with_cells(header, records, delimiter)
    columns = ("file_name", "text")
    if _TOKEN.fullmatch(lines[first].split("\t")[0]):
        rows = list(_token_rows(lines))
        return Table(columns, rows)
    records = _records(lines, first, delimiter, _names_image(columns, delimiter, is_image))
    return _with_cells(columns, records, delimiter)


def caption_columns_of(columns: Sequence[str], path: Path, wanted: str | None = None) -> tuple[str, ...]:
    """The columns of captions among `columns`: see `caption_columns_in`.

    Raises:
        ValueError: if there is none.
    """
    found = caption_columns_in(columns, wanted)
    if not found:
        names = CAPTION_COLUMNS if wanted is None else (wanted,)
        raise ValueError(
            f"No column {' or '.join(names)} in {path}, only {', '.join(columns[:20])}: name that of captions with "
            "`caption_column` (--caption-column)."
        )
    return found


def caption_columns_in(columns: Sequence[str], wanted: str | None = None) -> tuple[str, ...]:
    """The columns that hold captions: `wanted`, or the first usual one, or all numbered ones, as `caption_0` is."""
    found = column_in(columns, None if wanted is None else (wanted,))
    if found is not None:
        return (found,)
    return tuple(filter(_NUMBERED.fullmatch, columns)) if wanted is None else ()


def cell_of(values: Mapping[str, Any], columns: Sequence[str]) -> Any:
    """What a row has in these columns: in one alone what is there, of several a list."""
    return values.get(columns[0]) if len(columns) == 1 else [values.get(column) for column in columns]


def starts_table(path: Path, is_image: Callable[[str], bool], caption_column: str | None) -> bool:
    """Whether the first line of a file says that it is a table of images and captions."""
    lines = io.StringIO(read_text(path, _FIRST_BYTES), newline="")
    line = next((line for line in lines if line.strip()), "")
    if suffix_of(path.name) == ".jsonl":
        values = next((values for _, values in _json_rows([line])), None)
        header: Sequence[str] | None = tuple(values) if isinstance(values, dict) else ()
    else:
        try:
            header = _header(line, is_image)[1]
        except csv.Error:
            header = ()
    if header is None:
        return True
    return column_in(header, FILE_COLUMNS) is not None and bool(caption_columns_in(header, caption_column))


def column_in(columns: Iterable[str], names: Iterable[str] | None = None) -> str | None:
    """The first of some names, by default those of captions, that a table has as a column, in its own spelling."""
    spelled = {column.lower(): column for column in reversed(list(columns))}
    return next((spelled[name.lower()] for name in names or CAPTION_COLUMNS if name.lower() in spelled), None)


def _json_rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
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


def _header(line: str, is_image: Callable[[str], bool]) -> tuple[str, tuple[str, ...] | None]:
    """The separator and the names of the columns, `None` where the line is a row."""
    found: dict[str, tuple[str, ...]] = {}
    for delimiter in _DELIMITERS:
        try:
            found[delimiter] = tuple(cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), []))
        except csv.Error:
            continue
    for delimiter, cells in found.items():
        if column_in(cells, FILE_COLUMNS) and caption_columns_in(cells):
            return delimiter, cells
    for delimiter, cells in found.items():
        if len(cells) < 2 or _NUMBER.fullmatch(cells[1]):
            continue
        if is_image(cells[0]) or (delimiter == "\t" and _TOKEN.fullmatch(cells[0])):
            return delimiter, None
    delimiter = max(found, key=lambda delimiter: len(found[delimiter]), default=",")
    return delimiter, found.get(delimiter, ())


def _token_rows(lines: Sequence[str]) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, tab, caption = line.rstrip("\r\n").partition("\t")
        token = _TOKEN.fullmatch(name)
        if token and tab:
            yield number, {"file_name": token[1], "text": caption}
        else:
            yield number, "not a file name, #, a number, a tab and a caption"


def _names_image(columns: Sequence[str], delimiter: str, is_image: Callable[[str], bool]) -> Callable[[str], bool]:
    """Whether a line taken by itself is a row of an image."""
    name = column_in(columns, FILE_COLUMNS)
    place = columns.index(name) if name else 0

    def names_image(line: str) -> bool:
        try:
            cells = next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            return False
        return len(cells) > place and is_image(cells[place])

    return names_image


class _Lines:
    """Lines, of which a reader may be made to take some again."""

    def __init__(self, lines: Sequence[str], place: int) -> None:
        self.lines, self.place = lines, place

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.place >= len(self.lines):
            raise StopIteration
        self.place += 1
        return self.lines[self.place - 1]


def _records(
    lines: Sequence[str], first: int, delimiter: str, names_image: Callable[[str], bool]
) -> Iterator[tuple[int, list[str] | str]]:
    """Yields each record; a quote that swallows rows after its own costs that row alone, and reading goes on there."""
    source = _Lines(lines, first)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while source.place < len(lines):
        start = source.place
        try:
            cells = next(reader)
            swallowed = any(names_image(line) for line in lines[start + 1 : source.place])
            problem = "a quote that is opened and not closed" if swallowed else None
        except csv.Error as error:
            cells, problem = [], str(error)
            if problem == "unexpected end of data":
                problem = "a quote that is opened and not closed"
        if problem:
            source.place = start + 1
            yield start + 1, f"not valid CSV ({problem}); double the quotes inside a quoted caption"
        elif cells:
            yield start + 1, cells


def _with_cells(columns: tuple[str, ...], records: Iterable[tuple[int, list[str] | str]], delimiter: str) -> Table:
    rows: list[tuple[int, dict[str, Any] | str]] = []
    for number, cells in records:
        if isinstance(cells, str):
            rows.append((number, cells))
        elif len(cells) > len(columns):
            rows.append((number, f"more cells than columns; quote captions with {_DELIMITERS[delimiter]}"))
        else:
            cells += [""] * (len(columns) - len(cells))
            # Reversed, so that of two columns of one name the first is read.
            rows.append((number, dict(zip(reversed(columns), reversed(cells), strict=True))))
    twice = [name for name, count in Counter(columns).items() if count > 1 and name]
    notes = tuple(f"There are several columns {name!r}: the first of them is read." for name in twice)
    return Table(tuple(dict.fromkeys(columns)), rows, notes)
