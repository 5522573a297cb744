"""Files that hold many captioned images, and what reads them: one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from keras_t2i.core.tables import Table
from keras_t2i.data.listing import Listing
from keras_t2i.data.sources import Source

__all__ = ["ARCHIVES", "archives_in"]

ARCHIVES: Table[Callable[..., Source]] = Table(
    "archive of images",
    {".tar": "keras_t2i.data.webdataset:tar_source", ".parquet": "keras_t2i.data.parquet:parquet_source"},
)
"""What reads files that hold many images, by how their names end."""


def archives_in(path: Path, suffix: str) -> list[Path]:
    """The files with this ending, where a path is one or a folder that has some and no image files; in order."""
    if path.is_file():
        return [path] if path.name.lower().endswith(suffix) else []
    if not path.is_dir():
        return []
    listing = Listing.of(path)
    return [] if listing.images else [path / name for name in listing.files if name.lower().endswith(suffix)]
