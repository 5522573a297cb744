"""Captioned images from a folder of one's own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_t2i.data.decoded import decoded_images, open_path, pixel_loader
from keras_t2i.data.found import Wanted
from keras_t2i.data.images import Reading
from keras_t2i.data.inventory import Inventory
from keras_t2i.data.labels import check_caption_template
from keras_t2i.data.looks import notices
from keras_t2i.data.pipeline import CaptionedImages
from keras_t2i.data.rows import CaptionedFile, SkippedRow, check_skipped, read_rows, skipped_summary, with_damaged
from keras_t2i.data.split import Split
from keras_t2i.data.splits import MIN_IMAGES, drawn_by_content

__all__ = ["FolderContents", "from_folder", "read_folder"]


def from_folder(
    folder: str | os.PathLike[str],
    image_size: int = 64,
    batch_size: int = 32,
    *,
    captions: bool = True,
    caption_column: str | None = None,
    caption_template: str = "a photo of a {label}",
    fit: str = "crop",
    intensity_range: tuple[float, float] | None = None,
    validation_share: float = 0.1,
    horizontal_flip: bool = False,
    seed: int = 0,
    max_skipped_share: float = 0.05,
    cache_dir: str | os.PathLike[str] | None = None,
    inventory: Inventory | None = None,
) -> CaptionedImages:
    """Reads captioned images from a folder.

    **Layouts**, of which the first that fits is read (`keras_t2i.data.layouts`): a `metadata.jsonl` or `metadata.csv`
    as Hugging Face's `imagefolder` has it, in the folder or in subfolders, with a column `file_name` and a column of
    captions (one text, or a list of texts of which one is drawn per image per epoch; an image may also have several
    rows); JSON with images and captions, as COCO and Karpathy's splits have it; a table of any name with a column of
    images and one of captions; a `.txt` or `.caption` file for each image, one caption a line; folders named after
    classes, through `caption_template`. Archives are refused.

    **Splits.** A `split` column decides; else the name of the table, as in `captions_val2017.json`; else a list such as
    `test.txt`; else a folder named after a split that the image is in, wherever the table lies. `train` is trained on;
    `validation` (also `valid`, `val`, `dev`) is held out; `test` is left out of both, but takes the place of a missing
    `validation`. Images of any other split are left out, with a warning; those without one are training images. Where
    nothing is held out so, a seeded share of the training images is; files with the same content always fall on the
    same side.

    **Images** of any common format are turned upright, made square, resized with antialiasing and laid on white where
    transparent (see `decode_image`). They are decoded once, to a cache file read by memory mapping, so that a large set
    does not need as much memory. A warning says of how many the crop leaves out more than a third, and which values
    become black and white where images have more than 8 bits a channel.

    **Rows that cannot be used** (missing or damaged image, more than 100 megapixels, more than 192 MiB to decode, a
    path out of the folder, a caption that is empty, not UTF-8, with a NUL or of more than 2,000 characters, a repeated
    row) are left out, counted in a warning and named in `CaptionedImages.skipped`. A row is used whole or not at all;
    empty texts in a list of captions do no harm. Control characters in captions become spaces. Images that no row names
    are counted in a warning too.

    Args:
        folder: The folder.
        image_size: Height and width in pixels, 8 to 1024.
        batch_size: Images in a batch.
        captions: Without, for an unconditional model, every image file of the folder and its subfolders is used, with
            the empty caption; tables and text files are not read, and subfolders named after splits still decide.
        caption_column: Column of captions; by default the first present of `text`, `caption`, `captions`, `comment` and
            `raw`.
        caption_template: Caption of an image in a folder named after a class; `{label}` stands for the folder's name.
        fit: What becomes of images that are not square: `"crop"` to the central square, `"pad"` with white, or
            `"stretch"`.
        intensity_range: Of images with more than 8 bits a channel, the values that become black and white; by default
            what suits all of them.
        validation_share: Share of images held out where the folder holds none out itself, in [0, 1).
        horizontal_flip: Whether to mirror half of the training images. Off by default: captions may name sides.
        seed: Seed of the held-out share, of order and of captions drawn.
        max_skipped_share: Share of rows, in [0, 1], that may be unusable before reading stops with an error.
        cache_dir: Where decoded images are kept; by default `keras_t2i` in the user's cache directory.
        inventory: That of a run which goes on: what it holds out stays held out, and nothing that it was trained on
            becomes so, whatever has been added to the folder since.

    Raises:
        ValueError: if the folder or its captions are missing, too many rows cannot be used, fewer than two training
            images are left, or an argument is out of range.
    """
    for name, share, closed in (
        ("validation_share", validation_share, False),
        ("max_skipped_share", max_skipped_share, True),
    ):
        if not (0 <= share < 1 or (closed and share == 1)):
            raise ValueError(
                f"`{name}` must be a share, at least 0 and {'at most' if closed else 'below'} 1; got {share}."
            )
    contents = read_folder(
        folder,
        image_size,
        captions=captions,
        caption_column=caption_column,
        caption_template=caption_template,
        reading=Reading(fit, intensity_range),
        max_skipped_share=max_skipped_share,
        cache_dir=cache_dir,
    )
    positions = contents.splits(validation_share, seed, inventory)
    held_out = positions.get("validation", positions.get("test"))
    train = positions.get("train", np.empty(0, np.int64))
    if len(train) < MIN_IMAGES:
        counts = ", ".join(f"{name} {len(numbers)}" for name, numbers in positions.items()) or "none"
        raise ValueError(
            f"Training needs at least {MIN_IMAGES} usable training images; {contents.folder!r} has {len(train)}"
            f" (images by split: {counts})."
        )
    for note in contents.notes:
        warnings.warn(note, stacklevel=2)
    if contents.skipped:
        warnings.warn(f"{contents.skipped_summary()} The rest is used; all are named in `.skipped`.", stacklevel=2)
    for notice in notices(contents.records, contents.positions, contents.reading):
        warnings.warn(notice, stacklevel=2)
    return CaptionedImages(
        contents.split(train),
        contents.split(held_out) if held_out is not None else None,
        image_size,
        batch_size,
        horizontal_flip=horizontal_flip,
        seed=seed,
        name=os.path.basename(os.path.abspath(folder)),
        skipped=contents.skipped,
    )


@dataclass(frozen=True, eq=False)
class FolderContents:
    """The usable images of a folder, decoded, and the rows that cannot be used.

    Args:
        folder: The folder, as it was passed.
        files: Each usable image file with its captions.
        records: Decoded images (see `decoded_images`), those that could not be decoded among them.
        positions: For each of `files`, the place of its record.
        skipped: Rows that cannot be used.
        num_rows: Rows in all.
        layout: How captions were found, in a few words.
        unnamed: Images of the folder that no row names.
        notes: What a user should know of how the folder was read, in sentences.
        reading: How the images were read.
    """

    folder: str
    files: tuple[CaptionedFile, ...]
    records: np.ndarray
    positions: np.ndarray
    skipped: tuple[SkippedRow, ...]
    num_rows: int
    layout: str
    unnamed: tuple[str, ...]
    notes: tuple[str, ...]
    reading: Reading

    def splits(self, validation_share: float, seed: int, inventory: Inventory | None = None) -> dict[str, np.ndarray]:
        """Returns the numbers of the images in each split, held-out share included; those of a run stay as they are."""
        numbers: dict[str, list[int]] = {}
        for number, file in enumerate(self.files):
            numbers.setdefault(file.split or "train", []).append(number)
        if validation_share > 0 and not {"validation", "test"} & numbers.keys() and "train" in numbers:
            held_out = self._drawn(numbers["train"], validation_share, seed)
            if held_out:
                numbers["train"] = [number for number in numbers["train"] if number not in held_out]
                numbers["validation"] = sorted(held_out)
        if inventory is not None:
            self._put_back(numbers, inventory)
        return {name: np.asarray(found, np.int64) for name, found in numbers.items()}

    def _drawn(self, numbers: list[int], share: float, seed: int) -> set[int]:
        """Draws by the files' content, so that copies stay together, whatever their names and order."""
        return drawn_by_content(numbers, self._digests(numbers), share, seed)

    def _put_back(self, numbers: dict[str, list[int]], inventory: Inventory) -> None:
        """Moves images to the side on which a run has had them."""
        held = "test" if "test" in numbers and "validation" not in numbers else "validation"
        held_out, train = set(numbers.pop(held, [])), numbers.pop("train", [])
        both = sorted([*held_out, *train])
        for number, digest in zip(both, self._digests(both), strict=True):
            side = held if inventory.sides.get(digest, number in held_out) else "train"
            numbers.setdefault(side, []).append(number)

    def _digests(self, numbers: Sequence[int] | np.ndarray) -> tuple[str, ...]:
        return tuple(f"{digest:016x}" for digest in self.records["digest"][self.positions[numbers]].tolist())

    def split(self, numbers: np.ndarray) -> Split:
        """Returns the images of these numbers as one side of a captioned set."""
        captions: dict[str, int] = {}
        caption_ids = tuple(
            tuple(captions.setdefault(caption, len(captions)) for caption in self.files[number].captions)
            for number in numbers
        )
        load = pixel_loader(self.records["pixels"], self.positions[numbers])
        return Split(tuple(captions), caption_ids, load, digests=self._digests(numbers))

    def skipped_summary(self) -> str:
        """One sentence: how many rows cannot be used, and the first few by name."""
        return skipped_summary(self.folder, self.skipped, self.num_rows)


