"""Packed images: decoded, with captions and embeddings, on a disk from which only what is asked for is read.

`keras_t2i.data.packing` writes them. Neither TensorFlow nor a text encoder is needed to train on them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from keras_t2i.core.files import sha256
from keras_t2i.core.gate import file_size, read_json
from keras_t2i.core.pixels import from_bytes
from keras_t2i.data.names import PACKED
from keras_t2i.data.shards import DamagedShardError, Pixels, Rows, Texts

__all__ = ["ENCODER", "FORMAT", "PackedBatches", "PackedImages", "PackedSplit", "fingerprint_of"]

FORMAT = "keras_t2i packed 2"
ENCODER = "text_encoder"
"""Directory of a text encoder that is not in the package."""
_SPLITS = ("train", "validation")
_PARTS = ("rows.npy", "starts.npy", "caption-ids.npy", "captions.bin", "caption-starts.npy", "embeddings.npy")
_SHARD = re.compile(r"images-\d{5,}\.bin")


@dataclass(frozen=True, eq=False)
class PackedSplit:
    """One side, training or validation, of packed images: arrays, or what reads rows of such from the disk.

    Args:
        images: uint8, shape `(N, H, W, 3)`.
        captions: Every distinct caption.
        embeddings: Their sentence embeddings, float16, shape `(len(captions), D)`; token numbers are float32.
        caption_ids: Positions in `captions` of the captions of image 0, then of image 1, and so on, int32.
        starts: Where those of each image begin in `caption_ids`, and where the last ones end, int64, shape `(N + 1,)`.
    """

    images: np.ndarray | Pixels
    captions: Sequence[str]
    embeddings: np.ndarray | Rows
    caption_ids: np.ndarray | Rows
    starts: np.ndarray | Rows

    @property
    def num_images(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class PackedImages:
    """Captioned images with their embeddings, decoded once; what is not asked for stays on the disk.

    ```python
    packed = PackedImages.read("packed")
    gan = keras_t2i.models.build_gan("compact", None, packed.image_size, embedding_dim=packed.embedding_dim)
    gan.text_of = packed.text_of  # So that its preset names the text encoder.
    gan.adapt(packed.train.embeddings.astype("float32"))
    gan.fit(packed.batches(), epochs=10, validation_data=packed.batches("validation"))
    gan.save_to_preset("preset")
    ```

    Args:
        train: Images to train on.
        validation: Held-out ones, or `None`.
        image_size: Height and width in pixels.
        embedding_dim: Length D of the sentence embeddings.
        name: Short name for messages and model cards.
        text_of: What a preset says of the text encoder that the embeddings are of.
        fingerprint: Tells this content from any other; empty for what was never written.
    """

    train: PackedSplit
    validation: PackedSplit | None
    image_size: int
    embedding_dim: int
    name: str
    text_of: dict[str, Any]
    fingerprint: str = ""

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> Self:
        """Opens what `keras-t2i data pack` has written.

        All but the images is compared with its checksums now, an image when it is read: `verify` reads them all.

        Raises:
            ValueError: if it is not that, or a file is missing or damaged; in one line.
        """
        directory = Path(directory)
        try:
            about = read_json(directory / PACKED)
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}, and {FORMAT!r} is read here: pack them again")
            _check_files(directory, about["files"])
            image_size = _size(about["image_size"])
            there = _SPLITS[: len(about["splits"])]
            splits = {name: _opened(directory, name, image_size, about["files"]) for name in there}
            counts = {name: split.num_images for name, split in splits.items()}
            if counts != about["splits"]:
                raise ValueError(f"it should have images {about['splits']}, and has {counts}")
            text_of, name = dict(about["text_of"]), str(about["name"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
            why = getattr(error, "strerror", None) or f"{error}".rstrip(".")
            raise ValueError(
                f"{directory} holds no packed images ({why}): make them with 'keras-t2i data pack'."
            ) from error
        if (directory / ENCODER).is_dir():
            text_of["files"] = str((directory / ENCODER).resolve())
        train, fingerprint = splits["train"], fingerprint_of(about["files"])
        dim = train.embeddings.shape[1]
        return cls(train, splits.get("validation"), image_size, dim, name, text_of, fingerprint)

    @staticmethod
    def verify(directory: str | os.PathLike[str]) -> None:
        """Compares every file with its checksum, which reads all images.

        Raises:
            ValueError: if one is missing or was changed; in one line that names it.
        """
        PackedImages.read(directory)
        directory = Path(directory)
        for name, known in read_json(directory / PACKED)["files"].items():
            if sha256(directory / name) != known["sha256"]:
                raise ValueError(f"{directory / name} is damaged: pack the images again, or copy it anew.")

    def batches(
        self, split: str = "train", batch_size: int = 32, horizontal_flip: bool = False, seed: int = 0
    ) -> PackedBatches:
        """What `fit` takes.

        Args:
            split: `"train"`, in a new order each epoch; or `"validation"`, always in one.
            batch_size: Images in a batch.
            horizontal_flip: Whether to mirror half of the training images.
            seed: Seed of order, captions drawn and flips.

        Raises:
            ValueError: if there is no such split, or `batch_size` is below 1.
        """
        found = {"train": self.train, "validation": self.validation}.get(split)
        if found is None:
            raise ValueError(f"{self.name} has no split {split!r}.")
        return PackedBatches(found, batch_size, split == "train", horizontal_flip, seed)


class PackedBatches(keras.utils.PyDataset):
    """Batches of packed images: `images`, float32 in [-1, 1], shape `(B, H, W, 3)`, and `sentence_embeddings`.

    What is in a batch follows from seed, epoch and number of the batch alone. In memory are 17 bytes an image: its
    place in the order of the epoch, which of its captions, and whether it is mirrored.

    Args:
        split: Where from.
        batch_size: Images in a batch; a training split leaves out the rest that makes no whole one.
        shuffled: Whether order and captions are drawn anew for each epoch.
        horizontal_flip: Whether to mirror half of the images.
        seed: Seed of all that is drawn.

    Raises:
        ValueError: if `batch_size` is below 1.
    """

    def __init__(
        self, split: PackedSplit, batch_size: int, shuffled: bool, horizontal_flip: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1; got {batch_size}.")
        self.split, self.shuffled, self.horizontal_flip, self.seed = split, shuffled, horizontal_flip, seed
        self.batch_size = min(batch_size, split.num_images)
        self.epoch = 0
        self._draw()

    def __len__(self) -> int:
        whole, rest = divmod(self.split.num_images, self.batch_size)
        return whole if self.shuffled else whole + bool(rest)

    def __getitem__(self, number: int) -> tuple[dict[str, np.ndarray]]:
        place = slice(number * self.batch_size, (number + 1) * self.batch_size)
        order, flipped = self._order[place], self._flipped[place]
        images = from_bytes(self.split.images[order].astype(np.float32))
        images[flipped] = images[flipped, :, ::-1]
        text = self.split.embeddings[self._captions(order, self._chosen[place])].astype(np.float32)
        return ({"images": images, "sentence_embeddings": text},)

    def on_epoch_end(self) -> None:
        """Draws the next epoch."""
        self.epoch += 1
        self._draw()

    def _draw(self) -> None:
        random = np.random.default_rng([self.seed, self.epoch])
        count = self.split.num_images
        self._order = random.permutation(count) if self.shuffled else np.arange(count)
        self._chosen = random.random(count) if self.shuffled else self._order
        self._flipped = (random.random(count) < 0.5) & (self.horizontal_flip and self.shuffled)

    def _captions(self, order: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        first, last = (np.asarray(self.split.starts[order + more]).astype(np.int64) for more in (0, 1))
        which = chosen * (last - first) if self.shuffled else chosen % (last - first)
        return self.split.caption_ids[first + which.astype(np.int64)]


def fingerprint_of(files: Mapping[str, Mapping[str, Any]]) -> str:
    """What tells packed images from others: of the checksums of their files."""
    return hashlib.sha256(json.dumps([[name, files[name]["sha256"]] for name in sorted(files)]).encode()).hexdigest()


def _check_files(directory: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Makes sure that all files are there, of the length that they had; those that are no images are read."""
    tables = {f"{split}-{part}" for split in _SPLITS for part in _PARTS} | {"skipped.jsonl"}
    for name, known in files.items():
        if name not in tables and not _SHARD.fullmatch(name):
            raise ValueError(f"it lists {name[:80]!r}, which is none of its files")
        try:
            size = file_size(directory / name)
        except FileNotFoundError as error:
            raise ValueError(f"{name} is missing") from error
        if size != known["bytes"]:
            raise ValueError(f"{name} has {size} bytes, and should have {known['bytes']}")
        if name in tables and sha256(directory / name) != known["sha256"]:
            raise ValueError(f"{name} is damaged or was changed")


def _size(value: Any) -> int:
    if not isinstance(value, int) or not 8 <= value <= 1024:
        raise ValueError(f"images of {str(value)[:20]} pixels are none")
    return value


def _opened(directory: Path, name: str, image_size: int, files: Mapping[str, Any]) -> PackedSplit:
    if missing := [part for part in _PARTS if f"{name}-{part}" not in files]:
        raise ValueError(f"{name}-{missing[0]} is missing")
    rows, starts, ids, caption_starts, embeddings = (
        Rows(directory / f"{name}-{part}") for part in _PARTS if part.endswith(".npy")
    )
    captions = Texts(directory / f"{name}-captions.bin", caption_starts)
    fitting = len(starts) == len(rows) + 1 and len(captions) == len(embeddings) and embeddings.shape[1:]
    if not fitting or not len(rows) or starts[-1] != len(ids) or starts.dtype.kind + ids.dtype.kind not in ("ui", "ii"):
        raise DamagedShardError(f"the files of {name} do not belong together")
    return PackedSplit(Pixels(directory, rows, image_size), captions, embeddings, ids, starts)
