"""The examples that say what generated images are good for: a right generator is rewarded, and a wrong one is not."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checks import tiny_gan

from keras_t2i.data import CaptionedImages, Split, shapes

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "benchmarks"
use = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "use_generated_images.py")))
retrieval = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "retrieve_by_generated_query.py")))

COLORS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
WORDS = list(COLORS)


def painted(words: Sequence[str], seed: int) -> np.ndarray:
    """Noisy images of one color each, uint8, shape `(N, 16, 16, 3)`."""
    noise = np.random.default_rng(seed).normal(0, 12, (len(words), 16, 16, 3))
    return np.clip(np.asarray([COLORS[word] for word in words])[:, None, None] + noise, 0, 255).astype(np.uint8)


class Painter:
    """Draws the color that the caption names, or, where it is wrong, always the next one."""

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift

    def generate(self, prompts: Sequence[str], num_images: int = 1, seed: int = 0) -> np.ndarray:
        named = [WORDS.index(next(word for word in WORDS if word in prompt)) for prompt in prompts]
        return painted([WORDS[(number + self.shift) % 3] for number in np.repeat(named, num_images)], seed)


class Pixels:
    """Image features that need no network: the pixels themselves, centered."""

    name = "pixels"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return images[:, ::4, ::4].reshape(len(images), -1).astype(np.float32) - 93.0


class ColorJudge:
    """A judge of captions that is right about colors."""

    name = "colors"

    def image_embeddings(self, images: np.ndarray) -> np.ndarray:
        return Pixels()(images)

    def text_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        return Pixels()(Painter().generate(captions))


def color_split(counts: dict[str, int], seed: int) -> Split:
    words = [word for word, count in counts.items() for _ in range(count)]
    images = painted(words, seed)
    captions = ("a flower", *(f"a {word} flower" for word in WORDS), *(f"{word} petals" for word in WORDS))
    caption_ids = tuple((1 + WORDS.index(word), 4 + WORDS.index(word), 0) for word in words)
    floats = tf.constant(images / 127.5 - 1.0, tf.float32)
    return Split(captions, caption_ids, lambda numbers, seeds: tf.gather(floats, numbers))


@pytest.fixture(scope="module")
def flowers() -> CaptionedImages:
    train = color_split({"red": 9, "green": 6, "blue": 12}, seed=0)
    return CaptionedImages(train, color_split({"red": 4, "green": 4, "blue": 4}, seed=1), 16, name="flowers")


def test_classes_are_first_captions_and_keep_only_captions_of_their_own(flowers: CaptionedImages) -> None:
    classes = use.read_classes(flowers, 2)
    assert classes.names == ["a blue flower", "a red flower"]
    assert [set(captions) for captions in classes.captions] == [
        {"a blue flower", "blue petals"},
        {"a red flower", "red petals"},
    ]
    assert np.bincount(classes.train.labels).tolist() == [12, 9]
    assert np.bincount(classes.held_out.labels).tolist() == [4, 4]
    np.testing.assert_array_equal(
        np.argmax(classes.train.inputs.mean(axis=(1, 2)), axis=1), np.asarray([2, 0])[classes.train.labels]
    )


def test_shapes_are_classed_by_their_shape() -> None:
    classes = use.read_classes(shapes(image_size=16, num_images=40), 20)
    assert len(classes.names) == 8
    assert all(
        name in caption for name, texts in zip(classes.names, classes.captions, strict=True) for caption in texts
    )


def test_few_are_drawn_alike_of_each_class_and_none_twice(flowers: CaptionedImages) -> None:
    train = use.read_classes(flowers, 3).train
    few = train.few(5, np.random.default_rng(0))
    assert np.bincount(few.labels).tolist() == [5, 5, 5]
    assert len(np.unique(few.inputs, axis=0)) == 15
    assert not np.array_equal(few.inputs, train.few(5, np.random.default_rng(1)).inputs)


def test_augmented_images_keep_their_class(flowers: CaptionedImages) -> None:
    few = use.read_classes(flowers, 3).train.few(5, np.random.default_rng(0))
    augmented = use.augmented_images(few, 20, np.random.default_rng(0))
    assert np.bincount(augmented.labels).tolist() == [20, 20, 20]
    colors = [WORDS.index(name.split()[1]) for name in use.read_classes(flowers, 3).names]
    np.testing.assert_array_equal(
        np.argmax(augmented.inputs.mean(axis=(1, 2)), axis=1), np.asarray(colors)[augmented.labels]
    )


@pytest.mark.parametrize("features", [Pixels(), lambda images: images], ids=["linear", "convolutional"])
def test_classifiers_learn_from_generated_images_what_these_show(flowers: CaptionedImages, features: Any) -> None:
    classes = use.read_classes(flowers, 3)
    right, wrong, test = (
        use.LabeledImages(features(images.inputs), images.labels)
        for images in (
            use.generated_images(Painter(), classes.captions, 10, seed=0),
            use.generated_images(Painter(shift=1), classes.captions, 10, seed=0),
            classes.held_out,
        )
    )
    model = use.train_classifier(right, None, 3, steps=40, seed=0)
    assert use.balanced_accuracy(model, test) == 1.0
    assert use.balanced_accuracy(model, wrong) == 0.0


def test_half_of_what_is_learned_from_is_additional(flowers: CaptionedImages) -> None:
    classes = use.read_classes(flowers, 3)
    lies = use.LabeledImages(classes.train.inputs[:3], (classes.train.labels[:3] + 1) % 3)
    read = Pixels()
    sources = [use.LabeledImages(read(images.inputs), images.labels) for images in (classes.train, lies)]
    batches = use.mixed_batches(sources, seed=0)
    labels = np.stack([next(batches)[1] for _ in range(5)])
    assert labels.shape == (5, use.BATCH_SIZE)
    assert set(labels[:, use.BATCH_SIZE // 2 :].ravel()) <= set(lies.labels)
    assert set(labels[:, : use.BATCH_SIZE // 2].ravel()) == {0, 1, 2}


def test_a_model_is_compared_in_a_table(text_encoder: Any, flowers: CaptionedImages) -> None:
    gan = tiny_gan("dcgan", text_encoder)
    classes = use.read_classes(flowers, 2)

    def features(images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2)).astype(np.float32)  # Of any size.

    features.name = "mean color"  # type: ignore[attr-defined]
    result = use.compare(gan, classes, features, num_real=2, num_generated=4, num_draws=1, steps=2)
    rows = [line.split(" | ")[0] for line in use.markdown(result).splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| few real",
        "| few real, augmented",
        "| few real + generated",
        "| few real, augmented + generated",
        "| generated only",
        "| all real images",
    ]
    assert all(len(values) == 1 for values in result["accuracy"].values())


def test_every_image_with_the_caption_is_a_hit(flowers: CaptionedImages) -> None:
    split = flowers.validation_split
    captions, hits = retrieval.queries_of(split, 100)
    assert hits[captions.index("a flower")].all()
    assert hits[captions.index("a red flower")].tolist() == [True] * 4 + [False] * 8
    assert len(retrieval.queries_of(split, 2)[0]) == 2


def test_ranks_count_what_is_better_and_half_of_what_is_alike() -> None:
    scores = np.asarray([[3.0, 2.0, 1.0, 0.0], [0.0, 5.0, 5.0, 5.0], [9.0, 8.0, 1.0, 2.0]])
    hits = np.asarray([[0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 0, 0]], bool)
    assert retrieval.first_ranks(scores, hits).tolist() == [2.0, 2.0, 1.0]


def test_a_random_order_reaches_what_chance_says() -> None:
    random = np.random.default_rng(0)
    hits = np.zeros((4000, 30), bool)
    hits[:, 0] = True
    hits[::2, 1:4] = True
    chance = retrieval.by_chance(hits)
    measured = retrieval.summary(retrieval.first_ranks(random.random(hits.shape), hits))
    for depth in (1, 5, 10):
        assert measured[f"recall_{depth}"] == pytest.approx(chance[f"recall_{depth}"], abs=0.025)


def test_images_drawn_right_find_their_caption_and_images_drawn_wrong_do_not(flowers: CaptionedImages) -> None:
    split = flowers.validation_split
    gallery, captions = split.pixels(np.arange(12)), [f"a {word} flower" for word in WORDS]
    hits = np.repeat(np.eye(3, dtype=bool), 4, axis=1)
    arguments = (ColorJudge(), Pixels(), gallery, captions, hits, np.float32(0))
    right = retrieval.retrieve(Painter(), *arguments)
    wrong = retrieval.retrieve(Painter(shift=1), *arguments)
    assert all((ranks == 1).all() for ranks in right.values())
    assert (wrong["caption"] == 1).all()
    assert (wrong["drawn image"] > 4).all()
    low, high = retrieval.gain_interval(wrong["drawn image"], wrong["caption"], depth=4)
    assert low == high == -1.0
