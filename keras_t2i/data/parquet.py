"""Captioned images in Parquet files, as Hugging Face's hubs keep them: a column of images, and one of captions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_t2i.data.rows import SkippedRow, UnusableRowError, usable_captions
from keras_t2i.data.sources import Item, Source, stamp
from keras_t2i.data.splits import split_of_file
from keras_t2i.data.tables import caption_columns_of, cell_of

__all__ = ["cells_of", "images_of", "parquet_source"]

_IMAGE_COLUMNS = ("image", "img", "jpg", "png", "webp", "image_bytes", "bytes")
_MOST_BYTES = 4 << 30


def parquet_source(
    path: Path,
    files: Sequence[Path],
    captions: bool = True,
    caption_column: str | None = None,
    caption_template: str = "",
) -> Source:
    """The images of Parquet files, in order.

    A column holds the files of the images, as bytes or as `{"bytes", "path"}`; another the captions, one text or a list
    each. The name of a file, or of a folder that it is in, may say its split. Only captions are read now.

    Args:
        path: What was asked for: a file, or the folder of all.
        files: The files.
        captions: Without, every image has the empty caption.
        caption_column: Column of captions; by default the first of the usual names.
        caption_template: Of no use here: labels are not read.

    Raises:
        ValueError: if a file is damaged, or lacks a column; in one line that names it.
        ImportError: if PyArrow is not installed.
        OSError: if it cannot be read.
    """
    del caption_template
    items: list[Item] = []
    skipped: list[SkippedRow] = []
    for file in files:
        split = split_of_file(file, path)
        with _opened(file) as table:
            image = _image_column(table.schema_arrow, file)
            texts_in = caption_columns_of(table.schema_arrow.names, file, caption_column) if captions else ()
            for number, (group, row, value) in enumerate(_values(table, file, texts_in)):
                source = (file.name, number + 1)
                try:
                    texts = usable_captions(value) if captions else [""]
                except UnusableRowError as error:
                    skipped.append(SkippedRow(*source, str(error)))
                    continue
                place = ("parquet", str(file), image, group, row)
                items.append(Item(f"{file.name}[{number}]", place, tuple(texts), split, (source,)))
    stamps = "\n".join(map(stamp, files))
    return Source(str(path), path.name, items, tuple(skipped), len(items) + len(skipped), (), stamps)


def images_of(path: str, column: str, group: int) -> list[bytes | None]:
    """The image files of a row group, `None` where a row has none.

    Raises:
        OSError: if they cannot be read.
    """
    with _opened(Path(path)) as table:
        return [_bytes(value) for value in _column(table, Path(path), column, group)]


def cells_of(path: Path, choose: Callable[[Sequence[str]], Sequence[str]]) -> Iterator[Any]:
    """What rows have in some columns: see `keras_t2i.data.tables.cell_of`.

    Args:
        path: The file.
        choose: What says, of all names, which columns.

    Raises:
        ValueError: if the file is damaged.
        ImportError: if PyArrow is not installed.
    """
    with _opened(path) as table:
        yield from (value for _, _, value in _values(table, path, choose(table.schema_arrow.names)))


def _opened(path: Path) -> Any:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError(
            'Parquet is read by PyArrow, which is not installed; install it with: pip install "keras-t2i[parquet]"'
        ) from error
    try:
        return ParquetFile(path)
    except ArrowException as error:
        raise ValueError(f"{path} is no Parquet file, or damaged ({_line(error)}).") from error


def _image_column(schema: Any, path: Path) -> str:
    import pyarrow as pa

    def holds_files(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    found = [field.name for field in schema if holds_files(field.type)]
    if not found:
        raise ValueError(f"{path} has no column of images, only {', '.join(schema.names[:20])}.")
    return next((name for name in _IMAGE_COLUMNS if name in found), found[0])


def _values(table: Any, path: Path, columns: Sequence[str]) -> Iterator[tuple[int, int, Any]]:
    """Row group, row in it, and what each row has in these columns; nothing where there are none."""
    for group in range(table.num_row_groups):
        count = table.metadata.row_group(group).num_rows
        found = {column: _column(table, path, column, group) for column in columns}
        for row in range(count):
            yield group, row, cell_of({name: cells[row] for name, cells in found.items()}, columns) if columns else None


def _column(table: Any, path: Path, column: str, group: int) -> list[Any]:
    from pyarrow import ArrowException

    if table.metadata.row_group(group).total_byte_size > _MOST_BYTES:
        raise ValueError(f"{path} has row groups of more than {_MOST_BYTES >> 30} GiB: write it with smaller ones.")
    try:
        return table.read_row_group(group, columns=[column]).column(0).to_pylist()
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged in row group {group} ({_line(error)}).") from error


def _bytes(value: Any) -> bytes | None:
    content = value.get("bytes") if isinstance(value, dict) else value
    return content if isinstance(content, bytes) else None


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
