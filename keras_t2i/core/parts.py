"""Directories that take hours to write: what a process that was killed has left of them, the next one goes on with."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from keras_t2i.core.files import put_in_place, replaceable, write_file

__all__ = ["UNFINISHED", "written_in_parts"]

UNFINISHED = ".unfinished"
"""What the name of such a directory ends with until it is whole."""
_KEY = "key.txt"


@contextlib.contextmanager
def written_in_parts(target: str | os.PathLike[str], marker: str, key: str) -> Iterator[Path]:
    """Yields the directory `TARGET.unfinished`, which takes the place of `target` when the block ends without an error.

    It is empty, or holds what an earlier process with the same key has written into it; which of its files are whole is
    for the caller to see to, by `keras_t2i.core.files.written`. Where the block fails they stay for the next.

    Args:
        target: The directory to write. What is there is replaced if it holds `marker`, or nothing at all.
        marker: A file that only a directory of the same kind has.
        key: What is to be written: what was begun with another one is removed.

    Raises:
        ValueError: if something else is at `target`, or another process is writing it.
        OSError: if it cannot be written.
    """
    target = replaceable(target, marker)
    folder = target.with_name(target.name + UNFINISHED)
    folder.mkdir(exist_ok=True)
    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"Another process is writing {target}; wait for it, or choose another place.") from error
    try:
        _cleared(folder, key)
        yield folder
        put_in_place(folder, target)
        (target / _KEY).unlink()
        shutil.rmtree(folder, ignore_errors=True)  # What was there before.
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _cleared(folder: Path, key: str) -> None:
    """Removes what was begun with another key."""
    try:
        if (folder / _KEY).read_text(encoding="utf-8") == key:
            return
    except (OSError, UnicodeDecodeError):
        pass
    for each in os.scandir(folder):
        shutil.rmtree(each) if each.is_dir(follow_symlinks=False) else os.unlink(each)
    write_file(folder / _KEY, key)
