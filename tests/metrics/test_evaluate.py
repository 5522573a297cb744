"""evaluate_model rewards the right picture for a caption and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import keras_t2i
from keras_t2i.data import SHAPE_ATTRIBUTES, CaptionedImages, render_shapes, shapes
from keras_t2i.image_features import ImageFeatures
from keras_t2i.metrics import AttributeJudge, compare_images, evaluate_model, warnings_for
from keras_t2i.metrics.instruments import image_features_for

JUDGE = Path(keras_t2i.__file__).parent / "metrics" / "judges" / "shapes.npz"


class Painter:
    """Draws what a caption of shapes says, with the renderer; `shift` lets it take the caption so many further on."""

    def __init__(self, dataset: CaptionedImages, shift: int = 0, alike: bool = False) -> None:
        split = dataset.validation_split
        assert split is not None
        assert split.labels is not None
        self.labels = {
            split.captions[number]: row
            for ids, row in zip(split.caption_ids, split.labels, strict=True)
            for number in ids
        }
        self.shift, self.alike, self.image_size = shift, alike, dataset.image_size

    class _NoText:
        def encode(self, captions: Sequence[str]) -> np.ndarray:
            return np.zeros((len(captions), 1), np.float32)

    text_encoder = _NoText()

    def discriminator(self, images: np.ndarray, text: np.ndarray, training: bool) -> np.ndarray:
        """Judges by brightness, which says nothing about which images it was trained on."""
        return images.mean(axis=(1, 2, 3))

    def generate(self, captions: Sequence[str], num_images: int = 1, seed: int = 0) -> np.ndarray:
        order = np.roll(np.arange(len(captions)), self.shift) * (not self.alike)
        labels = np.repeat([self.labels[captions[number]] for number in order], num_images, axis=0)
        seeds = np.stack([np.full(len(labels), seed), np.arange(len(labels)) * (not self.alike)], axis=1)
        return np.rint((render_shapes(labels, seeds, self.image_size).numpy() + 1) * 127.5).astype(np.uint8)


@pytest.fixture(scope="module")
def dataset() -> CaptionedImages:
    """A third of the held-out shapes."""
    whole = shapes(image_size=64, batch_size=4)
    split = whole.validation_split
    assert split is not None
    assert split.labels is not None
    part = replace(split, caption_ids=split.caption_ids[::3], labels=split.labels[::3])
    load = split.load_images
    return replace(whole, validation_split=replace(part, load_images=lambda numbers, seeds: load(numbers * 3, seeds)))


@pytest.fixture(scope="module")
def judge() -> AttributeJudge:
    return AttributeJudge.load(SHAPE_ATTRIBUTES, JUDGE)


def test_right_pictures_score_one(dataset: CaptionedImages, judge: AttributeJudge) -> None:
    result = evaluate_model(Painter(dataset), dataset, attributes=judge, num_images=2, seed=5).numbers
    assert result["num_images"] == 2 * result["num_captions"] == 2 * dataset.validation_split.num_images
    assert result["all_attributes"] >= 0.99
    assert result["judge_on_real"] >= 0.99
    assert all(result[name] >= 0.99 for name in SHAPE_ATTRIBUTES)
    assert result["diversity"] == pytest.approx(1.0, abs=0.05)


def test_pictures_of_other_captions_score_far_less(dataset: CaptionedImages, judge: AttributeJudge) -> None:
    result = evaluate_model(Painter(dataset, shift=40), dataset, attributes=judge, num_images=1).numbers
    assert result["all_attributes"] <= 0.1
    assert result["judge_on_real"] >= 0.99
    assert result["diversity"] == pytest.approx(1.0, abs=0.05)


def test_collapse_shows_as_no_diversity(dataset: CaptionedImages) -> None:
    result = evaluate_model(Painter(dataset, alike=True), dataset, num_images=1).numbers
    assert result["diversity"] < 0.01
    assert any(warning.startswith("Collapse") for warning in warnings_for(result))
    assert "all_attributes" not in result


def test_a_single_held_out_image_has_no_diversity(dataset: CaptionedImages) -> None:
    split = dataset.validation_split
    assert split is not None
    single = replace(dataset, validation_split=replace(split, caption_ids=split.caption_ids[:1]))
    result = evaluate_model(Painter(dataset), single, num_images=1).numbers
    assert result["num_captions"] == result["num_images"] == 1
    assert "diversity" not in result


def test_no_images_are_refused(dataset: CaptionedImages) -> None:
    with pytest.raises(ValueError, match="at least 1; got 0 and 2000"):
        evaluate_model(Painter(dataset), dataset, num_images=0)


@pytest.fixture(scope="module")
def features(judge: AttributeJudge) -> ImageFeatures:
    found = image_features_for("auto", judge)
    assert found is not None
    return found


def test_real_images_of_other_combinations_are_near_and_others_are_far(
    dataset: CaptionedImages, features: ImageFeatures
) -> None:
    good = evaluate_model(Painter(dataset), dataset, features=features, num_images=2).numbers
    collapsed = evaluate_model(Painter(dataset, alike=True), dataset, features=features, num_images=2).numbers
    assert abs(good["kernel_distance"]) < 0.1 * collapsed["kernel_distance"]
    assert good["coverage"] > 0.9 > 0.1 > collapsed["coverage"]
    assert good["diversity_within_caption"] > 10 * collapsed["diversity_within_caption"]
    assert warnings_for(good) == []


def test_distances_rise_with_noise_and_blur(dataset: CaptionedImages, features: ImageFeatures) -> None:
    split = dataset.validation_split
    assert split is not None
    images = split.pixels(np.arange(100))
    real = split.pixels(np.arange(split.num_images), seed=1)
    random = np.random.default_rng(0)
    for damaged in (
        [images, *(np.clip(images + random.normal(0, s, images.shape), 0, 255).astype(np.uint8) for s in (15, 60))],
        [images, *(images[:, :: 64 // n, :: 64 // n].repeat(64 // n, 1).repeat(64 // n, 2) for n in (32, 8))],
    ):
        found = [compare_images(batch, real, features) for batch in damaged]
        distances = [numbers["kernel_distance"] for numbers in found]
        assert distances == sorted(distances)
        frechet = [numbers["frechet_distance"] for numbers in found]
        assert frechet == sorted(frechet)


def test_copies_of_training_images_are_noticed(dataset: CaptionedImages, features: ImageFeatures) -> None:
    class Copier(Painter):
        def generate(self, captions: Sequence[str], num_images: int = 1, seed: int = 0) -> np.ndarray:
            return dataset.train_split.pixels(np.arange(len(captions) * num_images), seed=10**6)

    small = replace(
        dataset, train_split=replace(dataset.train_split, caption_ids=dataset.train_split.caption_ids[:600])
    )
    copied = evaluate_model(Copier(small), small, features=features, num_images=1)
    assert copied.numbers["memorization"] == 1.0
    assert any(warning.startswith("Copies") for warning in warnings_for(copied.numbers))
    assert copied.nearest is not None
    assert copied.training is not None
    nearest = copied.training[copied.nearest.indices]
    np.testing.assert_array_equal(nearest, copied.generated[:, 0])
    honest = evaluate_model(Painter(small), small, features=features, num_images=1).numbers
    assert honest["memorization"] < 0.2


def test_a_discriminator_that_knows_its_images_by_heart_is_noticed(dataset: CaptionedImages) -> None:
    known = {image.tobytes() for image in dataset.train_split.pixels(np.arange(dataset.train_split.num_images))}

    class Memory(Painter):
        def discriminator(self, images: np.ndarray, text: np.ndarray, training: bool) -> np.ndarray:
            pixels = np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)
            return np.asarray([float(image.tobytes() in known) for image in pixels])

    numbers = evaluate_model(Memory(dataset), dataset, num_images=1).numbers
    assert numbers["discriminator_gap"] == 1.0
    assert any(warning.startswith("Overfitting") for warning in warnings_for(numbers))
    assert abs(evaluate_model(Painter(dataset), dataset, num_images=1).numbers["discriminator_gap"]) < 0.2
