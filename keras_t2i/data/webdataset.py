"""Captioned images in `.tar` files, as webdataset has them: files of one name belong together.

Tars come from strangers: headers are read one by one with bounds, nothing is extracted, names lead nowhere, links and
devices are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from keras_t2i.data.listing import IMAGE_SUFFIXES, suffix_of
from keras_t2i.data.rows import SkippedRow, UnusableRowError, usable_captions
from keras_t2i.data.shards import read_at
from keras_t2i.data.sources import Item, Source, stamp
from keras_t2i.data.splits import split_of_file
from keras_t2i.data.tables import CAPTION_COLUMNS

__all__ = ["tar_source", "write_tar"]

_BLOCK = 512
_MOST_NAME, _MOST_TEXT, _MOST_IMAGE = 1 << 16, 1 << 20, 1 << 28
_FILE, _LONG_NAME, _EXTENDED, _COMPRESSED = b"0\0", b"L", b"x", (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")
_TEXTS = (".txt", ".caption")


def tar_source(
    path: Path,
    files: Sequence[Path],
    captions: bool = True,
    caption_column: str | None = None,
    caption_template: str = "",
) -> Source:
    """The images of tar files, in order, with the captions of their `.txt`, `.caption` or `.json` of the same name.

    A text has a caption a line; of JSON the value of the first usual name is read (see `from_folder`), one text or a
    list. The name of a file, or of a folder that it is in, may say its split. Images without a caption are left out and
    named, as are those of more than 256 MiB.

    Args:
        path: What was asked for: a file, or the folder of all.
        files: The files.
        captions: Without, every image has the empty caption.
        caption_column: Name in the JSON that holds the captions; by default the first of the usual ones.
        caption_template: Of no use here: there are no labels.

    Raises:
        ValueError: if a file is no tar, or compressed, or cut; in one line that names it.
        OSError: if it cannot be read.
    """
    del caption_template
    items: list[Item] = []
    skipped: list[SkippedRow] = []
    for file in files:
        split = split_of_file(file, path)
        for key, members in _samples(file):
            image = next((name for name in members if suffix_of(name) in IMAGE_SUFFIXES), None)
            if image is None:
                continue  # Of what is told of a whole tar, or of an image in another format, nothing can be drawn.
            row = (f"{file.name}/{image}", None)
            try:
                texts = _captions(file, members, caption_column) if captions else [""]
                if members[image][1] > _MOST_IMAGE:
                    raise UnusableRowError(f"has more than {_MOST_IMAGE >> 20} MiB")
            except UnusableRowError as error:
                skipped.append(SkippedRow(*row, str(error)))
                continue
            items.append(Item(f"{file.name}/{key}", ("part", str(file), *members[image]), tuple(texts), split, (row,)))
    if not items and not skipped:
        raise ValueError(f"No images in {str(path)!r}: expected tar files with .jpg or .png files, and .txt or .json.")
    stamps = "\n".join(map(stamp, files))
    return Source(str(path), path.name, items, tuple(skipped), len(items) + len(skipped), (), stamps)


def _samples(path: Path) -> Iterator[tuple[str, dict[str, tuple[int, int]]]]:
    """Files of a tar that follow each other and have one name, up to its first dot: their offsets and lengths."""
    key, found = "", dict[str, tuple[int, int]]()
    for name, offset, size in _members(path):
        folder, _, base = name.rpartition("/")
        if base.startswith("."):
            continue
        its_key = f"{folder}/{base.partition('.')[0]}".lstrip("/")
        if its_key != key and found:
            yield key, found
            found = {}
        key = its_key
        found[name] = (offset, size)
    if found:
        yield key, found


def _captions(path: Path, members: dict[str, tuple[int, int]], column: str | None) -> list[str]:
    for name, place in members.items():
        suffix = suffix_of(name)
        if suffix not in (*_TEXTS, ".json") or (column is not None and suffix != ".json"):
            continue
        if place[1] > _MOST_TEXT:
            raise UnusableRowError(f"{name} has more than {_MOST_TEXT >> 10} KiB")
        text = read_at(path, *place).decode("utf-8-sig", "surrogateescape")
        if suffix != ".json":
            return usable_captions(text.split("\n"))
        value = _value(text, (column,) if column is not None else CAPTION_COLUMNS, name)
        if value is not None:
            return usable_captions(value)
    raise UnusableRowError("no caption: expected a .txt, or a .json with captions, of the same name")


def _value(text: str, columns: Sequence[str], name: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableRowError(f"{name} cannot be read as JSON") from error
    return next((found[each] for each in columns if each in found), None) if isinstance(found, dict) else None


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and length of each plain file in a tar."""
    with open(path, "rb") as file:
        start = file.read(8)
        if start.startswith(_COMPRESSED):
            raise ValueError(f"{path} is compressed: unpack it to a plain .tar, whose images are read where they are.")
        total, offset, long_name = file.seek(0, 2), 0, ""
        while offset + _BLOCK <= total:
            file.seek(offset)
            header = file.read(_BLOCK)
            if not header.strip(b"\0"):
                return
            size, kind = _size(header, path, offset), header[156:157]
            content, offset = offset + _BLOCK, offset + _BLOCK + -(-size // _BLOCK) * _BLOCK
            if content + size > total:
                raise ValueError(f"{path} ends within a file: it was cut, get it again.")
            if kind in (_LONG_NAME, _EXTENDED):
                long_name = _long_name(file, content, size, kind) or long_name
                continue
            if kind in _FILE:  # Also the empty one of old tars.
                yield long_name or _name(header), content, size
            long_name = ""
    if offset > total:
        raise ValueError(f"{path} ends within a file: it was cut, get it again.")


def _size(header: bytes, path: Path, offset: int) -> int:
    """The length of a file, where the header's own sum is right."""
    try:
        told = int(header[148:156].strip(b"\0 ") or b"0", 8)
        if told != sum(header) - sum(header[148:156]) + 8 * 32:
            raise ValueError
        if header[124] & 0x80:
            return int.from_bytes(header[125:136], "big")
        return int(header[124:136].strip(b"\0 ") or b"0", 8)
    except ValueError as error:
        raise ValueError(f"{path} is no tar file, or damaged at byte {offset}.") from error


def _name(header: bytes) -> str:
    parts = [header[0:100]]
    if header[257:262] == b"ustar" and header[262:263] == b"\0":
        parts.insert(0, header[345:500])
    names = (part.partition(b"\0")[0].decode("utf-8", "replace") for part in parts)
    return "/".join(name for name in names if name)


def _long_name(file: BinaryIO, offset: int, size: int, kind: bytes) -> str:
    """The name that stands before a header with no room for it; of GNU's tar, or as POSIX has it."""
    if size > _MOST_NAME:
        return ""
    file.seek(offset)
    content = file.read(size)
    if kind == _EXTENDED:
        records = (record.partition(b" ")[2] for record in content.split(b"\n"))
        content = next((record[5:] for record in records if record.startswith(b"path=")), b"")
    return content.partition(b"\0")[0].decode("utf-8", "replace")


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Writes a tar of files, names (ASCII, at most 100 characters) and contents, whose bytes depend on these alone."""
    with open(path, "wb") as file:
        for name, content in members:
            start = name.encode("ascii").ljust(100, b"\0") + b"0000644\0" + 2 * b"0000000\0"
            start += b"%011o\0" % len(content) + b"00000000000\0"
            header = (start + b" " * 8 + b"0" + bytes(100) + b"ustar\x0000").ljust(_BLOCK, b"\0")
            header = header[:148] + b"%06o\0 " % sum(header) + header[156:]
            file.write(header + content + bytes(-len(content) % _BLOCK))
        file.write(bytes(2 * _BLOCK))
