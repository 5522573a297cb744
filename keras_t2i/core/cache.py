"""Where everything goes that can be made, or fetched, again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_t2i.core.files import write_file

__all__ = ["Cache", "cache_directory"]

_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_directory() -> Path:
    """The user's cache for this package: decoded images, embeddings, features, judges, presets from the network."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("keras_t2i", appauthor=False))


class Cache:
    """A folder of arrays that can be made again, a file each: NumPy's format, then the SHA-256 of that.

    A file appears complete or not at all, so that processes may share the folder; a damaged one is reported, removed
    and made again. Where the folder cannot be written, one warning says so and nothing is kept.

    Args:
        directory: The folder, made where it is missing.
        what: What is kept there, in the plural.
    """

    def __init__(self, directory: str | os.PathLike[str], what: str) -> None:
        self.directory = Path(directory)
        self.what = what
        self._is_writable = True

    def names(self) -> list[str]:
        """The names of all arrays, in order."""
        return sorted(path.stem for path in self.directory.glob("*.array"))

    def read(self, name: str) -> Any:
        """The array of that name, or `None` where there is none, or no whole one."""
        import numpy as np

        path = self._path(name)
        try:
            stored = path.read_bytes()
        except OSError:
            return None  # Never made, not ours to read, or just removed by another process.
        content, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            warnings.warn(f"The cached {self.what} in {path} are damaged; they are made again.", stacklevel=4)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return np.load(io.BytesIO(content), allow_pickle=False)

    def write(self, name: str, array: Any) -> None:
        """Keeps an array under a name that says what it is made of: its pixels' digest, for instance."""
        import numpy as np

        if not self._is_writable:
            return
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        content = buffer.getvalue()
        with self.keeping():
            write_file(self._path(name), content + hashlib.sha256(content).digest())

    @contextlib.contextmanager
    def keeping(self) -> Iterator[None]:
        """Runs a block that writes to the folder; where that fails, says so once, and goes on."""
        try:
            yield
        except OSError as error:
            if self._is_writable:
                reason = error.strerror or error
                warnings.warn(
                    f"The {self.what} are not cached: {self.directory} cannot be written ({reason}).", stacklevel=5
                )
            self._is_writable = False

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.array"
