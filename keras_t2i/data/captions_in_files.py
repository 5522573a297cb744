"""Layouts in which file names say what belongs together: a text beside each image, and folders named after classes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from keras_t2i.data.found import CaptionRow, Found, Wanted
from keras_t2i.data.labels import label_caption
from keras_t2i.data.listing import Listing, named, read_text, suffix_of
from keras_t2i.data.splits import split_of_folders

__all__ = ["class_folders", "every_image", "text_files"]

_TEXT_SUFFIXES = (".txt", ".caption")
_ENOUGH = 0.5
_KINDS = frozenset(
    (
        *("data", "image", "images", "img", "imgs", "jpeg", "jpg", "photos", "pictures", "png"),
        *("caption", "captions", "labels", "text", "text_c10", "texts", "txt"),
    )
)
"""Folders that say what kind of file is in them, and nothing of what images show."""
_BOX = re.compile(r"\d+(?:\s+-?[\d.]+(?:e-?\d+)?){4,}")
_SYNSET = re.compile(r"n\d{8}")
_SYNSET_WORDS = ("loc_synset_mapping.txt", "synset_words.txt", "words.txt")


def every_image(listing: Listing) -> Found:
    """Every image file, without captions.

    Raises:
        ValueError: if there is none.
    """
    if not listing.images and not listing.unread:
        raise ValueError(
            f"No images in {str(listing.folder)!r}: expected files such as .jpg or .png, in it or its subfolders."
        )
    rows = [CaptionRow((named([name]), None), name) for name in listing.images]
    return Found("every image, without captions", rows + _unread(listing.unread))


def text_files(listing: Listing, wanted: Wanted) -> Found | None:
    """A `.txt` or `.caption` file of the same name, beside each image or in a folder of texts; a caption a line."""
    everything = [*listing.images, *listing.unread]
    texts = {suffix: _beside(listing, suffix, everything) for suffix in _TEXT_SUFFIXES}
    where = "beside"
    if not any(texts.values()):
        texts = {suffix: _elsewhere(listing, suffix, everything) for suffix in _TEXT_SUFFIXES}
        where = "for"
    suffix = max(texts, key=lambda suffix: len(texts[suffix]))
    if not texts[suffix] or (where == "for" and len(texts[suffix]) < _ENOUGH * len(everything)):
        return None
    captions = {name: read_text(listing.folder / text).split("\n") for name, text in texts[suffix].items()}
    rows = []
    for name in listing.images:
        if name not in captions:
            missing = posixpath.basename(posixpath.splitext(name)[0]) + suffix
            rows.append(CaptionRow((named([name]), None), problem=f"no caption file {missing} {where} it"))
        elif _are_boxes(captions[name]):
            problem = f"{named([texts[suffix][name]])} has numbers, and no caption"
            rows.append(CaptionRow((named([name]), None), problem=problem))
        else:
            rows.append(CaptionRow((named([texts[suffix][name]]), None), name, captions[name]))
    rows += _unread([name for name in listing.unread if name in captions])
    notes = []
    if all(texts.values()):
        counts = " and ".join(f"{len(found)} {each} files" for each, found in texts.items())
        notes.append(f"Images of {str(listing.folder)!r} have {counts}: {suffix} files are read.")
    several = [lines for each in captions.values() if len(lines := [line.strip() for line in each if line.strip()]) > 1]
    wrapped = sum(map(_is_wrapped, several))
    if several and wrapped > _ENOUGH * len(several):
        notes.append(
            f"{wrapped} {suffix} files of {str(listing.folder)!r} look like one text broken into lines: each line is"
            " taken for a caption of its own; write a caption on one line."
        )
    return Found(f"{suffix} files, a caption a line", rows, tuple(notes))


def class_folders(listing: Listing, wanted: Wanted) -> Found | None:
    """Folders named after what their images show, as ImageNet has them, below folders named after splits or not."""
    labels = {name: _label_of(name) for name in listing.images}
    distinct = dict.fromkeys(label for label in labels.values() if label is not None)
    if len(distinct) < 2:
        return None
    words = _synset_words(listing, list(distinct)) if all(map(_SYNSET.fullmatch, distinct)) else {}
    captions = {label: label_caption(wanted.caption_template, words.get(label, label)) for label in distinct}
    rows = [
        CaptionRow((named([name]), None), problem="no folder that is named after a class")
        if label is None
        else CaptionRow((named([name]), None), name, captions[label])
        for name, label in labels.items()
    ]
    examples = ", ".join(map(repr, list(captions.values())[:3]))
    note = f"No captions in {str(listing.folder)!r}: names of {len(distinct)} folders are labels ({examples}, ...)."
    return Found(f"names of {len(distinct)} folders as labels", rows + _unread(listing.unread), (note,))


def _beside(listing: Listing, suffix: str, images: Iterable[str]) -> dict[str, str]:
    """The text file beside each image that has one."""
    known = {posixpath.splitext(name)[0]: name for name in listing.files if suffix_of(name) == suffix}
    return {name: known[stem] for name in images if (stem := posixpath.splitext(name)[0]) in known}


def _elsewhere(listing: Listing, suffix: str, images: Iterable[str]) -> dict[str, str]:
    """The only text file of each image's name; of several, the one in a folder that corresponds."""
    by_name: dict[str, list[str]] = {}
    for text in listing.files:
        if suffix_of(text) == suffix:
            by_name.setdefault(_parts(text)[-1], []).append(text)
    found = {}
    for name in images:
        candidates = by_name.get(_parts(name)[-1], [])
        if len(candidates) > 1:
            candidates = [text for text in candidates if _parts(text) == _parts(name)]
        if len(candidates) == 1:
            found[name] = candidates[0]
    return found


