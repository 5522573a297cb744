"""Layouts in which tables name the images: metadata tables, tables of any name, JSON with annotations."""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from keras_t2i.data.found import CaptionRow, Found, Wanted
from keras_t2i.data.listing import Listing, named, read_text, suffix_of
from keras_t2i.data.splits import split_in, split_of_folders
from keras_t2i.data.tables import (
    CAPTION_COLUMNS,
    FILE_COLUMNS,
    Table,
    caption_columns_in,
    cell_of,
    column_in,
    read_table,
    starts_table,
)

__all__ = ["any_tables", "json_annotations", "metadata_tables"]

_METADATA = ("metadata.jsonl", "metadata.csv")
_TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".token")
_TEXT_TABLE = re.compile(r"caption|token|result|annotation|description", re.IGNORECASE)
_JSON_TABLE = re.compile(r"caption|karpathy|dataset|annotation|metadata", re.IGNORECASE)
_OTHER_VERSION = "lemma"  # Flickr8k has its captions once more, in words without endings.
_MAX_DEPTH = 4


def metadata_tables(listing: Listing, wanted: Wanted) -> Found | None:
    """`metadata.jsonl` or `metadata.csv`, as Hugging Face's `imagefolder` has it, in the uppermost folders with one."""
    found = [name for name in listing.files if posixpath.basename(name) in _METADATA]
    if not found:
        return None
    depth = min(name.count("/") for name in found)
    names = [name for name in found if name.count("/") == depth]
    folders = Counter(posixpath.dirname(name) for name in names)
    twice = next((folder for folder, count in folders.items() if count > 1), None)
    if twice is not None:
        where = str(listing.folder / twice)
        raise ValueError(f"{where!r} has both metadata.jsonl and metadata.csv; keep one of them.")
    hidden = [name for name in found if name not in names]
    notes = (
        [f"{named(hidden)} in {str(listing.folder)!r}: not read, because {named(names)} is above."] if hidden else []
    )
    tables = {name: read_table(listing.folder / name, _image_test(listing, name)) for name in names}
    return _found(listing, tables, wanted, notes)


def any_tables(listing: Listing, wanted: Wanted) -> Found | None:
    """A table of any name with a column of images and one of captions, such as Kaggle's `captions.txt`."""
    beside = {posixpath.splitext(name)[0] for name in listing.images}
    tables = {}
    for name in listing.files:
        suffix, stem = suffix_of(name), posixpath.basename(name)
        is_text = suffix == ".txt" and _TEXT_TABLE.search(stem) is not None
        if not (suffix in _TABLE_SUFFIXES or is_text) or name.count("/") >= _MAX_DEPTH or _OTHER_VERSION in stem:
            continue
        is_image = _image_test(listing, name)
        if posixpath.splitext(name)[0] not in beside and starts_table(
            listing.folder / name, is_image, wanted.caption_column
        ):
            tables[name] = read_table(listing.folder / name, is_image)
    tables = {name: table for name, table in tables.items() if table.rows}
    if not tables:
        return None
    here = {name: table for name, table in tables.items() if _names_images(table, _image_test(listing, name))}
    tables = here or tables
    kinds = Counter((posixpath.dirname(name), split_in(name)) for name in tables)
    if max(kinds.values()) > 1:
        raise ValueError(
            f"{named(tables)} in {str(listing.folder)!r} each have captions: keep one of them, or name it metadata.csv."
        )
    return _found(listing, tables, wanted, [])


