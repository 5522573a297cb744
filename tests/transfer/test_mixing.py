"""Source images mixed into a training stream: how many, in which order, and from anywhere on."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from pretrained_models import refusal

from keras_t2i.data import CaptionedImages, Split
from keras_t2i.transfer import mix_source


def flat_images(color: float, count: int, batch_size: int = 8, seed: int = 0, image_size: int = 4) -> CaptionedImages:
    """Images of one value each, which rises from `color` with the number of the image."""

    def load(numbers: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        values = color + 0.001 * tf.cast(numbers, tf.float32)
        return tf.tile(values[:, None, None, None], (1, image_size, image_size, 3))

    split = Split(tuple(f"{color} {n}" for n in range(count)), tuple((n,) for n in range(count)), load)
    return CaptionedImages(split, split, image_size, batch_size, seed=seed, name=str(color))


TARGET, SOURCE = flat_images(0.5, 30, seed=1), flat_images(-0.5, 50, batch_size=3, seed=2)


class Lengths:
    """Embeds a caption as its length and the sign of its first character."""

    def encode(self, captions: tuple[str, ...]) -> np.ndarray:
        return np.asarray([[len(caption), -1.0 if caption[0] == "-" else 1.0] for caption in captions])


def batches(dataset: CaptionedImages, count: int, start: int = 0) -> list[dict[str, np.ndarray]]:
    return [{k: v.numpy() for k, v in batch.items()} for batch in dataset.train_from(start).take(count)]


@pytest.mark.parametrize(("share", "count"), [(0.25, 2), (0.5, 4), (0.01, 1), (0.99, 7)])
def test_every_batch_holds_the_share(share: float, count: int) -> None:
    for batch in batches(mix_source(TARGET, SOURCE, share), 5):
        of_source = batch["images"][:, 0, 0, 0] < 0
        assert of_source.sum() == count
        assert len(of_source) == 8
        np.testing.assert_array_equal(of_source, [caption.startswith(b"-") for caption in batch["captions"]])


def test_all_images_of_both_pass_and_the_target_once_an_epoch() -> None:
    mixed = mix_source(TARGET, SOURCE, 0.25)
    assert mixed.steps_per_epoch == 30 // 6
    seen = [float(value) for batch in batches(mixed, 25) for value in batch["images"][:, 0, 0, 0]]
    assert len({value for value in seen if value < 0}) == 50
    first = [float(value) for batch in batches(mixed, 5) for value in batch["images"][:, 0, 0, 0] if value > 0]
    assert len(set(first)) == 30
    assert mixed.train.cardinality() == 5


def test_a_resumed_stream_is_the_same_to_the_bit() -> None:
    mixed = mix_source(TARGET, SOURCE).encode(Lengths())
    whole, resumed = batches(mixed, 7), batches(mix_source(TARGET, SOURCE).encode(Lengths()), 4, start=3)
    for expected, batch in zip(whole[3:], resumed, strict=True):
        assert batch.keys() == {"images", "sentence_embeddings"}
        for name in batch:
            np.testing.assert_array_equal(batch[name], expected[name])
        np.testing.assert_array_equal(np.sign(batch["images"][:, 0, 0, 0]), batch["sentence_embeddings"][:, 1])


def test_validation_and_training_split_are_the_target_s() -> None:
    mixed = mix_source(TARGET, SOURCE).encode(Lengths())
    assert mixed.train_split.num_images == 30
    values = np.concatenate([batch["images"][:, 0, 0, 0] for batch in mixed.validation])
    assert len(values) == 30
    assert values.min() > 0


@pytest.mark.parametrize(
    ("dataset", "source", "share", "words"),
    [
        (TARGET, SOURCE, 1.0, "`share` must be between 0 and 1; got 1.0"),
        (TARGET, flat_images(0.1, 5, image_size=8), 0.5, "got 4 and 8 pixels"),
        (flat_images(0.1, 5, batch_size=1), SOURCE, 0.5, "batches of 1"),
    ],
)
def test_sets_that_do_not_fit_are_refused(
    dataset: CaptionedImages, source: CaptionedImages, share: float, words: str
) -> None:
    assert words in refusal(mix_source, dataset, source, share)
