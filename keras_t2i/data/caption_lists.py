"""Lists of captions without images, for drawing: lines of text, rows of a table, or a column of Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_t2i.data.listing import read_text, suffix_of
from keras_t2i.data.rows import UnusableRowError, usable_captions
from keras_t2i.data.tables import caption_columns_of, cell_of, read_table

__all__ = ["read_captions"]

_TEXT, _TABLES, _PARQUET = (".txt",), (".csv", ".tsv", ".jsonl"), (".parquet",)


def read_captions(path: str | os.PathLike[str], caption_column: str | None = None) -> list[str]:
    """Reads captions, in order.

    Args:
        path: A `.txt` with a caption a line, empty lines left out; a `.csv`, `.tsv` or `.jsonl`; or a `.parquet`. Of a
            row with several captions the first counts.
        caption_column: Column of captions of a table; by default the first of `text`, `caption`, ... .

    Raises:
        ValueError: if there is no such file, it is of another kind, lacks the column, holds no caption, or has a row
            that is none; in one line that names the row.
        ImportError: for Parquet, if PyArrow is not installed.
        OSError: if it cannot be read.
    """
    path = Path(path)
    suffix = suffix_of(path.name)
    if suffix not in (*_TEXT, *_TABLES, *_PARQUET):
        known = ", ".join((*_TEXT, *_TABLES))
        raise ValueError(f"{str(path)!r} is no list of captions: pass a file ending in {known} or {_PARQUET[0]}.")
    if not path.is_file():
        raise ValueError(f"There is no file {str(path)!r}: pass one with a caption a line, or a table of captions.")
    cells = _lines if suffix in _TEXT else _of_parquet if suffix in _PARQUET else _of_table
    captions = []
    for row, value in cells(path, caption_column):
        try:
            captions.append(usable_captions(value)[0])
        except UnusableRowError as error:
            raise ValueError(f"{path}:{row}: {error}: mend it or take it out.") from error
    if not captions:
        raise ValueError(f"{path} holds no caption.")
    return captions


def _lines(path: Path, caption_column: str | None) -> Iterator[tuple[int, Any]]:
    del caption_column
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line


def _of_table(path: Path, caption_column: str | None) -> Iterator[tuple[int, Any]]:
    table = read_table(path, lambda text: False)
    columns = caption_columns_of(table.columns, path, caption_column)
    for number, cells in table.rows:
        if isinstance(cells, str):
            raise ValueError(f"{path}:{number}: {cells}.")
        yield number, cell_of(cells, columns)


def _of_parquet(path: Path, caption_column: str | None) -> Iterator[tuple[int, Any]]:
    from keras_t2i.data.parquet import cells_of

    yield from enumerate(cells_of(path, lambda names: caption_columns_of(names, path, caption_column)), start=1)
