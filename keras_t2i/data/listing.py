"""What files a folder has, found in one walk, and which of them a name in a table means."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from keras_t2i.core.printable import escaped
from keras_t2i.data.splits import split_of_folders

__all__ = ["IMAGE_SUFFIXES", "Listing", "named", "read_text", "suffix_of"]

IMAGE_SUFFIXES = frozenset(
    (
        *(".avif", ".bmp", ".gif", ".ico", ".j2k", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm"),
        *(".png", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"),
    )
)
_UNREAD_SUFFIXES = frozenset(
    (
        *(".arw", ".cr2", ".cr3", ".dng", ".exr", ".hdr", ".heic", ".heif", ".hif", ".jxl", ".nef", ".orf", ".psd"),
        *(".raf", ".rw2", ".svg"),
    )
)
_NO_DATA = "__MACOSX"
_NAMED = 3


@dataclass(frozen=True)
class Listing:
    """The files of a folder and its subfolders, without hidden ones, pipes and devices, which could be read for ever.

    Args:
        folder: The folder.
        files: Names relative to it, with forward slashes, in order.
    """

    folder: Path
    files: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Listing:
        """Lists a folder.

        Raises:
            ValueError: if it, or a folder in it, cannot be read.
        """

        def fail(error: OSError) -> None:
            raise ValueError(f"The image folder {str(folder)!r} cannot be read: {error.strerror}.") from error

        found: list[str] = []
        for directory, folders, files in os.walk(folder, onerror=fail):
            folders[:] = [name for name in folders if not _is_hidden(name)]
            below = os.path.relpath(directory, folder).replace(os.sep, "/")
            found += (
                posixpath.normpath(f"{below}/{name}")
                for name in files
                if not _is_hidden(name) and not _is_pipe(os.path.join(directory, name))
            )
        return cls(folder, tuple(sorted(found, key=lambda name: name.split("/"))))

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Files of image formats that are read."""
        return tuple(name for name in self.files if suffix_of(name) in IMAGE_SUFFIXES)

    @cached_property
    def unread(self) -> tuple[str, ...]:
        """Files of image formats that are not read."""
        return tuple(name for name in self.files if suffix_of(name) in _UNREAD_SUFFIXES)

    def locate(self, directory: str, name: str, split: str | None = None) -> str:
        """Which file a name in a table means.

        It may be written with backslashes, or without the folder that the images are in.

        Args:
            directory: Where names start from, relative to the folder.
            name: What is written.
            split: Decides where files of this name are in several folders that are named after splits.

        Returns:
            The file's name relative to the folder; where there is none, that under which it was looked for.

        Raises:
            ValueError: if several files could be meant.
        """
        if not directory and name in self._known:
            return name
        for written in dict.fromkeys((name, name.strip(), name.strip().replace("\\", "/"))):
            path = posixpath.normpath(posixpath.join(directory, written))
            if path in self._known:
                return path
        tail = posixpath.normpath(written)
        if tail.startswith(("/", "..")):
            return posixpath.join(directory, written)
        found = [path for path in self._by_name.get(posixpath.basename(tail), ()) if f"/{path}".endswith(f"/{tail}")]
        if len(found) > 1 and split is not None:
            found = [path for path in found if split_of_folders(path) == split] or found
        if len(found) > 1:
            raise ValueError(f"{tail!r} may be {' or '.join(found[:_NAMED])}; write its folder before it")
        return found[0] if found else path

    def has(self, directory: str, name: str) -> bool:
        """Whether a text is the name of an image here."""
        try:
            return self.locate(directory, name) in self._images
        except ValueError:
            return True  # Of several.

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.files)

    @cached_property
    def _images(self) -> frozenset[str]:
        return frozenset((*self.images, *self.unread))

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in (*self.images, *self.unread):
            found.setdefault(posixpath.basename(path), []).append(path)
        return found


def suffix_of(name: str) -> str:
    """The last suffix of a name in lower case, with its dot."""
    return posixpath.splitext(name)[1].lower()


def named(names: Iterable[str]) -> str:
    """A few names for a message, in which nothing does harm to a terminal."""
    names = [escaped(name) for name in names]
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def read_text(path: Path, num_bytes: int = -1) -> str:
    """Reads a text, or its first bytes, in UTF-8, or in UTF-16 if it says so.

    Bytes that are neither become surrogates, which are found later in the row that has them.
    """
    with path.open("rb") as file:
        content = file.read(num_bytes)
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return content.decode(encoding, "surrogateescape" if encoding == "utf-8-sig" else "replace")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == _NO_DATA


def _is_pipe(path: str) -> bool:
    """Whether a file is there that is none of bytes; links that lead nowhere are told of by their rows."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False
