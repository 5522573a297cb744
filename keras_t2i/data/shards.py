"""Images and what belongs to them in files of which only what is asked for is read.

Shards are plain: the compressed pixels of some thousand images one behind the other, and NumPy's files for where each
begins. Reading is by position (`pread`), for three reasons. TFRecord has no access by number, so that it shuffles
through a window and not globally, and cannot be resumed at a step without reading up to it; ArrayRecord has, but not on
every system, nor on the machines without TensorFlow that read these files too. And memory maps, which need no code,
count as resident once touched: after an epoch that would be all images.
"""

from __future__ import annotations

import itertools
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from keras_t2i.core.gate import file_size

__all__ = [
    "ROW",
    "CaptionIds",
    "DamagedShardError",
    "Pixels",
    "Rows",
    "Texts",
    "compressed",
    "read_at",
    "shard_name",
]

ROW = np.dtype([("offset", "<u8"), ("digest", "<u8"), ("shard", "<u4"), ("length", "<u4"), ("check", "<u4")])
"""Where an image is: its place in which shard, and length, in bytes; CRC-32 of those; a digest of its file."""

_AT_ONCE = 4096


class DamagedShardError(ValueError):
    """What is in a file is not what was written."""


def shard_name(number: int) -> str:
    """File name of the shard of images with this number."""
    return f"images-{number:05d}.bin"


def compressed(pixels: np.ndarray) -> bytes:
    """An image as it is stored: deflated, or as it is where that is no shorter, which its length tells."""
    raw = np.ascontiguousarray(pixels).tobytes()
    packed = zlib.compress(raw, 1)
    return packed if len(packed) < len(raw) else raw


def read_at(path: str | os.PathLike[str], offset: int, length: int) -> bytes:
    """Reads bytes of a file, as many as are there; several threads may, and none of it stays in this process.

    Raises:
        OSError: if the file cannot be read.
    """
    if not hasattr(os, "pread"):  # Windows.
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(length)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        pieces: list[bytes] = []
        while length > 0 and (piece := os.pread(descriptor, min(length, 1 << 30), offset)):
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


