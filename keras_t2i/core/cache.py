"""Where everything goes that can be made, or fetched, again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_directory"]


def cache_directory() -> Path:
    """The user's cache for this package: decoded images, embeddings, features, judges, presets from the network."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras_t2i"
