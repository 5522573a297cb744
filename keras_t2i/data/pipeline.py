"""Captioned images as `tf.data`: one deterministic, resumable pipeline for every source of data."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_t2i.data.caption_variants import Variants
from keras_t2i.data.rows import SkippedRow
from keras_t2i.data.split import Packed, Split

__all__ = ["CaptionedImages"]


class SupportsEncode(Protocol):
    """What `CaptionedImages.encode` needs of a text encoder (or of a caching wrapper around one)."""

    def encode(self, captions: Sequence[str]) -> np.ndarray: ...


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
        packed: Where they were packed: the fingerprint of all of it, and what is said of the text encoder, whose
            embeddings came with them (see `keras_t2i.data.from_packed`).
        share: Which share of every training batch is read, from 0, and of how many: for several machines, each of which
            reads one.
    """

    train_split: Split
    validation_split: Split | None
    image_size: int
    batch_size: int = 32
    horizontal_flip: bool = False
    seed: int = 0
    name: str = "captioned images"
    skipped: tuple[SkippedRow, ...] = ()
    packed: Packed | None = None
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1; got {self.batch_size}.")
        number, of = self.share
        if not 0 <= number < of or self.batch_size % of:
            raise ValueError(f"Batches of {self.batch_size} have no share {number} of {of} equal ones.")

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

        dataset = _prefetched(epochs.flat_map(one_epoch))
        return dataset.apply(tf.data.experimental.assert_cardinality(steps))

    def train_from(self, step: int = 0) -> tf.data.Dataset:
        """The endless training stream from batch number `step` on: what a run resumed at `step` would have seen.

        Pass it to `fit` together with `steps_per_epoch`.
        """
        numbers = tf.data.Dataset.range(step, tf.int64.max)
        seed = tf.constant(self.seed, tf.int64)
        batches = numbers.map(
            lambda number: self._train_batch(number, seed), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return _prefetched(batches)

    @property
    def validation(self) -> tf.data.Dataset | None:
        """The held-out images in a fixed order, each with one fixed caption; `None` where nothing is held out.

        Batches hold what metrics may ask for too: `captions`, and `labels` where the set has them.
        """
        split = self.validation_split
        if split is None:
            return None
        first = split.caption_of_each()
        fixed = {"captions": tf.gather(split.caption_tensor(), first)}
        if split.labels is not None:
            fixed["labels"] = tf.constant(split.labels)

        def load(indices: tf.Tensor) -> dict[str, tf.Tensor]:
            known = {name: tf.gather(values, indices) for name, values in fixed.items()}
            known[split.text_key] = split.text_rows(tf.gather(first, indices))
            if split.codes is not None:
                return {"codes": split.code_rows(indices, tf.zeros_like(indices, tf.float32)), **known}
            seeds = tf.stack([tf.fill(tf.shape(indices), tf.constant(self.seed, tf.int64)), indices], axis=1)
            return {"images": self._shaped(split.load_images(indices, seeds)), **known}

        batches = tf.data.Dataset.range(split.num_images).batch(self.batch_size)
        return _prefetched(batches.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))

    def validation_sample(self, max_images: int) -> tf.data.Dataset | None:
        """`validation` of so many held-out images at most: drawn by the seed, always the same, where there are more.

        Args:
            max_images: How many.
        """
        split = self.validation_split
        if split is None or split.num_images <= max_images:
            return self.validation
        chosen = np.random.default_rng(self.seed).choice(split.num_images, max_images, replace=False)
        return replace(self, validation_split=split.subset(np.sort(chosen))).validation

    def encode(self, text_encoder: SupportsEncode) -> CaptionedImages:
        """Returns the same set with every distinct caption embedded once, ahead of training.

        Raises:
            ValueError: if they were packed with the embeddings of another text encoder.
        """
        if self.packed is not None:
            self.packed.check(getattr(text_encoder, "fingerprint", None), self.name)
            return self

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
        positions = tf.cast(step, tf.int64) * self.batch_size + tf.range(*self._shared, dtype=tf.int64)
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
        texts = {split.text_key: split.texts(indices, draws[:, 0])}
        if split.latents is not None:
            texts["latents"] = tf.gather(tf.constant(split.latents), indices)
        if split.codes is not None:
            return {"codes": split.code_rows(indices, draws[:, 1]), **texts}
        images = self._shaped(split.load_images(indices, seeds))
        if self.horizontal_flip:
            images = tf.where(draws[:, 1, None, None, None] < 0.5, images[:, :, ::-1], images)
        return {"images": images, **texts}

    @property
    def _shared(self) -> tuple[int, int]:
        """Which images of a batch are read: from the first, to that after the last."""
        number, of = self.share
        length = self.batch_size // of
        return number * length, (number + 1) * length

    def _shaped(self, images: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(images, (None, self.image_size, self.image_size, 3))


def _prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches that are read ahead, with buffers and threads that TensorFlow does not tune as it goes.

    What tunes them sleeps in between, twice as long each time, up to a minute, and is not woken when an iteration ends
    before its data do: whoever drops the iterator waits.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)
