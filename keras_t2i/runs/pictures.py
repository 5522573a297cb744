"""Folders of pictures as sets to measure: all images below them, but for grids and what an earlier call left there."""

from __future__ import annotations

import os
import posixpath
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from keras_t2i.core.provenance import recorded
from keras_t2i.data.folder import read_folder
from keras_t2i.metrics.measure import some

__all__ = ["pictures"]

_MIN_IMAGES = 2
_GRID = "grid.png"
_EARLIER = "left by an earlier call of generate"


def pictures(folder: Path, image_size: int, max_images: int, seed: int = 0) -> tuple[np.ndarray, dict[str, Any]]:
    """Reads the images of a folder and its subfolders, whatever their names.

    Args:
        folder: The folder.
        image_size: Height and width in pixels.
        max_images: Of more images, so many are drawn.
        seed: Seed of that.

    Returns:
        Pixels, uint8, shape `(N, image_size, image_size, 3)`, and what they are: `folder`, `images` (how many), how
        many are in each subfolder (`by_folder`), and which files are left out, and why (`left_out`).

    Raises:
        ValueError: if there are fewer than two images that can be used.
    """
    contents = read_folder(folder, image_size, captions=False)
    left_out = _no_single_images(folder, [file.name for file in contents.files])
    kept = np.asarray([n for n, file in enumerate(contents.files) if file.name not in left_out], np.int64)
    left_out |= {row.file: row.reason for row in contents.skipped}
    others = {name: reason for name, reason in left_out.items() if not reason.startswith("a grid")}
    if others:
        name, reason = next(iter(others.items()))
        warnings.warn(f"{len(others):,} files of {str(folder)!r} are left out ({name}: {reason}).", stacklevel=2)
    if len(kept) < _MIN_IMAGES:
        raise ValueError(f"At least {_MIN_IMAGES} images are needed; {str(folder)!r} has {len(kept)} to measure.")
    kept = np.sort(kept[some(len(kept), max_images, seed)])
    folders = Counter(posixpath.dirname(contents.files[number].name) or "." for number in kept)
    about = {"folder": str(folder), "images": len(kept), "by_folder": dict(sorted(folders.items()))}
    return contents.split(kept).pixels(np.arange(len(kept))), {**about, "left_out": left_out}


def _no_single_images(folder: Path, names: list[str]) -> dict[str, str]:
    """Pictures that are no single images of the last call that drew into their folder, and what they are."""
    facts = {name: found for name in names if (found := recorded(os.path.join(folder, name)))}
    left_out = {}
    for name, found in facts.items():
        drawn = found.get("grid")
        if drawn is None and posixpath.basename(name) != _GRID:
            continue
        left_out[name] = "a grid of several images"
        if drawn:
            directory = posixpath.dirname(name)
            current = {posixpath.join(directory, other) for other in drawn}
            beside = [other for other in facts if posixpath.dirname(other) == directory]
            left_out |= {other: _EARLIER for other in beside if other not in current and other != name}
    return left_out
