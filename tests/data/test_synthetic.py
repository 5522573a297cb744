"""The captioned shapes: captions true to the picture, enough variety, held-out combinations never trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from keras_t2i.data import SHAPE_ATTRIBUTES, CaptionedImages, faces, render_shapes, shape_captions, shapes

INKS = {"red": (220, 30, 35), "green": (35, 160, 60), "blue": (35, 85, 240)}


def rendered(pixels: int = 32, draw: int = 0, **words: str) -> np.ndarray:
    words = {
        "shape": "circle",
        "color": "red",
        "background": "white",
        "position": "in the center",
        "size": "large",
        **words,
    }
    labels = [[SHAPE_ATTRIBUTES[name].index(words[name]) for name in SHAPE_ATTRIBUTES]]
    return render_shapes(tf.constant(labels, tf.int64), tf.constant([[0, draw]], tf.int64), pixels).numpy()[0]


def inked(image: np.ndarray) -> np.ndarray:
    """Where the ink is: pixels unlike the corner, which every shape leaves free."""
    return np.abs(image - image[0, 0]).max(-1) > 0.3


def test_set_has_every_combination_and_holds_some_out() -> None:
    images = shapes(image_size=16)
    trained, times = np.unique(images.train_split.labels, axis=0, return_counts=True)
    held_out = images.validation_split.labels
    labels = np.concatenate([trained, held_out])
    assert set(times) == {4}, "an epoch holds four variations of each combination"
    assert len(labels) == len(np.unique(labels, axis=0)) == 8 * 8 * 5 * 5 * 2
    assert 0.07 < len(held_out) / len(labels) < 0.13
    assert not set(images.train_split.captions) & set(images.validation_split.captions)
    for column, words in enumerate(SHAPE_ATTRIBUTES.values()):
        assert set(images.train_split.labels[:, column]) == set(range(len(words))), "every word must be trained on"


def test_captions_name_all_five_attributes() -> None:
    images = shapes(image_size=16)
    for row, ids in list(zip(images.train_split.labels, images.train_split.caption_ids, strict=True))[::97]:
        captions = [images.train_split.captions[number] for number in ids]
        assert captions == shape_captions(row)
        assert len(set(captions)) == 6
        for caption in captions:
            assert all(words[label] in caption for words, label in zip(SHAPE_ATTRIBUTES.values(), row, strict=True))
            assert "a orange" not in caption


@pytest.mark.parametrize("color", INKS)
@pytest.mark.parametrize("shape", ["circle", "square", "heart"])
def test_ink_has_the_colour_of_its_word(color: str, shape: str) -> None:
    image = rendered(color=color, shape=shape)
    np.testing.assert_allclose((image[16, 16] + 1) * 127.5, INKS[color], atol=12.5)


@pytest.mark.parametrize(
    ("position", "across", "down"),
    [
        ("in the center", 0.5, 0.5),
        ("at the top left", 0.28, 0.28),
        ("at the top right", 0.72, 0.28),
        ("at the bottom left", 0.28, 0.72),
        ("at the bottom right", 0.72, 0.72),
    ],
)
def test_shapes_lie_where_their_words_say(position: str, across: float, down: float) -> None:
    rows, columns = np.nonzero(inked(rendered(64, position=position)))
    assert np.mean(columns) / 64 == pytest.approx(across, abs=0.04)
    assert np.mean(rows) / 64 == pytest.approx(down, abs=0.04)


def test_shapes_and_sizes_look_different() -> None:
    images = [rendered(64, shape=shape) for shape in SHAPE_ATTRIBUTES["shape"]]
    for one in range(len(images)):
        for other in range(one):
            assert np.abs(images[one] - images[other]).mean() > 0.02
    for shape in SHAPE_ATTRIBUTES["shape"]:
        large, small = (inked(rendered(64, shape=shape, size=size)).mean() for size in ("large", "small"))
        assert 2.0 < large / small < 5.0


def test_edges_are_antialiased_and_values_in_range() -> None:
    image = rendered(64, color="blue", background="black")
    assert -1 <= image.min() < image.max() <= 1
    between = (image[..., 2] > image[0, 0, 2] + 0.3) & (image[..., 2] < image[32, 32, 2] - 0.3)
    assert between.sum() > 20


def test_rendering_follows_from_its_seed() -> None:
    np.testing.assert_array_equal(rendered(draw=1), rendered(draw=1))
    assert np.abs(rendered(draw=1) - rendered(draw=2)).max() > 0.02


def test_an_image_does_not_depend_on_its_batch() -> None:
    images = shapes(image_size=16)
    labels = tf.constant(images.train_split.labels[:6])
    seeds = tf.stack([tf.zeros(6, tf.int64), tf.range(6, dtype=tf.int64)], axis=1)
    together = render_shapes(labels, seeds, 16).numpy()
    for number in range(6):
        alone = render_shapes(labels[number : number + 1], seeds[number : number + 1], 16).numpy()[0]
        np.testing.assert_allclose(together[number], alone, atol=1e-6)


def test_stream_is_resumable_and_matches_its_captions() -> None:
    images = shapes(image_size=16, batch_size=8, seed=5)
    whole = list(images.train_from(0).take(5).as_numpy_iterator())
    tail = list(images.train_from(3).take(2).as_numpy_iterator())
    for one, other in zip(whole[3:], tail, strict=True):
        np.testing.assert_array_equal(one["images"], other["images"])
        np.testing.assert_array_equal(one["captions"], other["captions"])
    for image, caption in zip(whole[0]["images"], whole[0]["captions"], strict=True):
        if b"white" in caption or b"black" in caption:
            assert (image[0, 0].mean() > 0) == (b"white" in caption)


def test_too_small_an_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 16 pixels; got 8"):
        shapes(image_size=8)


@pytest.mark.parametrize("build", [shapes, faces])
def test_few_images_are_few_and_never_change(build: Callable[..., CaptionedImages]) -> None:
    """A set of 20 images shows 20 pictures, however long one trains; the held-out ones are those of the whole set."""
    few = build(image_size=32, batch_size=10, seed=3, num_images=20)
    assert few.train_split.num_images == 20
    assert len(np.unique(few.train_split.labels, axis=0)) == 20
    batches = list(few.train_from(0).take(6).as_numpy_iterator())
    pictures = np.concatenate([batch["images"] for batch in batches]).round(4)
    assert len(np.unique(pictures.reshape(60, -1), axis=0)) == 20
    whole = build(image_size=32, seed=3)
    assert few.validation_split.captions == whole.validation_split.captions
    assert set(few.train_split.captions) < set(whole.train_split.captions)
    others = build(image_size=32, batch_size=10, seed=4, num_images=20)
    assert set(few.train_split.captions) != set(others.train_split.captions)


def test_more_images_than_combinations_are_further_variations() -> None:
    many = shapes(image_size=16, num_images=4000)
    _, times = np.unique(many.train_split.labels, axis=0, return_counts=True)
    assert times.sum() == 4000
    assert set(times) == {1, 2}


def test_no_images_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="`num_images` must be at least 1"):
        faces(num_images=0)
