"""Captioned images as `tf.data`: one deterministic, resumable pipeline for every source of data."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_t2i.core.pixels import to_uint8
from keras_t2i.data.caption_variants import Variants
from keras_t2i.data.rows import SkippedRow

__all__ = ["CaptionedImages", "Split"]

_IN_GRAPH = 1 << 28
"""Bytes of embeddings that are kept in the graph of the pipeline."""


class SupportsEncode(Protocol):
    """What `CaptionedImages.encode` needs of a text encoder (or of a caching wrapper around one)."""

    def encode(self, captions: Sequence[str]) -> np.ndarray: ...


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
        codes: What an autoencoder has made of some variants of each image, shape `(num_images, variants, h, w, C)`, or
            `None`: batches then hold it, float32, and no images.
    """

    captions: tuple[str, ...]
    caption_ids: tuple[tuple[int, ...], ...]
    load_images: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    labels: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    digests: tuple[str, ...] | None = None
    latents: np.ndarray | None = None
    codes: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.caption_ids:
            raise ValueError("A split needs at least one image; got none. Check the paths and the split names.")
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

    def caption_of_each(self) -> np.ndarray:
        """Positions in `captions` of one fixed caption an image, int64: image number n has its n-th, counted around."""
        return np.asarray([ids[number % len(ids)] for number, ids in enumerate(self.caption_ids)], np.int64)

    def pixels(self, numbers: np.ndarray, seed: int = 10**6, chunk_size: int = 64) -> np.ndarray:
        """Returns the images of these numbers as uint8, shape `(len(numbers), H, W, 3)`."""
        numbers = np.asarray(numbers, np.int64)
        seeds = np.stack([np.full_like(numbers, seed), numbers], axis=1)
        starts = range(0, len(numbers), chunk_size)
        chunks = [slice(start, start + chunk_size) for start in starts]
        images = [np.asarray(self.load_images(numbers[chunk], seeds[chunk])) for chunk in chunks]
        return to_uint8(np.concatenate(images))


