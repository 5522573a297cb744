"""Lists of the images of each split, in text files of their own."""

from __future__ import annotations

import posixpath

from keras_t2i.data.listing import Listing, read_text, suffix_of
from keras_t2i.data.splits import split_in

__all__ = ["listed_splits"]

_TRIED = 20
_CUB_NAMES, _CUB_SPLITS = "images.txt", "train_test_split.txt"


def listed_splits(listing: Listing) -> dict[str, str]:
    """The split of each image that a list names.

    Read are `train.txt`, `Flickr_8k.testImages.txt` and the like, with the name of an image on each line, and the pair
    `images.txt` and `train_test_split.txt` of CUB-200-2011.
    """
    splits: dict[str, str] = {}
    for name in listing.files:
        split = split_in(name) if suffix_of(name) == ".txt" else None
        if split is not None:
            splits |= dict.fromkeys(_images_in(listing, name), split)
    for name in listing.files:
        numbers = posixpath.join(posixpath.dirname(name), _CUB_NAMES)
        if posixpath.basename(name) == _CUB_SPLITS and numbers in listing.files:
            names, trained = _pairs(listing, numbers), _pairs(listing, name)
            for number, image in names.items():
                found = _image(listing, name, image, None)
                if found and number in trained:
                    splits[found] = "train" if trained[number] == "1" else "test"
    return splits


def _images_in(listing: Listing, name: str) -> list[str]:
    """The images that a text file lists; none where it is no list."""
    lines = [line.strip() for line in read_text(listing.folder / name).splitlines() if line.strip()]
    if not any(_image(listing, name, line, split_in(name)) for line in lines[:_TRIED]):
        return []
    return [found for line in lines if (found := _image(listing, name, line, split_in(name)))]


def _image(listing: Listing, where: str, name: str, split: str | None) -> str | None:
    """The image that a name in a list means, if it means one."""
    directory = posixpath.dirname(where)
    try:
        return listing.locate(directory, name, split) if listing.has(directory, name) else None
    except ValueError:
        return None


def _pairs(listing: Listing, name: str) -> dict[str, str]:
    lines = (line.split(maxsplit=1) for line in read_text(listing.folder / name).splitlines())
    return {pair[0]: pair[1].strip() for pair in lines if len(pair) == 2}
