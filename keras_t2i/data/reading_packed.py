"""Packed images as a captioned set to train on, of which nothing is in memory but what is being read."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_t2i.core.pixels import from_bytes
from keras_t2i.data.packed import PackedImages, PackedSplit
from keras_t2i.data.pipeline import CaptionedImages
from keras_t2i.data.shards import CaptionIds, DamagedShardError, Rows
from keras_t2i.data.split import Packed, Split

__all__ = ["from_packed"]


def from_packed(
    directory: str | os.PathLike[str],
    batch_size: int = 32,
    *,
    horizontal_flip: bool = False,
    seed: int = 0,
) -> CaptionedImages:
    """Opens what `keras-t2i data pack` has written: at once, whatever its size.

    Images come in the order, and with the captions, in which those of the folder would that was packed, from the same
    seed; each is compared with its checksum when it is read. `encode` then only makes sure that the text encoder is the
    one that they were packed with.

    Args:
        directory: The directory.
        batch_size: Images in a batch.
        horizontal_flip: Whether to mirror half of the training images.
        seed: Seed of order and of captions drawn.

    Raises:
        ValueError: if it is none, or a file is missing or damaged; in one line.
    """
    images = PackedImages.read(directory)
    files = images.text_of.get("files")
    known = Packed(images.fingerprint, images.text_of, files or str(images.text_of["text_encoder"]))
    return CaptionedImages(
        _split(images.train),
        None if images.validation is None else _split(images.validation),
        images.image_size,
        batch_size,
        horizontal_flip=horizontal_flip,
        seed=seed,
        name=os.path.basename(os.path.abspath(directory)) if not images.name else images.name,
        packed=known,
    )


def _split(stored: PackedSplit) -> Split:
    tables = (stored.embeddings, stored.starts, stored.caption_ids)
    stored_embeddings, starts, caption_ids = (table for table in tables if isinstance(table, Rows))
    ids, embeddings = CaptionIds(starts, caption_ids), Rows(stored_embeddings.path, np.float32)

    def images_of(numbers: np.ndarray) -> np.ndarray:
        return stored.images[numbers]

    def texts_of(numbers: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return embeddings[ids.drawn(numbers, draws)]

    def load_images(indices: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        del seeds  # They have no variations to draw.
        images = tf.numpy_function(_read(images_of), [indices], tf.uint8, stateful=False)
        images.set_shape((None, *stored.images.shape[1:]))
        return from_bytes(tf.cast(images, tf.float32))

    def load_texts(indices: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        texts = tf.numpy_function(_read(texts_of), [indices, draws], tf.float32, stateful=False)
        texts.set_shape((None, *embeddings.shape[1:]))
        return texts

    return Split(stored.captions, ids, load_images, embeddings=embeddings, load_texts=load_texts)  # type: ignore[arg-type]


def _read(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A function that says of all that can be wrong with files that they are damaged."""

    def read(*arguments: np.ndarray) -> np.ndarray:
        try:
            return function(*arguments)
        except (OSError, IndexError) as error:
            raise DamagedShardError(f"The packed images cannot be read ({error}).") from error

    return read