@dataclass(frozen=True)
class CaptionedImages:
    """A captioned image set, ready for `fit`.

    The order of images, the caption drawn for each and the flips follow from `(seed, position in the stream)` alone,
    so that a run can be resumed in the middle of an epoch and see the very same batches.

    Batches are dictionaries: `{"images": (B, H, W, 3) float32 in [-1, 1], "captions": (B,) string}`, or, after
    `encode`, `{"images": ..., "sentence_embeddings": (B, D) float32}`. Those of images that a model has drawn hold the
    `"latents"` that it drew them from, `(B, Z) float32`, too; after `coded`, `"codes"` are in the place of `"images"`.

    Args:
        train_split: Images to train on.
        validation_split: Held-out images, or `None`.
        image_size: Height and width of the images in pixels.
        batch_size: Images in a batch.
        horizontal_flip: Whether to mirror half of the training images. Off by default: captions may name sides.
        seed: Seed of order, captions drawn and flips.
        name: Short name for messages and model cards.
        skipped: Rows of the source that could not be used, and why.
    """

    train_split: Split
    validation_split: Split | None
    image_size: int
    batch_size: int = 32
    horizontal_flip: bool = False
    seed: int = 0
    name: str = "captioned images"
    skipped: tuple[SkippedRow, ...] = ()

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1; got {self.batch_size}.")

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which as many images pass as the training split holds (at least one)."""
        return max(1, self.train_split.num_images // self.batch_size)

    @property
    def train(self) -> tf.data.Dataset:
        """One pass over the training images, in a new order each time it is iterated."""
        epochs = tf.data.Dataset.random(seed=self.seed, rerandomize_each_iteration=True).take(1)
        steps = self.steps_per_epoch

        def one_epoch(epoch_seed: tf.Tensor) -> tf.data.Dataset:
            numbers = tf.data.Dataset.range(steps)
            return numbers.map(
                lambda step: self._train_batch(step, epoch_seed),
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )

        dataset = epochs.flat_map(one_epoch).prefetch(2)
        return dataset.apply(tf.data.experimental.assert_cardinality(steps))

    def train_from(self, step: int = 0) -> tf.data.Dataset:
        """The endless training stream from batch number `step` on: what a run resumed at `step` would have seen.

        Pass it to `fit` together with `steps_per_epoch`.
        """
        numbers = tf.data.Dataset.range(step, tf.int64.max)
        seed = tf.constant(self.seed, tf.int64)
        return numbers.map(
            lambda number: self._train_batch(number, seed), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        ).prefetch(2)

    @property
    def validation(self) -> tf.data.Dataset | None:
        """The held-out images in a fixed order, each with one fixed caption; `None` where nothing is held out.

        Batches hold what metrics may ask for too: `captions`, and `labels` where the set has them.
        """
        split = self.validation_split
        if split is None:
            return None
        first = split.caption_of_each()
        fixed = {"captions": tf.gather(_captions(split), first)}
        if split.labels is not None:
            fixed["labels"] = tf.constant(split.labels)

        def load(indices: tf.Tensor) -> dict[str, tf.Tensor]:
            known = {name: tf.gather(values, indices) for name, values in fixed.items()}
            known[_text_key(split)] = _texts(split, tf.gather(first, indices))
            if split.codes is not None:
                return {"codes": _codes(split, indices, tf.zeros_like(indices)), **known}
            seeds = tf.stack([tf.fill(tf.shape(indices), tf.constant(self.seed, tf.int64)), indices], axis=1)
            return {"images": self._shaped(split.load_images(indices, seeds)), **known}

        batches = tf.data.Dataset.range(split.num_images).batch(self.batch_size)
        return batches.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)

    def encode(self, text_encoder: SupportsEncode) -> CaptionedImages:
        """Returns the same set with every distinct caption embedded once, ahead of training."""

        def encoded(split: Split) -> Split:
            return replace(split, embeddings=np.asarray(text_encoder.encode(split.captions), np.float32))

        validation = self.validation_split and encoded(self.validation_split)
        return replace(self, train_split=encoded(self.train_split), validation_split=validation)

    def with_captions(self, *variants: Variants) -> CaptionedImages:
        """Returns the same set with further captions to train on; call it before `encode`.

        Each training image keeps its captions and gets those that the functions make of each of them, which follow from
        the seed and the caption alone. Validation stays as it is.

        Args:
            *variants: Functions of a caption and a source of chance to further captions: `word_dropout`, `templates`
                and `synonyms` of `keras_t2i.data` make such. Each is given the captions that were there before.

        Raises:
            ValueError: if the captions are already encoded.
        """
        split = self.train_split
        if split.embeddings is not None:
            raise ValueError("The captions are already encoded: call `with_captions` before `encode`.")
        numbers = {caption: number for number, caption in enumerate(split.captions)}
        further: list[tuple[int, ...]] = []
        for caption in split.captions:
            digest = hashlib.sha256(caption.encode("utf-8", "surrogatepass")).digest()
            made: list[str] = []
            for number, function in enumerate(variants):
                random = np.random.default_rng([self.seed, number, int.from_bytes(digest[:8], "big")])
                made += function(caption, random)
            further.append(tuple(numbers.setdefault(text, len(numbers)) for text in made))
        caption_ids = tuple(
            tuple(dict.fromkeys([*ids, *itertools.chain.from_iterable(further[number] for number in ids)]))
            for ids in split.caption_ids
        )
        return replace(self, train_split=replace(split, captions=tuple(numbers), caption_ids=caption_ids))

    def _train_batch(self, step: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        split = self.train_split
        positions = tf.cast(step, tf.int64) * self.batch_size + tf.range(self.batch_size, dtype=tf.int64)
        epochs, within = positions // split.num_images, positions % split.num_images
        seeds = tf.stack([tf.fill(tf.shape(positions), seed), positions], axis=1)
        shuffle_seeds = tf.stack([tf.fill(tf.shape(positions), seed), tf.ones_like(positions), epochs], axis=1)
        # The public wrapper, tf.random.experimental.index_shuffle, takes one seed for all; this takes one an epoch.
        indices = tf.raw_ops.RandomIndexShuffle(
            index=within, seed=tf.cast(shuffle_seeds, tf.uint32), max_index=tf.constant(split.num_images - 1, tf.int64)
        )
        draws = tf.map_fn(
            lambda pair: tf.random.stateless_uniform((2,), pair),
            seeds,
            fn_output_signature=tf.TensorSpec((2,), tf.float32),
        )
        counts = np.fromiter(map(len, split.caption_ids), np.int64)
        count = tf.gather(counts, indices)
        offset = tf.minimum(tf.cast(draws[:, 0] * tf.cast(count, tf.float32), tf.int64), count - 1)
        all_ids = np.fromiter(itertools.chain.from_iterable(split.caption_ids), np.int64)
        chosen = tf.gather(all_ids, tf.gather(np.cumsum(counts) - counts, indices) + offset)
        found = {_text_key(split): _texts(split, chosen)}
        if split.latents is not None:
            found["latents"] = tf.gather(tf.constant(split.latents), indices)
        if split.codes is not None:
            variants = tf.cast(draws[:, 1] * split.codes.shape[1], tf.int64)
            return {"codes": _codes(split, indices, variants), **found}
        images = self._shaped(split.load_images(indices, seeds))
        if self.horizontal_flip:
            images = tf.where(draws[:, 1, None, None, None] < 0.5, images[:, :, ::-1], images)
        return {"images": images, **found}

    def _shaped(self, images: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(images, (None, self.image_size, self.image_size, 3))


def _text_key(split: Split) -> str:
    return "captions" if split.embeddings is None else "sentence_embeddings"


def _texts(split: Split, numbers: tf.Tensor) -> tf.Tensor:
    """The captions of these numbers, or their embeddings."""
    if split.embeddings is None:
        return tf.gather(_captions(split), numbers)
    if split.embeddings.nbytes <= _IN_GRAPH:
        return tf.gather(tf.constant(split.embeddings), numbers)
    return _rows(split.embeddings, numbers)


def _codes(split: Split, numbers: tf.Tensor, variants: tf.Tensor) -> tf.Tensor:
    """One variant of each of these images, as an autoencoder has it."""
    codes = split.codes
    assert codes is not None  # Or nobody asks.
    return _rows(codes.reshape(-1, *codes.shape[2:]), numbers * codes.shape[1] + variants)


def _rows(array: np.ndarray, numbers: tf.Tensor) -> tf.Tensor:
    """Rows of an array that stays where it is: a graph can hold 2 GiB at most."""
    found = tf.numpy_function(lambda those: array[those].astype(np.float32), [numbers], tf.float32, stateful=False)
    return tf.ensure_shape(found, (None, *array.shape[1:]))


def _captions(split: Split) -> tf.Tensor:
    return tf.constant([caption.encode("utf-8") for caption in split.captions])
