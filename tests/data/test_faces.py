"""The captioned faces: captions true to the picture, every word visible, held-out combinations never trained on."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from keras_t2i.data import FACE_ATTRIBUTES, CaptionedImages, face_captions, faces, render_faces

PLAIN = {
    "hair_style": "short",
    "hair_color": "brown",
    "face_color": "yellow",
    "mood": "smiling",
    "glasses": "no glasses",
    "background": "white",
}
OTHER_WORDS = [(name, word) for name, words in FACE_ATTRIBUTES.items() for word in words if word != PLAIN[name]]


@pytest.fixture(scope="module")
def images() -> CaptionedImages:
    return faces(image_size=32, batch_size=8, seed=5)


def rendered(pixels: int = 64, draw: int = 0, **words: str) -> np.ndarray:
    labels = [[values.index((PLAIN | words)[name]) for name, values in FACE_ATTRIBUTES.items()]]
    return render_faces(tf.constant(labels, tf.int64), tf.constant([[0, draw]], tf.int64), pixels).numpy()[0]


def rgb(image: np.ndarray, row: int, column: int) -> np.ndarray:
    return (image[row, column] + 1) * 127.5


def words_of(caption: str) -> dict[str, str]:
    """The attributes that a caption names, each exactly once."""
    found = {}
    for name, words in FACE_ATTRIBUTES.items():
        named = [word for word in words if re.search(rf"\b{word}\b", caption)]
        assert len(named) == 1, (caption, name, named)
        found[name] = named[0]
    return found


def test_set_has_every_combination_and_holds_some_out(images: CaptionedImages) -> None:
    trained, times = np.unique(images.train_split.labels, axis=0, return_counts=True)
    held_out = images.validation_split.labels
    labels = np.concatenate([trained, held_out])
    assert set(times) == {4}, "an epoch holds four variations of each combination"
    assert len(labels) == len(np.unique(labels, axis=0)) == 4 * 5 * 4 * 4 * 3 * 4
    assert 0.07 < len(held_out) / len(labels) < 0.13
    assert not set(images.train_split.captions) & set(images.validation_split.captions)
    for column, words in enumerate(FACE_ATTRIBUTES.values()):
        assert set(trained[:, column]) == set(range(len(words))), "every word must be trained on"


def test_what_is_held_out_does_not_depend_on_the_seed(images: CaptionedImages) -> None:
    again = faces(image_size=64, seed=6)
    assert again.validation_split.captions == images.validation_split.captions


def test_captions_name_all_six_attributes(images: CaptionedImages) -> None:
    for split in (images.train_split, images.validation_split):
        for row, ids in list(zip(split.labels, split.caption_ids, strict=True))[::97]:
            captions = [split.captions[number] for number in ids]
            assert captions == face_captions(row)
            assert len(set(captions)) == 6
            asked = {name: words[label] for (name, words), label in zip(FACE_ATTRIBUTES.items(), row, strict=True)}
            for caption in captions:
                assert words_of(caption) == asked
                assert not re.search(r"\ba [aeiou]", caption)


@pytest.mark.parametrize(("name", "word"), OTHER_WORDS)
def test_every_word_changes_the_picture(name: str, word: str) -> None:
    for draw in range(3):
        changed = np.abs(rendered(draw=draw, **{name: word}) - rendered(draw=draw)).max(-1) > 0.25
        assert changed.sum() >= 40, "of 4,096 pixels"


def test_every_pair_of_moods_and_glasses_differs() -> None:
    for name in ("mood", "glasses", "hair_style"):
        pictures = [rendered(**{name: word}) for word in FACE_ATTRIBUTES[name]]
        for one in range(len(pictures)):
            for other in range(one):
                assert (np.abs(pictures[one] - pictures[other]).max(-1) > 0.25).sum() >= 40


@pytest.mark.parametrize(
    ("name", "word", "where", "color"),
    [
        ("background", "orange", (2, 2), (255, 150, 40)),
        ("background", "cyan", (61, 61), (104, 222, 226)),
        ("face_color", "green", (51, 32), (128, 200, 84)),
        ("face_color", "pink", (51, 32), (252, 160, 196)),
        ("hair_color", "red", (18, 32), (205, 50, 40)),
        ("hair_color", "black", (18, 32), (38, 36, 44)),
    ],
)
def test_colors_are_those_of_their_words(
    name: str, word: str, where: tuple[int, int], color: tuple[int, int, int]
) -> None:
    np.testing.assert_allclose(rgb(rendered(**{name: word}), *where), color, atol=8.5)


def test_no_two_attributes_share_a_color_word() -> None:
    words = [word for name in ("hair_color", "face_color", "background") for word in FACE_ATTRIBUTES[name]]
    assert len(words) == len(set(words))


def test_faces_stay_inside_the_picture() -> None:
    """Whatever the variation: the border shows the background, but for a spike that may touch it."""
    for style in FACE_ATTRIBUTES["hair_style"]:
        for draw in range(12):
            image = rendered(draw=draw, hair_style=style, hair_color="black")
            border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
            assert (np.abs(border - image[0, 0]).max(-1) > 0.25).sum() <= 6


@pytest.mark.parametrize("pixels", [32, 48, 256])
def test_other_sizes_show_the_same_picture(pixels: int) -> None:
    reference = tf.image.resize(rendered(256, draw=4), (32, 32), antialias=True).numpy()
    resized = tf.image.resize(rendered(pixels, draw=4), (32, 32), antialias=True).numpy()
    assert np.abs(resized - reference).mean() < 0.05
    assert -1 <= reference.min() < reference.max() <= 1


def test_rendering_follows_from_its_seed_alone(images: CaptionedImages) -> None:
    np.testing.assert_array_equal(rendered(draw=1), rendered(draw=1))
    assert np.abs(rendered(draw=1) - rendered(draw=2)).max() > 0.5
    labels = tf.constant(images.train_split.labels[::999])
    count = len(labels)
    seeds = tf.stack([tf.zeros(count, tf.int64), tf.range(count, dtype=tf.int64)], axis=1)
    together = render_faces(labels, seeds, 32).numpy()
    for number in range(count):
        alone = render_faces(labels[number : number + 1], seeds[number : number + 1], 32).numpy()[0]
        np.testing.assert_allclose(together[number], alone, atol=1e-5)


def test_stream_is_resumable_and_matches_its_captions(images: CaptionedImages) -> None:
    whole = list(images.train_from(0).take(2).as_numpy_iterator())
    tail = list(images.train_from(1).take(1).as_numpy_iterator())
    for one, other in zip(whole[1:], tail, strict=True):
        np.testing.assert_array_equal(one["images"], other["images"])
        np.testing.assert_array_equal(one["captions"], other["captions"])
    papers = {"white": (248, 248, 248), "orange": (255, 150, 40), "purple": (142, 84, 200), "cyan": (104, 222, 226)}
    for batch in whole:
        for image, caption in zip(batch["images"], batch["captions"], strict=True):
            paper = papers[words_of(caption.decode())["background"]]
            np.testing.assert_allclose(rgb(image, 31, 0), paper, atol=8.5)


@pytest.mark.parametrize("size", [16, 31, 257])
def test_a_size_that_cannot_show_a_face_is_an_error(size: int) -> None:
    with pytest.raises(ValueError, match=f"from 32 to 256 pixels; got {size}"):
        faces(image_size=size)