def read_folder(
    folder: str | os.PathLike[str],
    image_size: int = 64,
    *,
    captions: bool = True,
    caption_column: str | None = None,
    caption_template: str = "a photo of a {label}",
    reading: Reading | None = None,
    max_skipped_share: float = 1.0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> FolderContents:
    """Reads and decodes a folder; what `from_folder` and `check_folder` share. Arguments are those of `from_folder`.

    Raises:
        ValueError: if the folder or its captions are missing, or too many rows cannot be used.
    """
    if not 8 <= image_size <= 1024:
        raise ValueError(f"`image_size` must be 8 to 1024 pixels; got {image_size}.")
    reading = reading or Reading()
    check_caption_template(caption_template)
    rows = read_rows(folder, Wanted(caption_column, caption_template), captions)
    check_skipped(str(folder), rows.skipped, rows.num_rows, max_skipped_share)  # Before an hour of decoding.
    stamps = "\n".join(f"{file.name}\t{file.size}\t{file.modified}" for file in rows.files)
    records = decoded_images(
        tf.data.Dataset.from_tensor_slices(tf.constant([os.fsencode(file.path) for file in rows.files], tf.string)),
        len(rows.files),
        open_path,
        image_size,
        reading,
        f"{os.path.realpath(folder)}\n{stamps}",
        cache_dir,
    )
    errors = records["error"]
    skipped = with_damaged(rows.skipped, rows.files, (error.decode("utf-8") for error in errors))
    check_skipped(str(folder), skipped, rows.num_rows, max_skipped_share)
    usable = np.flatnonzero(errors == b"")
    files = tuple(rows.files[number] for number in usable)
    return FolderContents(
        str(folder),
        files,
        records,
        usable,
        tuple(skipped),
        rows.num_rows,
        rows.layout,
        rows.unnamed,
        rows.notes,
        reading,
    )
