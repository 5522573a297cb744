"""Splits as folders, tables and lists of names tell them."""

from __future__ import annotations

import hashlib
import math
import posixpath
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["MIN_IMAGES", "SPLIT_NAMES", "drawn_by_content", "split_in", "split_of_file", "split_of_folders"]

MIN_IMAGES = 2
"""Images to train on, at least: a mismatched caption is another image's caption."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What the names of splits that are met stand for; `restval` is what Karpathy's lists train on beside `train`."""

_KIND = "(?:images?|imgs?|img|data|set|split)"
_NAME = f"(?P<split>{'|'.join(sorted(SPLIT_NAMES, key=len, reverse=True))})"
_FOLDER = re.compile(rf"(?:{_KIND}[_-])?{_NAME}(?:[_-]?\d{{4}})?(?:[_-]?{_KIND})?")
_STEM = re.compile(rf"(?<![a-z]){_NAME}(?:{_KIND})?(?![a-z])")


def split_of_folders(name: str) -> str | None:
    """The split that the folders of a file name say it is in, from the first that does: `images/val2017/1.jpg`."""
    for folder in posixpath.dirname(name).split("/"):
        found = _FOLDER.fullmatch(folder.lower())
        if found:
            return SPLIT_NAMES[found["split"]]
    return None


def split_in(name: str) -> str | None:
    """The split that the name of a table or list has in it: `captions_train2017.json`, `Flickr_8k.devImages.txt`."""
    found = {SPLIT_NAMES[match["split"]] for match in _STEM.finditer(posixpath.basename(name).lower())}
    return found.pop() if len(found) == 1 else None


def split_of_file(path: Path, folder: Path) -> str | None:
    """The split that the name of a file of many images says it is of, or else its folders below `folder`."""
    return split_in(path.name) or split_of_folders(path.relative_to(folder).as_posix() if path != folder else "")


def drawn_by_content(numbers: Sequence[int], digests: Iterable[str], share: float, seed: int) -> set[int]:
    """Draws images to hold out by their content, so that copies stay together, whatever their names and order.

    Args:
        numbers: The images.
        digests: What tells the content of each from others, in hexadecimal.
        share: How many of them, rounded up, though not more than leave two to train on.
        seed: Seed of the draw.
    """
    by_content: dict[bytes, list[int]] = {}
    for number, digest in zip(numbers, digests, strict=True):
        by_content.setdefault(hashlib.sha256(f"{seed}/{int(digest, 16)}".encode()).digest(), []).append(number)
    drawn: set[int] = set()
    wanted = min(math.ceil(share * len(numbers)), len(numbers) - MIN_IMAGES)
    for _, same in sorted(by_content.items()):
        if len(drawn) + len(same) <= wanted:
            drawn.update(same)
    return drawn