class Rows:
    """An array in a `.npy` file, indexed along its first axis by a number, numbers or a slice; `astype` reads it all.

    Args:
        path: The file.
        dtype: What elements become as they are read; by default they stay as they are.

    Raises:
        ValueError: if it is no such file, or declares another length than it has.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path, dtype: Any = None) -> None:
        self.path = path
        with open(path, "rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                raise DamagedShardError(f"{path.name} is of another version of NumPy's format")
            shape, by_columns, self._stored = np.lib.format.read_array_header_1_0(file)
            self._start = file.tell()
        if by_columns or not shape or self._stored.hasobject:
            raise DamagedShardError(f"{path.name} is no array of numbers in rows")
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype = np.dtype(self._stored if dtype is None else dtype)
        self._row_bytes = int(self._stored.itemsize * np.prod(self.shape[1:], dtype=np.int64))
        if file_size(path) != self._start + self.shape[0] * self._row_bytes:
            raise DamagedShardError(f"{path.name} declares another length than it has")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, numbers: Any) -> np.ndarray:
        if isinstance(numbers, slice):
            first, last, step = numbers.indices(len(self))
            return self._read(first, max(0, last - first))[::step] if step > 0 else self[np.arange(first, last, step)]
        wanted = np.asarray(numbers)
        wanted = np.flatnonzero(wanted) if wanted.dtype == bool else wanted.astype(np.int64)
        if wanted.size and not (-len(self) <= wanted.min() and wanted.max() < len(self)):
            raise IndexError(f"{self.path.name} has {len(self)} rows")
        flat = (wanted % max(1, len(self))).reshape(-1)
        order = np.argsort(flat, kind="stable")
        found = np.empty((len(flat), *self.shape[1:]), self.dtype)
        # Neighbours are read together.
        for places in np.split(order, np.flatnonzero(np.diff(flat[order]) > 1) + 1) if len(flat) else ():
            first = int(flat[places[0]])
            found[places] = self._read(first, int(flat[places[-1]]) + 1 - first)[flat[places] - first]
        return found.reshape((*wanted.shape, *self.shape[1:]))[()]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def astype(self, dtype: Any) -> np.ndarray:
        """The whole array, in memory."""
        return self[:].astype(dtype)

    def _read(self, first: int, count: int) -> np.ndarray:
        content = read_at(self.path, self._start + first * self._row_bytes, count * self._row_bytes)
        if len(content) != count * self._row_bytes:
            raise DamagedShardError(f"{self.path} has become shorter since it was opened")
        rows = np.frombuffer(content, self._stored).reshape(count, *self.shape[1:])
        return rows.astype(self.dtype)  # A copy too: what is read from bytes cannot be written to.


class Texts(Sequence[str]):
    """Texts in a file of UTF-8, one behind the other.

    Args:
        path: The file.
        starts: Where each begins, and the last one ends, in bytes, shape `(N + 1,)`.
    """

    def __init__(self, path: Path, starts: Rows) -> None:
        self.path, self.starts = path, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            first, last, step = number.indices(len(self))
            return self._read(first, last)[::step] if step > 0 else [self[each] for each in range(first, last, step)]
        number = range(len(self))[number]
        return self._read(number, number + 1)[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[start : start + _AT_ONCE]

    def _read(self, first: int, last: int) -> list[str]:
        if last <= first:
            return []
        starts = self.starts[first : last + 1].astype(np.int64)
        content = read_at(self.path, int(starts[0]), int(starts[-1] - starts[0]))
        if len(content) != starts[-1] - starts[0] or (np.diff(starts) < 0).any():
            raise DamagedShardError(f"{self.path} does not hold the captions that it should")
        starts -= starts[0]
        return [content[a:b].decode("utf-8", "replace") for a, b in itertools.pairwise(starts.tolist())]


class CaptionIds(Sequence[tuple[int, ...]]):
    """Which captions each image has.

    Args:
        starts: Where those of an image begin in `ids`, and the last ones end, shape `(N + 1,)`.
        ids: Numbers of captions.
    """

    def __init__(self, starts: Rows, ids: Rows) -> None:
        self.starts, self.ids = starts, ids

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        number = range(len(self))[number]  # Beyond the last there is none, by which a loop finds its end.
        first, last = self.starts[number : number + 2].tolist()
        return tuple(self.ids[first:last].tolist())

    def drawn(self, numbers: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """One caption of each image.

        Args:
            numbers: The images, shape `(B,)`.
            draws: A number in [0, 1) each, float32, that says which of its captions.

        Returns:
            Numbers of captions, int64, shape `(B,)`.
        """
        first, last = (self.starts[numbers + more].astype(np.int64) for more in (0, 1))
        count = last - first
        offset = np.minimum((draws * count.astype(np.float32)).astype(np.int64), count - 1)
        return self.ids[first + offset].astype(np.int64)


class Pixels:
    """The images of shards: `pixels[numbers]` reads some, and looks whether they are what was written.

    Args:
        directory: Where the shards are.
        rows: Where each image is, of `ROW`.
        image_size: Height and width in pixels.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, directory: Path, rows: Rows, image_size: int) -> None:
        self.directory, self.rows = directory, rows
        self.shape = (len(rows), image_size, image_size, 3)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, numbers: Any) -> np.ndarray:
        """Images as uint8, shape `(len(numbers), H, W, 3)`.

        Raises:
            ValueError: if one is damaged, or its shard is gone; in one line.
        """
        rows = self.rows[numbers]
        if not rows.shape:
            return self._image(rows)
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for place, row in enumerate(rows):
            found[place] = self._image(row)
        return found

    def _image(self, row: Any) -> np.ndarray:
        name, size = shard_name(int(row["shard"])), int(np.prod(self.shape[1:]))
        try:
            content = read_at(self.directory / name, int(row["offset"]), min(int(row["length"]), size))
        except OSError as error:
            raise DamagedShardError(f"{self.directory / name} cannot be read ({error.strerror}).") from error
        if len(content) == int(row["length"]) and zlib.crc32(content) == row["check"]:
            if len(content) < size:
                content = _inflated(content, size)
            if len(content) == size:
                return np.frombuffer(content, np.uint8).reshape(self.shape[1:])
        raise DamagedShardError(
            f"{self.directory / name} is damaged at byte {int(row['offset'])}: pack the images again, or copy it anew."
        )


def _inflated(content: bytes, size: int) -> bytes:
    """What was compressed, and no more than an image of it; nothing where it is not whole."""
    try:
        return zlib.decompressobj().decompress(content, size + 1)
    except zlib.error:
        return b""
