"""Which version of a model is served, and which is to take its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["MARKER", "Versions", "find_version", "model_name"]

MARKER = "saved_model.pb"


def find_version(directory: str | os.PathLike[str]) -> tuple[Path, int]:
    """Where the SavedModel of a directory lies, and its version.

    Args:
        directory: A SavedModel, which is version 1, or a folder of numbered ones, of which TF Serving takes the latest.

    Raises:
        ValueError: if it is neither.
    """
    root = Path(directory)
    if (root / MARKER).is_file():
        number = root.resolve().name
        return root, int(number) if number.isdecimal() else 1
    names = [path.name for path in root.iterdir() if path.name.isdecimal()] if root.is_dir() else []
    versions = [int(name) for name in names if (root / name / MARKER).is_file()]
    if not versions:
        raise ValueError(
            f"{str(root)!r} holds no SavedModel: neither {MARKER}, nor a folder with a number for a name that does. "
            "Write one with gan.export, or with: keras-t2i export MODEL -o DIRECTORY"
        )
    return next(root / name for name in names if int(name) == max(versions)), max(versions)


def model_name(directory: str | os.PathLike[str]) -> str:
    """The name under which TF Serving would know the model: that of the folder, or of the one above a version."""
    path = Path(directory).resolve()
    return path.parent.name if path.name.isdecimal() else path.name


class Versions:
    """The numbered versions in a folder, of which the greatest that can be served is to be live.

    As with TF Serving, a version is a folder that is put beside the others and not changed afterwards, and taking the
    live one away rolls back to the one before. A folder that changes from one look to the next is still being copied,
    and one that was handed out already is not again until it changes: if it is not live, it was refused.

    Args:
        directory: The folder; a SavedModel by itself has no other versions.
        load: Loads the version in a folder.
    """

    def __init__(self, directory: str | os.PathLike[str], load: Callable[[Path], Any]) -> None:
        self._root, self._load = Path(directory), load
        self._seen: dict[Path, Any] = {}
        self._tried: dict[Path, Any] = {}

    def find(self, live: int) -> tuple[int, Callable[[], Any]] | None:
        """The version that is to take the live one's place, and what loads it; none if the live one is to stay.

        A folder that is gone, or cannot be read for the moment, has none.
        """
        try:
            folders = {int(path.name): path for path in self._root.iterdir() if path.name.isdecimal() and path.is_dir()}
        except OSError:
            return None
        if (self._root / MARKER).is_file():
            return None
        self._seen = {path: state for path, state in self._seen.items() if path in folders.values()}
        if live in folders:
            self._tried.pop(folders[live], None)  # It was not refused, and may be gone back to.
        for version, path in sorted(folders.items(), reverse=True):
            if version == live:
                return None
            state = _state(path)
            if state == self._tried.get(path):
                continue
            if state != self._seen.get(path):
                self._seen[path] = state
                return None
            self._tried[path] = state
            return version, lambda path=path: self._load(path)
        return None


def _state(folder: Path) -> Any:
    """What changes when a file of the folder does."""
    found: dict[str, tuple[int, int] | None] = {}
    for path in folder.rglob("*"):
        try:
            stat = path.stat()
            found[str(path)] = (stat.st_size, stat.st_mtime_ns)
        except OSError:  # It is being replaced at this moment.
            found[str(path)] = None
    return found
