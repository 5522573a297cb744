"""evaluate_model rewards the right picture for a caption and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import keras_t2i
from keras_t2i.data import ATTRIBUTES, CaptionedImages, render_shapes, shapes
from keras_t2i.metrics import AttributeJudge, evaluate_model

JUDGE = Path(keras_t2i.__file__).parent / "presets" / "shape_judge.npz"


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
    return AttributeJudge.load(ATTRIBUTES, JUDGE)


def test_right_pictures_score_one(dataset: CaptionedImages, judge: AttributeJudge) -> None:
    result = evaluate_model(Painter(dataset), dataset, judge, num_images=2, seed=5)
    assert result["num_images"] == 2 * result["num_captions"] == 2 * dataset.validation_split.num_images
    assert result["all_attributes"] >= 0.99
    assert result["judge_on_real"] >= 0.99
    assert all(result[name] >= 0.99 for name in ATTRIBUTES)
    assert result["diversity"] == pytest.approx(1.0, abs=0.05)


def test_pictures_of_other_captions_score_far_less(dataset: CaptionedImages, judge: AttributeJudge) -> None:
    result = evaluate_model(Painter(dataset, shift=40), dataset, judge, num_images=1)
    assert result["all_attributes"] <= 0.1
    assert result["judge_on_real"] >= 0.99
    assert result["diversity"] == pytest.approx(1.0, abs=0.05)


def test_collapse_shows_as_no_diversity(dataset: CaptionedImages) -> None:
    result = evaluate_model(Painter(dataset, alike=True), dataset, num_images=1)
    assert result["diversity"] < 0.01
    assert "all_attributes" not in result


def test_a_single_held_out_image_has_no_diversity(dataset: CaptionedImages) -> None:
    split = dataset.validation_split
    assert split is not None
    single = replace(dataset, validation_split=replace(split, caption_ids=split.caption_ids[:1]))
    result = evaluate_model(Painter(dataset), single, num_images=1)
    assert result == {"num_captions": 1, "num_images": 1}


def test_no_images_are_refused(dataset: CaptionedImages) -> None:
    with pytest.raises(ValueError, match="at least 1; got 0"):
        evaluate_model(Painter(dataset), dataset, num_images=0)
