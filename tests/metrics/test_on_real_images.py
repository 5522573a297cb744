"""On real images the measures move as they should: with damage, with lost variety, and with wrong captions."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import keras_t2i
from keras_t2i.data import SHAPE_ATTRIBUTES, shapes
from keras_t2i.image_features import ImageFeatures
from keras_t2i.metrics import AttributeJudge, Retriever, frechet_distance, kernel_distance, manifold_metrics
from keras_t2i.metrics.instruments import image_features_for

SHARED = Path(__file__).resolve().parents[3] / "shared"
FLOWERS, WEIGHTS = SHARED / "data" / "flowers102", SHARED / "weights" / "mobilenet_v2_imagenet.npz"
SHAPE_JUDGE = Path(keras_t2i.__file__).parent / "metrics" / "judges" / "shapes.npz"
SIZE = 200


def read(rows: list[dict]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(FLOWERS / row["file_name"]).resize((64, 64))) for row in rows])


def blurred(images: np.ndarray, radius: float) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius))) for image in images])


def noisy(images: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def measured(real: np.ndarray, candidates: np.ndarray) -> dict[str, float]:
    kernel = kernel_distance(real, candidates)
    return {
        "kernel": kernel.value,
        "kernel_low": kernel.low,
        "kernel_high": kernel.high,
        "frechet": frechet_distance(real, candidates),
        **manifold_metrics(real, candidates),
    }


@pytest.fixture(scope="module")
def flowers() -> dict[str, list[dict[str, float]]]:
    """What is measured of photos against other photos, in a series for each damage, from none on."""
    if not FLOWERS.is_dir() or not WEIGHTS.is_file():
        pytest.skip("needs the shared photos of flowers and the shared weights of MobileNetV2")
    rows = [json.loads(line) for line in (FLOWERS / "metadata.jsonl").read_text().splitlines()]
    rows = [rows[number] for number in np.random.default_rng(0).permutation(len(rows))]
    ranked = [name for name, _ in Counter(row["class_name"] for row in rows).most_common()]
    features = ImageFeatures.from_preset(WEIGHTS)
    real, images = features(read(rows[:SIZE])), read(rows[SIZE : 2 * SIZE])
    candidates = features(images)

    def of_species(count: int) -> np.ndarray:
        return features(read([row for row in rows[SIZE:] if row["class_name"] in ranked[:count]][:SIZE]))

    damaged = {
        "blur": [features(blurred(images, radius)) for radius in (1, 2)],
        "noise": [features(noisy(images, deviation)) for deviation in (20, 60)],
        "species": [of_species(count) for count in (3, 1)],
        "duplicates": [np.resize(candidates[: SIZE // divisor], candidates.shape) for divisor in (2, 8)],
    }
    return {damage: [measured(real, each) for each in (candidates, *series)] for damage, series in damaged.items()}


def assert_moves(series: list[dict[str, float]], measure: str, direction: int) -> None:
    values = [numbers[measure] for numbers in series]
    assert np.all(np.diff(values) * direction > 0), f"{measure}: {values}"


def test_photos_differ_least_from_other_photos(flowers: dict[str, list[dict[str, float]]]) -> None:
    undamaged = flowers["blur"][0]
    assert undamaged["kernel_low"] < 0 < undamaged["kernel_high"]
    for damage, series in flowers.items():
        for numbers in series[1:]:
            assert numbers["kernel"] > undamaged["kernel"], damage
            assert numbers["frechet"] > undamaged["frechet"], damage


@pytest.mark.parametrize("damage", ["blur", "noise"])
def test_more_damage_moves_photos_farther_away(flowers: dict[str, list[dict[str, float]]], damage: str) -> None:
    for measure, direction in {"kernel": 1, "frechet": 1, "precision": -1, "density": -1, "coverage": -1}.items():
        assert_moves(flowers[damage], measure, direction)
    assert flowers[damage][1]["kernel_low"] > 0


def test_fewer_species_show_in_recall_and_coverage(flowers: dict[str, list[dict[str, float]]]) -> None:
    undamaged, _, one_species = flowers["species"]
    for measure, direction in {"recall": -1, "kernel": 1}.items():
        assert_moves(flowers["species"], measure, direction)
    assert one_species["recall"] < 0.5 * undamaged["recall"]
    # Among two photos a species, the ball of a photo reaches into others, so that coverage falls by little.
    assert one_species["coverage"] < undamaged["coverage"] - 0.02
    # Each photo is as good as before: what is lost is variety.
    assert one_species["precision"] > 0.9 * undamaged["precision"]


def test_repeated_photos_show_in_recall_and_coverage(flowers: dict[str, list[dict[str, float]]]) -> None:
    for measure, direction in {"recall": -1, "coverage": -1, "kernel": 1}.items():
        assert_moves(flowers["duplicates"], measure, direction)
    assert flowers["duplicates"][2]["recall"] == 0.0  # Each photo's five nearest are copies of it.


def test_judge_scores_another_images_caption_lower() -> None:
    dataset = shapes(64)
    features = image_features_for("auto", AttributeJudge.load(SHAPE_ATTRIBUTES, SHAPE_JUDGE), "shapes-judge")
    train, held_out = dataset.train_split, dataset.validation_split
    assert held_out is not None
    random = np.random.default_rng(0)
    shown = random.permutation(train.num_images)[:1500]
    judge = Retriever(features)
    judge.fit(train.pixels(shown), [[train.captions[position] for position in train.caption_ids[i]] for i in shown])
    images = judge.image_embeddings(held_out.pixels(np.arange(held_out.num_images)))
    texts = judge.text_embeddings([held_out.captions[position] for position in held_out.caption_of_each()])
    own = np.sum(images * texts, axis=1)
    for shift in (1, held_out.num_images // 2):  # Neighbors in the order of attributes differ by little.
        assert np.mean(np.sum(images * np.roll(texts, shift, axis=0), axis=1) < own) >= 0.95
