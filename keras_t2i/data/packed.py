"""Captioned images as plain arrays, ready to train on where there is neither TensorFlow nor a text encoder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from keras_t2i.core.files import bytes_below, write_array, written_atomically
from keras_t2i.core.pixels import from_bytes

__all__ = ["PackedBatches", "PackedImages", "PackedSplit", "pack"]

_FORMAT = "keras_t2i packed 1"
_ABOUT = "packed.json"
_ENCODER = "text_encoder"
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class PackedSplit:
    """One side, training or validation, of packed images.

    Args:
        images: uint8, shape `(N, H, W, 3)`; read from the disk as it is needed.
        captions: Every distinct caption.
        embeddings: Their sentence embeddings, float16, shape `(len(captions), D)`.
        caption_ids: Positions in `captions` of the captions of image 0, then of image 1, and so on, int32.
        starts: Where those of each image begin in `caption_ids`, and where the last ones end, int64, shape `(N + 1,)`.
    """

    images: np.ndarray
    captions: list[str]
    embeddings: np.ndarray
    caption_ids: np.ndarray
    starts: np.ndarray

    @property
    def num_images(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class PackedImages:
    """Captioned images with their embeddings, in a few files that NumPy reads.

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
    """

    train: PackedSplit
    validation: PackedSplit | None
    image_size: int
    embedding_dim: int
    name: str
    text_of: dict[str, Any]

    @classmethod
    def read(cls, directory: str | os.PathLike[str]) -> Self:
        """Reads what `pack` has written.

        Raises:
            ValueError: if it is not that, or a file is missing or damaged; in one line.
        """
        directory = Path(directory)
        try:
            about = json.loads((directory / _ABOUT).read_text(encoding="utf-8"))
            if about["format"] != _FORMAT:
                raise ValueError(f"its format is {about['format']!r}, and {_FORMAT!r} is read here")
            splits = {name: _read_split(directory, name) for name in about["splits"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{directory} holds no packed images ({error}): make them with 'keras-t2i data pack'."
            ) from error
        text_of = dict(about["text_of"])
        if (directory / _ENCODER).is_dir():
            text_of["files"] = str((directory / _ENCODER).resolve())
        return cls(
            splits["train"],
            splits.get("validation"),
            int(about["image_size"]),
            splits["train"].embeddings.shape[1],
            about["name"],
            text_of,
        )

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

    What is in a batch follows from seed, epoch and number of the batch alone.

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
        order = self._order[place]
        images = from_bytes(self.split.images[order].astype(np.float32))
        images[self._flipped[place]] = images[self._flipped[place], :, ::-1]
        text = self.split.embeddings[self._captions[place]].astype(np.float32)
        return ({"images": images, "sentence_embeddings": text},)

    def on_epoch_end(self) -> None:
        """Draws the next epoch."""
        self.epoch += 1
        self._draw()

    def _draw(self) -> None:
        random = np.random.default_rng([self.seed, self.epoch])
        count, starts = self.split.num_images, self.split.starts
        self._order = random.permutation(count) if self.shuffled else np.arange(count)
        first, last = starts[self._order], starts[self._order + 1]
        chosen = random.random(count) * (last - first) if self.shuffled else self._order % (last - first)
        self._captions = self.split.caption_ids[first + chosen.astype(np.int64)]
        self._flipped = (random.random(count) < 0.5) & (self.horizontal_flip and self.shuffled)


def pack(dataset: Any, directory: str | os.PathLike[str], encoder: Any) -> dict[str, Any]:
    """Writes images and their embeddings as plain arrays.

    Args:
        dataset: A `keras_t2i.data.CaptionedImages`, encoded. Of images that are rendered anew each time, one of each.
        directory: Where to; packed images that are there are replaced.
        encoder: The text encoder of the embeddings: one from outside the package is written too.

    Returns:
        What was written: numbers of images and captions, and megabytes.

    Raises:
        ValueError: if the data set is not encoded, or other files are in the way.
        OSError: if the files cannot be written.
    """
    splits = {"train": dataset.train_split, "validation": dataset.validation_split}
    splits = {name: split for name, split in splits.items() if split is not None}
    if any(split.embeddings is None for split in splits.values()):
        raise ValueError("The images have no embeddings: pass `dataset.encode(text_encoder)`.")
    with written_atomically(directory, marker=_ABOUT) as folder:
        for name, split in splits.items():
            _write_split(folder, name, split, dataset.image_size)
        text_of = {
            "text_encoder": encoder.packaged_name,
            "text_encoder_fingerprint": encoder.fingerprint,
            "sequence_length": encoder.sequence_length,
        }
        if encoder.packaged_name is None:
            encoder.save_to_preset(folder / _ENCODER)
        about = {
            "format": _FORMAT,
            "name": dataset.name,
            "image_size": dataset.image_size,
            "splits": list(splits),
            "text_of": text_of,
        }
        (folder / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        size = bytes_below(folder)
    counts = {f"{name}_images": split.num_images for name, split in splits.items()}
    return {**counts, "captions": sum(len(split.captions) for split in splits.values()), "megabytes": size / 1e6}


def _write_split(folder: Path, name: str, split: Any, image_size: int) -> None:
    """Images go to the disk some at a time: there may be more of them than fit into memory."""
    count = split.num_images
    chunks = (np.arange(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))
    pieces = (split.pixels(numbers).tobytes() for numbers in chunks)
    write_array(folder / f"{name}-images.npy", np.uint8, (count, image_size, image_size, 3), pieces)
    starts = np.cumsum([0, *map(len, split.caption_ids)])
    np.savez(
        folder / f"{name}-text.npz",
        captions=np.frombuffer(json.dumps(list(split.captions)).encode(), np.uint8),
        embeddings=split.embeddings.astype(np.float16),
        caption_ids=np.asarray([i for ids in split.caption_ids for i in ids], np.int32),
        starts=starts.astype(np.int64),
    )


def _read_split(directory: Path, name: str) -> PackedSplit:
    images = np.load(directory / f"{name}-images.npy", mmap_mode="r", allow_pickle=False)
    with np.load(directory / f"{name}-text.npz", allow_pickle=False) as text:
        arrays: dict[str, np.ndarray] = {key: text[key] for key in text.files}
    captions: Sequence[str] = json.loads(arrays.pop("captions").tobytes())
    if len(arrays["starts"]) != len(images) + 1 or len(captions) != len(arrays["embeddings"]):
        raise ValueError(f"the files of {name} do not belong together")
    return PackedSplit(images, list(captions), **arrays)
