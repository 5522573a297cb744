"""Variety within a caption is 1 for real images and 0 where noise changes nothing, whatever real pairs there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from tiny_image_networks import tiny_network

from keras_t2i import data, metrics
from keras_t2i.data import Split
from keras_t2i.data.pairs import real_pairs
from keras_t2i.image_features import ImageFeatures
from keras_t2i.metrics import Examined
from keras_t2i.metrics.glossary import warnings_for
from keras_t2i.metrics.variety import VARIETY_OF_FORMS, VARIETY_WITHIN_CAPTION, forms_within_caption

COLORS = ("red", "green", "blue", "white")


class Embedding:
    """Reads of a caption which color it names; shades are nearer to each other than colors."""

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        words = [*COLORS, "dark", "light"]
        return np.asarray([[(3.0 if w in COLORS else 1.0) * (w in c.split()) for w in words] for c in captions])


class Model:
    text_encoder = Embedding()


@pytest.fixture(scope="module")
def features() -> ImageFeatures:
    return ImageFeatures(tiny_network(), "tiny-16")


def split_of(captions: tuple[str, ...], caption_ids: tuple[tuple[int, ...], ...]) -> Split:
    """Blocks of noise in a color; each image has its own."""

    def load(numbers: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        drawn = []
        for number in np.asarray(numbers):
            color = next(i for i, color in enumerate(COLORS) if color in captions[caption_ids[number][0]])
            blocks = np.random.default_rng(int(number)).uniform(-1, 1, (4, 4, 3)).repeat(5, 0).repeat(5, 1)
            drawn.append(0.3 * blocks + 0.7 * np.eye(4)[color, :3] - 0.3)
        return np.asarray(drawn, np.float32)

    return Split(captions, caption_ids, load)


@pytest.fixture(scope="module")
def shared() -> Split:
    """Ten images of each of four captions."""
    return split_of(tuple(f"a {color} square" for color in COLORS), tuple((i % 4,) for i in range(40)))


@pytest.fixture(scope="module")
def own() -> Split:
    """A caption for each image: two shades of each color."""
    captions = tuple(f"a {shade} {color} square" for color in COLORS for shade in ("dark", "light"))
    return split_of(captions, tuple((i,) for i in range(8)))


def examined(split: Split, features: ImageFeatures, generated: np.ndarray, num_images: int) -> Examined:
    captions = [split.captions[position] for position in split.caption_of_each()[: len(generated) // num_images]]
    real = split.pixels(np.arange(len(captions)))
    return Examined(split, tuple(captions), generated, real, num_images, features=features, model=Model())


def test_real_images_of_a_caption_are_as_various_as_real_ones(shared: Split, features: ImageFeatures) -> None:
    numbers = np.asarray([n + 4 * k for n in range(4) for k in range(5)])
    found = VARIETY_WITHIN_CAPTION.measure(examined(shared, features, shared.pixels(numbers), 5))
    assert found["variety_real_pairs"] == "the same caption"
    assert found["variety_within_caption"] == pytest.approx(1.0, abs=0.25)
    assert warnings_for(found) == []


def test_one_picture_a_caption_has_no_variety_and_is_warned_of(shared: Split, features: ImageFeatures) -> None:
    alike = shared.pixels(np.arange(4).repeat(5))
    found = VARIETY_WITHIN_CAPTION.measure(examined(shared, features, alike, 5))
    assert found["variety_within_caption"] == found["diversity_within_caption"] == 0.0
    assert warnings_for(found)[0].startswith("One caption, one picture: images of a caption differ 0.00 times as much")


def test_half_the_difference_is_half_the_variety(shared: Split, features: ImageFeatures) -> None:
    some = [shared.pixels(np.arange(4).repeat(2) + 4 * np.resize([0, k], 8)) for k in (1, 2)]
    same = some[0].copy()
    same[1::2] = same[::2]  # In one of two sets, both images of a caption are one.
    whole, none = (
        VARIETY_WITHIN_CAPTION.measure(examined(shared, features, images, 2))["variety_within_caption"]
        for images in (some[0], same)
    )
    assert 0.0 == none < whole


def test_pairs_are_two_images_of_the_caption(shared: Split) -> None:
    pairs = real_pairs(shared, shared.captions)
    assert pairs is not None
    assert pairs.captions.tolist() == [0, 1, 2, 3]
    assert (pairs.images % 4 == np.arange(4)[:, None]).all()
    assert (pairs.images[:, 0] != pairs.images[:, 1]).all()


def test_rendered_images_are_rendered_twice(features: ImageFeatures) -> None:
    split = data.shapes(image_size=32).validation_split
    assert split is not None
    pairs = real_pairs(split, split.captions[:20])
    assert pairs is not None
    assert pairs.alike == "the same caption"
    assert (pairs.images[:, 0] == pairs.images[:, 1]).all()
    drawn = split.pixels(np.arange(200).repeat(2), seed=5)
    drawn[1::2] = split.pixels(np.arange(200), seed=6)
    found = VARIETY_WITHIN_CAPTION.measure(examined(split, features, drawn, 2))
    assert found["variety_within_caption"] == pytest.approx(1.0, abs=0.2)


def test_without_shared_captions_attributes_say_what_is_alike() -> None:
    split = data.faces(image_size=32, num_images=60).train_split  # These never change.
    assert split.labels is not None
    alone = replace(
        split,
        captions=tuple(f"face number {i}" for i in range(40)),
        caption_ids=tuple((i,) for i in range(40)),
        labels=np.tile(split.labels[:20], (2, 1)),
    )
    pairs = real_pairs(alone, alone.captions[:20], alone.labels[:20])
    assert pairs is not None
    assert pairs.alike == "the same attributes"
    assert (np.abs(pairs.images[:, 0] - pairs.images[:, 1]) == 20).all()


def test_without_either_the_nearest_captions_do(own: Split, features: ImageFeatures) -> None:
    pairs = real_pairs(own, own.captions, embed=Embedding().encode)
    assert pairs is not None
    assert pairs.alike == "the nearest captions"
    assert (pairs.images[:, 1] == (pairs.images[:, 0] ^ 1)).all()  # the other shade of the color
    assert real_pairs(own, own.captions) is None
    drawn = own.pixels(np.arange(8).repeat(2))
    found = VARIETY_WITHIN_CAPTION.measure(examined(own, features, drawn, 2))
    assert found["variety_within_caption"] == 0.0
    assert "forms_within_caption" not in found  # Other captions may well have other forms.


def test_another_caption_of_the_same_image_is_no_second_image() -> None:
    captions = ("a dark red square", "a red square", "a light red square")
    split = split_of(captions, ((0, 1), (2,)))
    pairs = real_pairs(split, captions[:1], embed=Embedding().encode)
    assert pairs is not None
    assert pairs.images.tolist() == [[0, 1]]
    alone = split_of(captions, ((0, 1, 2),))
    assert real_pairs(alone, captions, embed=Embedding().encode) is None


def test_the_keras_metric_says_the_same_while_training(shared: Split, features: ImageFeatures) -> None:
    images = shared.pixels(np.arange(40)).astype(np.float32) / 127.5 - 1
    captions = np.asarray([shared.captions[i % 4].encode() for i in range(40)])
    metric = metrics.Variety(features)
    for start in (0, 20):
        part = slice(start, start + 20)
        metric.update_state({"images": images[part], "captions": captions[part]}, images[part])
    assert metric.result() == pytest.approx(1.0)
    metric.reset_state()
    metric.update_state({"images": images, "captions": captions}, images[np.arange(40) % 4])
    assert metric.result() == 0.0
    metric.reset_state()
    metric.update_state({"images": images[:4], "captions": captions[:4]}, images[:4])
    assert np.isnan(metric.result())


def test_the_texture_metric_says_the_same_while_training() -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (6, 16, 16, 3)).astype(np.float32)
    metric = metrics.Texture()
    metric.update_state({"images": images}, images)
    assert metric.result() == 0.0
    metric.reset_state()
    smooth = (images + np.roll(images, 1, axis=1)) / 2
    metric.update_state({"images": images}, smooth)
    assert metric.result() < -3


def in_other_lights(images: np.ndarray, each: int) -> np.ndarray:
    """Every image in so many lights and colors, one after the other: half as bright, reddish, of less contrast."""
    lights = np.random.default_rng(3).uniform(0.4, 1.0, (len(images), each, 1, 1, 3))
    return np.rint(images[:, None] * lights).astype(np.uint8).reshape(-1, *images.shape[1:])


def test_forms_of_real_images_differ_as_much_as_those_of_real_ones(shared: Split, features: ImageFeatures) -> None:
    numbers = np.asarray([n + 4 * k for n in range(4) for k in range(5)])
    for judge in (features, None):
        found = VARIETY_OF_FORMS.measure(examined(shared, judge, shared.pixels(numbers), 5))
        assert found["variety_of_forms"] == pytest.approx(1.0, abs=0.3)
        assert found["variety_real_pairs"] == "the same caption"
    assert "variety_within_caption" not in found


def test_one_form_in_many_lights_is_told_from_many_forms(shared: Split, features: ImageFeatures) -> None:
    pictures = in_other_lights(shared.pixels(np.arange(4)), 5)
    found = VARIETY_OF_FORMS.measure(examined(shared, features, pictures, 5))
    assert found["variety_of_forms"] < 0.1
    loud = {**found, "variety_within_caption": 0.8}  # As where light and color differ as much as those of real images.
    assert warnings_for(loud)[0].startswith("One caption, one form: forms of a caption differ 0.0")
    quiet = {**found, "variety_within_caption": 0.1}
    assert [warning[:24] for warning in warnings_for(quiet)] == ["One caption, one picture"]


def test_forms_differ_by_one_less_the_correlation_of_brightness(shared: Split) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 24, 16, 3)).astype(np.uint8)
    cells = images.astype(float).mean(-1).reshape(3, 4, 8, 3, 8, 2).mean((3, 5)).reshape(3, 4, 64)
    others = [np.corrcoef(of_caption)[np.triu_indices(4, 1)] for of_caption in cells]
    assert forms_within_caption(images) == pytest.approx(1 - np.mean(others), abs=1e-4)
    assert forms_within_caption(images[:, :, :, ::-1][:, [0, 0]]) == pytest.approx(0.0, abs=1e-6)
    flat = np.full((1, 2, 16, 16, 3), 200, np.uint8)
    flat[0, 1] = 40
    assert forms_within_caption(flat) == 0.0
    for wrong in (images[:, :1], images[0], images[:, :, :4]):
        with pytest.raises(ValueError, match="Forms are compared among at least 2 images of each caption"):
            forms_within_caption(wrong)


def test_where_captions_say_the_form_there_is_no_ratio() -> None:
    alike = np.linspace(0, 255, 20 * 20 * 3).reshape(20, 20, 3)
    split = Split(("a slope",), ((0,), (0,)), lambda numbers, seeds: np.stack([alike / 127.5 - 1.0] * len(numbers)))
    drawn = np.stack([alike] * 2).astype(np.uint8)
    found = VARIETY_OF_FORMS.measure(Examined(split, ("a slope",), drawn, drawn[:1], 2))
    assert "variety_of_forms" not in found
    assert found["forms_within_caption_on_real"] == pytest.approx(0.0, abs=1e-4)