def _parts(name: str) -> list[str]:
    """Folders and name without suffix, without those folders that say what kind of file is in them."""
    *folders, own = posixpath.splitext(name)[0].split("/")
    return [*(folder for folder in folders if folder.lower() not in _KINDS), own]


def _are_boxes(lines: Iterable[str]) -> bool:
    """Whether a text is a detector's labels: a class and four numbers a line."""
    lines = [line for line in lines if line.strip()]
    return bool(lines) and all(_BOX.fullmatch(line.strip()) for line in lines)


def _is_wrapped(lines: list[str]) -> bool:
    """Whether lines are as long as each other, but for the last, and none ends as a sentence does."""
    *full, _ = lines
    lengths = [len(line) for line in full]
    return min(lengths) >= 50 and max(lengths) - min(lengths) <= 20 and not any(line[-1] in ".!?" for line in full)


def _unread(names: Iterable[str]) -> list[CaptionRow]:
    return [
        CaptionRow((named([name]), None), problem=f"{suffix_of(name)} is not read here; convert it to .jpg or .png")
        for name in names
    ]


def _label_of(name: str) -> str | None:
    """The last folder that is named after no split."""
    folders = [folder for folder in name.split("/")[:-1] if folder.lower() not in _KINDS]
    split = next((place for place, folder in enumerate(folders) if split_of_folders(f"{folder}/")), None)
    if split is not None:  # Below it a folder may have such a name: a train is a class of COCO and of CIFAR-100.
        folders = folders[split + 1 :] or folders[:split]
    return folders[-1] if folders else None


def _synset_words(listing: Listing, labels: list[str]) -> dict[str, str]:
    table = next((name for name in listing.files if posixpath.basename(name).lower() in _SYNSET_WORDS), None)
    lines = read_text(listing.folder / table).splitlines() if table else ()
    words = {line[:9]: line[9:].split(",")[0].strip() for line in lines if _SYNSET.match(line)}
    missing = [label for label in labels if not words.get(label)]
    if missing:
        raise ValueError(
            f"No captions in {str(listing.folder)!r}: its folders have the names of WordNet ({named(missing)}); put"
            " LOC_synset_mapping.txt or words.txt beside them, or rename them."
        )
    return words
