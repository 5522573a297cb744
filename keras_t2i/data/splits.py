"""Splits as folders, tables and lists of names tell them."""

from __future__ import annotations

import posixpath
import re

__all__ = ["SPLIT_NAMES", "split_in", "split_of_folders"]

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
