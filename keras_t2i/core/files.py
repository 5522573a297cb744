"""Files and directories that appear complete or not at all, and checksums of what is in them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows.
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "CHECKSUMS",
    "bytes_below",
    "check_room",
    "put_in_place",
    "replaceable",
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

_PART, _NEW, _OLD = ".part", "new", "old"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux.
_MOST_LISTED = 1 << 20
_MOST_FILES, _MOST_FOLDERS = 1000, 16
_LARGE = 64 << 20


@contextlib.contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields the path of a new file, not made yet, which takes the place of `path` when the block ends without error.

    Until then, and where the block fails, what is at `path` stays as it was, and nothing is left beside it. What a
    process that was killed has left, the next one that writes the same file removes.

    Args:
        path: The file to write; its folder is made where it is missing.

    Raises:
        OSError: if it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _workplace(path) as folder:
        beside = folder / path.name
        yield beside
        _sync(beside)
        beside.replace(path)


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
    target = replaceable(target, marker)
    with _workplace(target) as beside:
        new = beside / _NEW
        new.mkdir()
        yield new
        put_in_place(new, target)


def replaceable(target: str | os.PathLike[str], marker: str) -> Path:
    """The path of a directory that may be written or replaced, see `written_atomically`; makes the one above."""
    target = Path(os.path.abspath(Path(target).expanduser()))
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ValueError(f"{target} is not a directory; choose another place.")
    if target.is_dir() and any(target.iterdir()) and not (target / marker).is_file():
        raise ValueError(f"{target} holds other files, which are not overwritten; choose a new or an empty directory.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def put_in_place(new: Path, target: Path) -> None:
    """Makes a directory survive a power cut, and exchanges it for `target`, if there is one."""
    for folder, _, files in os.walk(new):
        for file in files:
            _sync(Path(folder, file))
        sync_directory(Path(folder))
    if target.exists():
        _exchange(new, target)
    else:
        new.rename(target)
    sync_directory(target.parent)


def check_room(directory: str | os.PathLike[str], size: int) -> None:
    """Makes sure that so many bytes can be written to a directory, for what would fail badly in the middle of them.

    Raises:
        OSError: if they cannot: a full disk, or a quota.
    """
    if hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=directory) as file:
            os.posix_fallocate(file.fileno(), 0, size)
    elif shutil.disk_usage(directory).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(directory))


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


class _NoLocksError(Exception):
    """This system, or this file system, has no locks on directories: what a killed process leaves then stays."""


@contextlib.contextmanager
def _workplace(target: Path) -> Iterator[Path]:
    """Yields an empty directory beside `target` that nobody else works in, and removes it in the end.

    The system holds a lock on it, which ends with its process: what can be locked is nobody's any more.
    """
    try:
        folder, lock = _claimed(target)
    except _NoLocksError:
        folder, lock = Path(tempfile.mkdtemp(_PART, f".{target.name}", target.parent)), None
    try:
        yield folder
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        size, free = bytes_below(folder), shutil.disk_usage(folder).free
        raise OSError(
            error.errno, f"{os.strerror(error.errno)}, after {size:,} bytes; {free:,} are free", str(target)
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _claimed(target: Path) -> tuple[Path, int]:
    """The first of `.NAME.part`, `.NAME.part2`, ... that is free, and its lock; those left behind are emptied."""
    if fcntl is None:
        raise _NoLocksError
    claimed = None
    for number in itertools.count(1):
        folder = target.with_name(f".{target.name}{_PART}{number if number > 1 else ''}")
        if claimed is None:
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
        elif not folder.exists():
            break
        lock = _locked(folder)
        if lock is None:
            continue
        if (folder / _OLD).exists() and not target.exists():
            (folder / _OLD).rename(target)
        for each in os.scandir(folder):
            shutil.rmtree(each) if each.is_dir(follow_symlinks=False) else os.unlink(each)
        if claimed is None:
            claimed = folder, lock
        else:
            folder.rmdir()
            os.close(lock)
    assert claimed is not None
    return claimed


def _locked(folder: Path) -> int | None:
    """A lock on a directory, or `None` where another process has it, or has removed the directory meanwhile."""
    try:
        lock = os.open(folder, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(folder)):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(lock)
        folder.rmdir()
        raise _NoLocksError from error
    os.close(lock)
    return None


def _exchange(new: Path, target: Path) -> None:
    """Puts a directory in the place of another, which is then beside it: at once, where the system can."""
    if sys.platform == "linux":
        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if rename is not None and rename(_HERE, os.fsencode(new), _HERE, os.fsencode(target), _EXCHANGE) == 0:
            return
    # A process that ends between these two leaves nothing there until the next that writes it puts the old one back.
    old = new.with_name(_OLD)
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise


def _sync(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


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
