"""Files and directories that appear complete or not at all, and checksums of what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "CHECKSUMS",
    "bytes_below",
    "sha256",
    "sync_directory",
    "verify",
    "write_array",
    "write_checksums",
    "write_file",
    "write_files",
    "written",
    "written_atomically",
]

CHECKSUMS = "SHA256SUMS"
"""Name of the list of checksums, in the form that `sha256sum --check` reads."""

_MOST_LISTED = 1 << 20
_MOST_FILES, _MOST_FOLDERS = 1000, 16
_LARGE = 64 << 20


@contextlib.contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields the path of a new file beside `path`, which takes its place when the block ends without an error.

    Until then, and where the block fails, what is at `path` stays as it was, and nothing is left beside it.

    Args:
        path: The file to write; its folder is made where it is missing.

    Raises:
        OSError: if it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    os.close(handle)
    beside = Path(name)
    try:
        beside.chmod(0o666 & ~_umask())
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: str | bytes | memoryview) -> None:
    """Writes a whole file, text as UTF-8 with line endings as they are: see `written`.

    Raises:
        OSError: if it cannot be written.
    """
    with written(path) as beside:
        beside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def write_array(
    path: str | os.PathLike[str], dtype: Any, shape: tuple[int, ...], pieces: Iterable[bytes | memoryview]
) -> None:
    """Writes a `.npy` file of an array that need not fit into memory: see `written`.

    Plain writes: a full disk kills a process that writes by a memory map.

    Args:
        path: The file.
        dtype: NumPy's type of the elements.
        shape: Shape of the whole array.
        pieces: Its bytes in C order, some at a time.

    Raises:
        OSError: if it cannot be written.
    """
    import numpy as np

    with written(path) as beside, open(beside, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(piece)


def write_files(directory: str | os.PathLike[str], contents: Mapping[str, str | bytes | memoryview]) -> None:
    """Writes files that belong together: none takes its place before all have been written beside theirs.

    Raises:
        OSError: if one cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for name, content in contents.items():
            beside = stack.enter_context(written(Path(directory) / name))
            beside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def written_atomically(target: str | os.PathLike[str], marker: str) -> Iterator[Path]:
    """Yields an empty directory beside `target` that takes its place when the block ends without an error.

    Args:
        target: The directory to write. What is there is replaced if it holds `marker`, or nothing at all.
        marker: A file that only a directory of the same kind has.

    Raises:
        ValueError: if something else is at `target`: nobody's files are overwritten.
        OSError: if it cannot be written.
    """
    target = Path(os.path.abspath(Path(target).expanduser()))
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ValueError(f"{target} is not a directory; choose another place.")
    if target.is_dir() and any(target.iterdir()) and not (target / marker).is_file():
        raise ValueError(f"{target} holds other files, which are not overwritten; choose a new or an empty directory.")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        new, old = beside / "new", beside / "old"
        new.mkdir()
        yield new
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_checksums(directory: Path) -> None:
    """Writes the checksums of all files below `directory`."""
    (directory / CHECKSUMS).write_text(_listing(directory), encoding="utf-8", newline="\n")


def verify(directory: Path) -> None:
    """Makes sure that a directory holds the files in its list of checksums, unchanged, and nothing else.

    Raises:
        ValueError: if not; the message names the first file that differs.
    """
    try:
        with open(directory / CHECKSUMS, "rb") as file:
            listed = file.read(_MOST_LISTED + 1)
    except OSError as error:
        raise ValueError(f"{directory} has no readable {CHECKSUMS}: it is not a complete preset.") from error
    found = _listing(directory).encode("utf-8", "surrogateescape")
    # The two texts are compared whole, so that a change in the list is noticed as well as one in a file.
    if listed != found:
        different = sorted(set(listed.split(b"\n")) ^ set(found.split(b"\n")), key=lambda line: line[66:])
        name = different[0][66:].decode("utf-8", "replace") if different else CHECKSUMS
        raise ValueError(
            f"{directory} is damaged or was changed: {name!r} does not match {CHECKSUMS}; get a fresh copy."
        )


def bytes_below(directory: Path) -> int:
    """Bytes of all files in a directory and in those below; one that is gone meanwhile counts nothing."""
    total = 0
    for folder, _, files in os.walk(directory):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(folder, file)).st_size
    return total


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(path: Path) -> None:
    """Makes a rename in a directory survive a power cut; not every system can open a directory."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    """What the user keeps new files from being; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _listing(directory: Path) -> str:
    found = []
    for folder, names, files in os.walk(directory):
        for name in names + files:
            path = Path(folder, name)
            relative = path.relative_to(directory)
            # A link or a pipe would be read from outside the directory.
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise ValueError(f"{directory} is not a preset: {relative.as_posix()!r} is not a regular file.")
            found.append(relative)
            if len(found) > _MOST_FILES or len(relative.parts) > _MOST_FOLDERS:
                raise ValueError(f"{directory} is not a preset: it has more files and folders than any.")
    kept = sorted(path.as_posix() for path in found if (directory / path).is_file())
    for name in kept:
        if _is_hollow(directory / name):
            raise ValueError(f"{directory} is not a preset: {name!r} is mostly a hole.")
    return "".join(f"{sha256(directory / name)}  {name}\n" for name in kept if name != CHECKSUMS)


def _is_hollow(path: Path) -> bool:
    """Whether a large file is one that was never written: weights have no such holes, and reading it takes for ever."""
    found = path.stat()
    return found.st_size > _LARGE and getattr(found, "st_blocks", found.st_size) * 512 < found.st_size // 2
