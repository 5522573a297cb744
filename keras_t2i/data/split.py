"""One side of a captioned image set: its images, their captions, and what belongs to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_t2i.core.pixels import to_uint8

__all__ = ["Packed", "Split"]

_IN_GRAPH = 1 << 28
"""Bytes of embeddings that are kept in the graph of a pipeline, which can hold 2 GiB at most."""
_ADAPTED_TO = 1 << 16
"""Embeddings of captions that text is centered on, at most, where they are not in memory."""


@dataclass(frozen=True)
class Packed:
    """What is known of images that were packed.

    Args:
        fingerprint: Tells their content, captions and embeddings from any others.
        text_of: What a preset says of the text encoder of the embeddings.
        encoder: How the command line names it: a name or a directory.
    """

    fingerprint: str
    text_of: Mapping[str, Any]
    encoder: str

    def check(self, text_encoder_fingerprint: str | None, name: str) -> None:
        """Makes sure that embeddings are those of a text encoder.

        Raises:
            ValueError: if not.
        """
        if text_encoder_fingerprint != self.text_of["text_encoder_fingerprint"]:
            raise ValueError(
                f"The captions of {name!r} were embedded by another text encoder than the model's when they were "
                f"packed: pass --text-encoder {self.encoder} --sequence-length {self.text_of['sequence_length']}, or "
                "pack them again with the model's."
            )


@dataclass(frozen=True, eq=False)
class Split:
    """One side (training or validation) of a captioned image set.

    Args:
        captions: Every distinct caption of this split.
        caption_ids: For each image, the positions in `captions` of the captions that describe it; at least one each.
        load_images: A function traceable by `tf.data`: image numbers, int64 of shape `(B,)`, and one random seed
            each, int64 of shape `(B, 2)`, to images in [-1, 1], float32 of shape `(B, H, W, 3)`. File-backed sources
            ignore the seeds; rendered ones draw their variations from them.
        labels: Optional integer attributes of each image, shape `(num_images, num_attributes)`.
        embeddings: Sentence embeddings of `captions`, float32, shape `(len(captions), D)`, or `None`.
        digests: What tells the content of each image from that of others, or `None` where they have no files.
        latents: The noise that each image was drawn from, float32, shape `(num_images, Z)`, or `None` where they are
            real: a generator that is to learn them is given it.
        load_texts: Where captions stay on the disk, a function traceable by `tf.data`: image numbers, int64, and a
            number in [0, 1) each, float32, both of shape `(B,)`, to the embeddings of one caption each, float32, shape
            `(B, D)`. `captions`, `caption_ids` and `embeddings` then read what they are asked for.
        codes: What an autoencoder has made of some variants of each image, shape `(num_images, variants, h, w, C)`, or
            `None`: batches then hold it, float32, and no images.
    """

    captions: Sequence[str]
    caption_ids: Sequence[Sequence[int]]
    load_images: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    labels: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    digests: tuple[str, ...] | None = None
    latents: np.ndarray | None = None
    load_texts: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    codes: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.caption_ids):
            raise ValueError("A split needs at least one image; got none. Check the paths and the split names.")
        if self.load_texts is not None:
            return  # Whoever wrote it down has looked.
        empty = next((number for number, ids in enumerate(self.caption_ids) if not ids), None)
        if empty is not None:
            raise ValueError(f"Every image needs a caption; image number {empty} has none.")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Split):
            return NotImplemented
        plain = ("captions", "caption_ids", "load_images", "digests")
        return all(getattr(self, name) == getattr(other, name) for name in plain) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("labels", "embeddings", "latents", "codes")
        )

    def __hash__(self) -> int:
        return hash((self.captions, self.caption_ids))

    @property
    def num_images(self) -> int:
        return len(self.caption_ids)

    def caption_of_each(self, numbers: np.ndarray | None = None) -> np.ndarray:
        """Positions in `captions` of one fixed caption an image, int64: image number n has its n-th, counted around.

        Args:
            numbers: The images that are asked for, shape `(M,)`; by default all.
        """
        numbers = np.arange(self.num_images) if numbers is None else np.asarray(numbers)
        ids = ((number, self.caption_ids[number]) for number in numbers.tolist())
        return np.asarray([those[number % len(those)] for number, those in ids], np.int64)

    def embeddings_to_adapt_to(self) -> np.ndarray:
        """Embeddings that stand for all, float32, shape `(M, D)`: all, or evenly spaced ones where they are on disk."""
        assert self.embeddings is not None
        if self.load_texts is None:
            return self.embeddings
        count = len(self.embeddings)
        return self.embeddings[np.unique(np.linspace(0, count - 1, min(count, _ADAPTED_TO)).astype(np.int64))]

    def subset(self, numbers: np.ndarray) -> Split:
        """Returns the images of these numbers, in that order, with what belongs to them in memory.

        Args:
            numbers: int64, shape `(M,)`.
        """
        numbers = np.asarray(numbers, np.int64)
        all_ids = [self.caption_ids[number] for number in numbers.tolist()]
        place = {old: new for new, old in enumerate(dict.fromkeys(itertools.chain.from_iterable(all_ids)))}

        def load_images(indices: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            return self.load_images(tf.gather(tf.constant(numbers), indices), seeds)

        return Split(
            tuple(self.captions[old] for old in place),
            tuple(tuple(place[old] for old in ids) for ids in all_ids),
            load_images,
            None if self.labels is None else self.labels[numbers],
            None if self.embeddings is None else self.embeddings[np.asarray(list(place), np.int64)],
            None if self.digests is None else tuple(self.digests[number] for number in numbers.tolist()),
            None if self.latents is None else self.latents[numbers],
            codes=None if self.codes is None else self.codes[numbers],
        )

    def pixels(self, numbers: np.ndarray, seed: int = 10**6, chunk_size: int = 64) -> np.ndarray:
        """Returns the images of these numbers as uint8, shape `(len(numbers), H, W, 3)`."""
        numbers = np.asarray(numbers, np.int64)
        seeds = np.stack([np.full_like(numbers, seed), numbers], axis=1)
        starts = range(0, len(numbers), chunk_size)
        chunks = [slice(start, start + chunk_size) for start in starts]
        images = [np.asarray(self.load_images(numbers[chunk], seeds[chunk])) for chunk in chunks]
        return to_uint8(np.concatenate(images))

    @property
    def text_key(self) -> str:
        """What a batch calls the texts: captions, or their embeddings once there are any."""
        return "captions" if self.embeddings is None else "sentence_embeddings"

    def texts(self, indices: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """One caption, or its embedding, of each image; arguments are those of `load_texts`."""
        if self.load_texts is not None:
            return self.load_texts(indices, draws)
        counts = np.fromiter(map(len, self.caption_ids), np.int64)
        all_ids = np.fromiter(itertools.chain.from_iterable(self.caption_ids), np.int64)
        count = tf.gather(counts, indices)
        offset = tf.minimum(tf.cast(draws * tf.cast(count, tf.float32), tf.int64), count - 1)
        return self.text_rows(tf.gather(all_ids, tf.gather(np.cumsum(counts) - counts, indices) + offset))

    def text_rows(self, numbers: tf.Tensor) -> tf.Tensor:
        """The captions of these positions, int64, shape `(B,)`, or their embeddings."""
        if self.embeddings is None:
            return tf.gather(self.caption_tensor(), numbers)
        if self.load_texts is None and self.embeddings.nbytes <= _IN_GRAPH:
            return tf.gather(tf.constant(np.asarray(self.embeddings, np.float32)), numbers)
        return _rows(self.embeddings, numbers)

    def code_rows(self, indices: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Codes of one variant of each image, chosen by a number in [0, 1) each, float32, shape `(B,)`."""
        codes = self.codes
        assert codes is not None  # Or nobody asks.
        variants = tf.cast(draws * codes.shape[1], tf.int64)
        return _rows(codes.reshape(-1, *codes.shape[2:]), indices * codes.shape[1] + variants)

    def caption_tensor(self) -> tf.Tensor:
        """Every caption in UTF-8."""
        return tf.constant([caption.encode("utf-8") for caption in self.captions])


def _rows(array: np.ndarray, numbers: tf.Tensor) -> tf.Tensor:
    """Rows of an array that stays where it is, float32."""
    found = tf.numpy_function(lambda those: array[those].astype(np.float32), [numbers], tf.float32, stateful=False)
    return tf.ensure_shape(found, (None, *array.shape[1:]))
