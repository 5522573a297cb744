"""evaluate_model rewards the right picture for a caption and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import keras_t2i
from keras_t2i.data import SHAPE_ATTRIBUTES, CaptionedImages, Split, render_shapes, shapes
from keras_t2i.image_features import ImageFeatures
from keras_t2i.metrics import (
    COSTS,
    MEASURES,
    AttributeJudge,
    Examined,
    Measure,
    compare_images,
    described,
    evaluate_model,
    warnings_for,
)
from keras_t2i.metrics.instruments import image_features_for
from keras_t2i.report import RunPage, render_comparison, render_run
from keras_t2i.runs.compare import ComparisonConfig
from keras_t2i.runs.compare.comparison import _outcome
from keras_t2i.runs.compare.summary import markdown, summarize
from keras_t2i.runs.compare.worker import _quick_metrics
from keras_t2i.runs.config import RunConfig

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

    def parts(self) -> tuple[str, ...]:
        return ("generator", "discriminator")

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
    assert good["variety_within_caption"] == pytest.approx(1.0, abs=0.1)
    assert good["variety_real_pairs"] == "the same caption"
    assert collapsed["variety_within_caption"] == 0.0
    assert good["spectrum_worst"] < 1.0
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


def test_few_held_out_images_are_not_told_apart_by_chance(dataset: CaptionedImages) -> None:
    """A discriminator that draws lots: with four images held out, one in twenty would pass a fixed limit."""
    random = np.random.default_rng(0)

    class Lots(Painter):
        def discriminator(self, images: np.ndarray, text: np.ndarray, training: bool) -> np.ndarray:
            return random.standard_normal(len(images))

    def split(count: int) -> Split:
        gray = np.zeros((count, 8, 8, 3), np.float32)
        return Split(("gray",), ((0,),) * count, lambda numbers, seeds: tf.gather(gray, numbers))

    held_out = split(4)
    few = replace(dataset, train_split=split(36), validation_split=held_out)
    model, none = Lots(dataset), np.zeros((0, 8, 8, 3), np.uint8)
    of = Examined(held_out, (), none, none, model=model, dataset=few)
    gaps = [MEASURES["discriminator_gap"].measure(of) for _ in range(600)]
    assert sum(each["discriminator_gap"] > 0.5 for each in gaps) >= 15
    assert sum(any(warnings_for(each)) for each in gaps) <= 12
    assert warnings_for({**gaps[0], "discriminator_gap": 1.0})


def test_every_measure_says_what_it_is() -> None:
    for name, measure in MEASURES.items():
        assert callable(measure.measure), name
        assert measure.label, name
        assert measure.help.endswith("."), name
        assert measure.better in ("higher", "lower", None), name
        assert measure.unit in ("share", "number"), name
    keys = [*MEASURES, *(cost["key"] for cost in COSTS)]
    assert len(set(keys)) == len(keys)


def test_numbers_are_described_in_the_order_of_the_table_beside_those_of_real_images() -> None:
    numbers = {"diversity": 0.9, "litert_ms": 2.0, "r_precision": 0.5, "r_precision_on_real": 0.7, "unheard_of": 1.0}
    found = described({**numbers, "coverage": None})
    assert [row["key"] for row in found] == ["r_precision", "diversity", "litert_ms"]
    assert [row["value"] for row in found] == [0.5, 0.9, 2.0]
    assert [row["on_real"] for row in found] == [0.7, None, None]


def test_only_what_was_measured_raises_an_alarm() -> None:
    assert warnings_for({}) == warnings_for({"diversity": None}) == warnings_for({"diversity": 0.9}) == []
    found = warnings_for({"discriminator_gap": 0.9, "memorization": 0.5, "diversity": 0.1})
    assert [text.partition(":")[0] for text in found] == ["Collapse", "Copies", "Overfitting"]


@pytest.fixture
def contrast() -> Iterator[list[Examined]]:
    """Two metrics from outside with one function, entered as anybody would; what that function was called with."""
    calls = []

    def measure(examined: Examined) -> dict[str, Any]:
        calls.append(examined)
        spread, on_real = float(examined.generated.std()), float(examined.real.std())
        return {"contrast": spread, "contrast_on_real": on_real, "contrast_error": abs(spread - on_real) / on_real}

    MEASURES["contrast"] = Measure(
        measure,
        "Contrast of pixels",
        "higher",
        "number",
        "Standard deviation of all pixels.",
        on_real="contrast_on_real",
        alarm=lambda numbers: "Pale: raise it." if numbers["contrast"] < 1e3 else None,
        in_curves=True,
    )
    MEASURES["contrast_error"] = Measure(measure, "Contrast missed", "lower", "share", "How far it is from real.")
    yield calls
    del MEASURES["contrast"], MEASURES["contrast_error"]


def test_a_metric_from_outside_is_one_entry(dataset: CaptionedImages, contrast: list[Examined], tmp_path: Path) -> None:
    evaluation = evaluate_model(Painter(dataset), dataset, num_images=2, seed=3)
    numbers = evaluation.numbers
    assert len(contrast) == 1  # Two entries, one function.
    assert contrast[0].by_caption.shape[:2] == (len(evaluation.captions), 2)
    assert contrast[0].repeated[:2] == [evaluation.captions[0]] * 2
    assert numbers["contrast"] == evaluation.generated.std()
    assert "Pale: raise it." in warnings_for(numbers)
    row = next(row for row in described(numbers) if row["key"] == "contrast")
    assert (row["label"], row["value"], row["on_real"]) == ("Contrast of pixels", numbers["contrast"], row["on_real"])
    assert row["on_real"] == evaluation.real.std()
    page = render_run(RunPage(title="Run", metrics=described(numbers)))
    assert "Contrast of pixels" in page
    assert "Contrast missed" in page

    result = {"status": "finished", "message": "", "steps": 1, "images_seen": 4, "minutes": 1.0, "curve": []}
    result |= {"num_train": 1, "num_held_out": 1, "metrics": numbers, "resources": {}}
    config = ComparisonConfig(RunConfig("shapes"), ("compact", "mlp"), minutes=1.0, num_seeds=1)
    comparison = summarize(config, {("compact", 0): result})
    assert comparison["metrics"][-2]["on_real"] == numbers["contrast_on_real"]
    header, _, compact = [line for line in markdown(comparison).splitlines() if line.startswith("|")][:3]
    cells = dict(zip(header.split(" | "), compact.split(" | "), strict=True))
    assert cells["Contrast of pixels"] == f"{numbers['contrast']:.3g}"
    assert cells["Contrast missed"].endswith(" %")
    assert "Contrast of pixels" in render_comparison(comparison, {})
    file = tmp_path / "compact-0.json"
    file.write_text(json.dumps({**result, "metrics": {"contrast": 3.0, "contrast_error": 0.5}}))
    assert _outcome(file).endswith("; contrast 3")

    split = dataset.validation_split
    assert split is not None
    chosen = np.arange(4)
    instruments = SimpleNamespace(features=None, attributes=None)
    point = _quick_metrics(evaluation.generated[:4, 0], split.pixels(chosen), split, chosen, instruments)
    assert point["contrast"] == evaluation.generated[:4, 0].std()
    kept = {name for name in point if not name.startswith(("spectrum_", "hatching"))}
    assert kept == {"contrast", "contrast_on_real", "contrast_error", "diversity", "diversity_typical"}


def test_what_was_taken_out_is_gone(dataset: CaptionedImages) -> None:
    assert "contrast" not in MEASURES
    assert "contrast" not in evaluate_model(Painter(dataset), dataset, num_images=1, max_images=4).numbers