def json_annotations(listing: Listing, wanted: Wanted) -> Found | None:
    """JSON with images and their captions: COCO's, Karpathy's, or a list of objects."""
    rows: list[CaptionRow] = []
    names: list[str] = []
    absent: list[str] = []
    beside = {posixpath.splitext(name)[0] for name in listing.images}
    for name in listing.files:
        stem = posixpath.splitext(name)[0]
        if suffix_of(name) != ".json" or stem in beside or not _JSON_TABLE.search(posixpath.basename(stem)):
            continue
        try:
            content = json.loads(read_text(listing.folder / name))
        except (ValueError, RecursionError) as error:
            if "caption" not in name:
                continue
            raise ValueError(f"{named([name])} in {str(listing.folder)!r} is not valid JSON ({error}).") from error
        split = split_in(name) or split_of_folders(name)
        found = [
            CaptionRow((name, None), file_name, captions, own, table_split=split)
            for file_name, captions, own in _annotated(content)
        ]
        is_here = any(listing.has("", str(row.file_name)) for row in found)
        if is_here:
            rows += found
        if found:
            (names if is_here else absent).append(name)
    if not names and absent:
        raise ValueError(
            f"None of the images that {named(absent)} names is in {str(listing.folder)!r}; put them there."
        )
    if not names:
        return None
    notes = (f"{named(absent)} in {str(listing.folder)!r}: not read, because none of its images is there.",)
    return Found(f"JSON with captions: {named(names)}", rows, notes if absent else ())


def _annotated(content: Any) -> Iterator[tuple[Any, list[Any], Any]]:
    """Yields image file, captions and split of each image that has captions."""
    if isinstance(content, list):
        content = {"images": content}
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        return
    captions: dict[Any, list[Any]] = {}
    entries = content.get("annotations")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and "caption" in entry and isinstance(entry.get("image_id"), int | str):
            captions.setdefault(entry["image_id"], []).append(entry["caption"])
    for image in content["images"]:
        if not isinstance(image, dict) or (column := column_in(image, FILE_COLUMNS)) is None:
            continue
        own = column_in(image)
        if isinstance(image.get("sentences"), list):
            found = [each.get("raw") for each in image["sentences"] if isinstance(each, dict)]
        elif own is not None:
            found = image[own] if isinstance(image[own], list) else [image[own]]
        else:
            key = image.get("id")
            found = captions.get(key, []) if isinstance(key, int | str) else []
        if found:
            yield image[column], found, image.get("split")


def _found(listing: Listing, tables: dict[str, Table], wanted: Wanted, notes: Sequence[str]) -> Found:
    names, folder = named(tables), str(listing.folder)
    if not any(table.rows for table in tables.values()):
        raise ValueError(f"{names} in {folder!r} has no rows; write one row for each image.")
    columns = tuple(dict.fromkeys(column for table in tables.values() for column in table.columns))
    file_column = column_in(columns, FILE_COLUMNS) or ""
    of_captions = caption_columns_in(columns, wanted.caption_column)
    for found, missing, fix in (
        (file_column, FILE_COLUMNS[0], "name the image files in it"),
        (of_captions, wanted.caption_column or " or ".join(CAPTION_COLUMNS), "pass caption_column"),
    ):
        if columns and not found:
            has = ", ".join(map(repr, columns[:20]))
            raise ValueError(f"No column {missing} in {names} of {folder!r}; it has {has}: {fix}.")
    others = [name for name in columns if wanted.caption_column is None and name.lower() in CAPTION_COLUMNS[:3]]
    if len(others) > 1:
        notes = [*notes, f"{names} in {folder!r} has the columns {' and '.join(others)}: {of_captions[0]} is used."]
    notes = [
        *notes,
        *(f"{named([name])} in {folder!r}: {note}" for name, table in tables.items() for note in table.notes),
    ]
    rows = []
    for name, table in tables.items():
        own = None if posixpath.basename(name) in _METADATA else split_in(name)
        directory, split = posixpath.dirname(name), own or split_of_folders(name)
        for line, values in table.rows:
            if isinstance(values, str):
                rows.append(CaptionRow((name, line), problem=values))
            else:
                cells = (values.get(file_column), cell_of(values, of_captions), values.get("split") or None)
                rows.append(CaptionRow((name, line), *cells, directory, split))
    return Found(
        f"{names}, captions in the column{'s' * (len(of_captions) > 1)} {', '.join(map(repr, of_captions))}",
        rows,
        tuple(notes),
    )


def _image_test(listing: Listing, table: str) -> Any:
    directory = posixpath.dirname(table)
    return lambda name: listing.has(directory, name)


def _names_images(table: Table, is_image: Any) -> bool:
    column = column_in(table.columns, FILE_COLUMNS) or ""
    return any(is_image(str(values.get(column))) for _, values in table.rows if isinstance(values, dict))
