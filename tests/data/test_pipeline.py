"""The training stream: each image once an epoch, in an order that a resumed run meets again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_t2i.data import CaptionedImages, Split

NUM_IMAGES, SIZE = 11, 8


def numbered(num_images: int = NUM_IMAGES, batch_size: int = 4, seed: int = 3, **options: Any) -> CaptionedImages:
    """Images whose pixels are their number (left half brighter by one step) and whose captions name it."""
    captions = tuple(f"{number} {word}" for number in range(num_images) for word in ("a", "b", "c"))
    caption_ids = tuple((3 * number, 3 * number + 1, 3 * number + 2) for number in range(num_images))

    def load_images(indices: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        values = tf.cast(indices, tf.float32)[:, None, None, None] / 64 + tf.zeros((1, SIZE, SIZE, 3))
        return values + tf.cast(tf.range(SIZE) < SIZE // 2, tf.float32)[None, None, :, None] / 128

    split = Split(captions, caption_ids, load_images)
    return CaptionedImages(split, split, SIZE, batch_size, seed=seed, **options)


def taken(dataset: tf.data.Dataset, steps: int) -> list[dict[str, np.ndarray]]:
    return list(dataset.take(steps).as_numpy_iterator())


def image_numbers(batches: Sequence[dict[str, np.ndarray]]) -> list[int]:
    return [int(value) for batch in batches for value in np.floor(batch["images"].min(axis=(1, 2, 3)) * 64)]


def captions_of(batches: Sequence[dict[str, np.ndarray]]) -> list[str]:
    return [caption.decode() for batch in batches for caption in batch["captions"]]


def assert_same(first: Sequence[dict[str, np.ndarray]], second: Sequence[dict[str, np.ndarray]]) -> None:
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_resumed_stream_is_the_tail_of_the_whole(step: int) -> None:
    images = numbered(horizontal_flip=True)
    assert_same(taken(images.train_from(step), 8), taken(images.train_from(0), step + 8)[step:])


def test_stream_does_not_depend_on_the_number_of_threads() -> None:
    images = numbered(horizontal_flip=True)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    alone = taken(images.train_from(0).with_options(options), 20)
    for _ in range(2):
        assert_same(taken(images.train_from(0), 20), alone)


@pytest.mark.parametrize("num_images", [1, 2, 3, 11, 16])
def test_every_image_once_in_each_epoch_of_the_stream(num_images: int) -> None:
    numbers = image_numbers(taken(numbered(num_images).train_from(0), num_images * 3))
    epochs = [numbers[start : start + num_images] for start in range(0, 12 * num_images, num_images)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(num_images))
    if num_images > 3:
        assert len({tuple(epoch) for epoch in epochs}) > 10, "the order must change from epoch to epoch"


def test_whoever_drops_an_iterator_need_not_wait() -> None:
    data = numbered(num_images=12)
    for batches in (data.train_from(0), data.train, data.validation):
        assert batches is not None
        assert batches.options().autotune.enabled is False  # Its thread sleeps for up to a minute, and is not woken.


def test_seed_decides_the_order() -> None:
    first, same, other = (image_numbers(taken(numbered(seed=seed).train_from(0), 5)) for seed in (1, 1, 2))
    assert first == same != other


def test_captions_belong_to_their_image_and_are_all_drawn() -> None:
    batches = taken(numbered().train_from(0), NUM_IMAGES * 12)
    drawn: dict[int, list[str]] = {}
    for number, caption in zip(image_numbers(batches), captions_of(batches), strict=True):
        assert int(caption.split()[0]) == number
        drawn.setdefault(number, []).append(caption.split()[1])
    for words in drawn.values():
        assert set(words) == {"a", "b", "c"}
        assert any(one != two for one, two in itertools.pairwise(words))


def test_flips_happen_only_where_asked_for() -> None:
    plain = np.concatenate([batch["images"] for batch in taken(numbered().train_from(0), 30)])
    assert (plain[:, :, 0] > plain[:, :, -1]).all()
    images = numbered(horizontal_flip=True)
    flipped = np.concatenate([batch["images"] for batch in taken(images.train_from(0), 30)])
    share = (flipped[:, 0, 0, 0] < flipped[:, 0, -1, 0]).mean()
    assert 0.3 < share < 0.7
    held_out = np.concatenate([batch["images"] for batch in images.validation.as_numpy_iterator()])
    assert (held_out[:, :, 0] > held_out[:, :, -1]).all()


def test_train_is_one_pass_of_known_length_reshuffled_each_time() -> None:
    images = numbered()
    train = images.train
    assert int(train.cardinality()) == images.steps_per_epoch == 2
    passes = [image_numbers(list(train.as_numpy_iterator())) for _ in range(3)]
    for numbers in passes:
        assert len(set(numbers)) == len(numbers) == 8
    assert len({tuple(numbers) for numbers in passes}) == 3


def test_fewer_images_than_a_batch_still_train() -> None:
    images = numbered(num_images=3, batch_size=8)
    (batch,) = images.train.as_numpy_iterator()
    assert batch["images"].shape == (8, SIZE, SIZE, 3)


def test_keras_fit_takes_it() -> None:
    images = numbered()

    class Counter(keras.Model):
        """Counts the steps that `fit` makes."""

        steps = 0

        def train_step(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            Counter.steps += 1
            return {"mean": tf.reduce_mean(batch["images"])}

    model = Counter()
    model.compile(optimizer=None, run_eagerly=True)
    history = model.fit(images.train, epochs=3, shuffle=False, verbose=0)
    assert Counter.steps == 6
    assert len(set(history.history["mean"])) > 1
    model.fit(images.train_from(5), steps_per_epoch=2, epochs=2, shuffle=False, verbose=0)
    assert Counter.steps == 10


def test_validation_is_every_image_in_a_fixed_order() -> None:
    validation = numbered().validation
    first, again = (list(validation.as_numpy_iterator()) for _ in range(2))
    assert_same(first, again)
    assert image_numbers(first) == list(range(NUM_IMAGES))


def test_encode_embeds_each_distinct_caption_once() -> None:
    class Encoder:
        """Embeds a caption as its number and the position of its letter."""

        def __init__(self) -> None:
            self.asked: list[str] = []

        def encode(self, captions: Sequence[str]) -> np.ndarray:
            self.asked += captions
            return np.asarray([[int(text.split()[0]), ord(text[-1])] for text in captions], np.float32)

    images, encoder = numbered(), Encoder()
    encoded = images.encode(encoder)
    assert sorted(encoder.asked) == sorted([*images.train_split.captions, *images.validation_split.captions])
    plain, embedded = taken(images.train_from(2), 4), taken(encoded.train_from(2), 4)
    for one, other in zip(plain, embedded, strict=True):
        assert set(other) == {"images", "sentence_embeddings"}
        np.testing.assert_array_equal(one["images"], other["images"])
        np.testing.assert_array_equal(
            other["sentence_embeddings"], Encoder().encode([caption.decode() for caption in one["captions"]])
        )


def test_splits_refuse_what_cannot_be_trained_on() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        numbered(num_images=0)
    with pytest.raises(ValueError, match="image number 1 has none"):
        Split(("a",), ((0,), ()), lambda indices, seeds: indices)


def test_splits_are_equal_where_all_is_arrays_included() -> None:
    split = numbered().train_split
    labels = np.arange(NUM_IMAGES)[:, None]
    labelled = dataclasses.replace(split, labels=labels)
    assert split == dataclasses.replace(split)
    assert labelled == dataclasses.replace(split, labels=labels.copy())
    assert hash(labelled) == hash(dataclasses.replace(split, labels=labels.copy()))
    assert labelled != split
    assert labelled != dataclasses.replace(split, labels=labels + 1)
    assert labelled != "a split"
