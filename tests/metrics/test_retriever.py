"""A retriever trained on real pairs tells right captions from wrong ones, whatever their words, also when reloaded."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

import keras_t2i
from keras_t2i.data import ATTRIBUTES, render_shapes, shape_captions, shapes
from keras_t2i.image_features import CachedImageFeatures, ImageFeatures
from keras_t2i.metrics import AttributeJudge, Retriever, evaluate_text_image
from keras_t2i.metrics.retriever import contrastive_loss

SHAPE_JUDGE = Path(keras_t2i.__file__).parent / "metrics" / "judges" / "shapes.npz"
SHARED = Path(__file__).resolve().parents[3] / "shared"


def shape_features(with_maps: bool = True) -> ImageFeatures:
    """Features of the packaged judge of shapes: its last hidden layer and, as maps, its activations."""
    network = AttributeJudge.load(ATTRIBUTES, SHAPE_JUDGE).network
    maps = {layer.name: layer.output for layer in network.layers if isinstance(layer, layers.ReLU) and with_maps}
    return ImageFeatures(keras.Model(network.input, {"pool": network.layers[-2].output, **maps}), "shapes-64")


def rendered(labels: np.ndarray, seed: int) -> np.ndarray:
    seeds = np.stack([np.full(len(labels), seed), np.arange(len(labels))], axis=1)
    return np.rint((render_shapes(labels, seeds, 64).numpy() + 1) * 127.5).astype(np.uint8)


@pytest.fixture(scope="module")
def labels() -> dict[str, np.ndarray]:
    """Attributes to train on and, of combinations never trained on, to judge."""
    dataset = shapes(64)
    assert dataset.train_split.labels is not None
    assert dataset.validation_split is not None
    assert dataset.validation_split.labels is not None
    random = np.random.default_rng(0)
    return {
        "train": random.permutation(dataset.train_split.labels)[:700],
        "held out": random.permutation(dataset.validation_split.labels)[:200],
    }


@pytest.fixture(scope="module")
def features() -> ImageFeatures:
    return shape_features()


@pytest.fixture(scope="module")
def retriever(features: ImageFeatures, labels: dict[str, np.ndarray]) -> Retriever:
    retriever = Retriever(features)
    retriever.fit(rendered(labels["train"], seed=1), [shape_captions(row) for row in labels["train"]])
    return retriever


@pytest.fixture(scope="module")
def images(labels: dict[str, np.ndarray]) -> np.ndarray:
    return rendered(labels["held out"], seed=2)


def captions_of(labels: np.ndarray, phrasing: int = 0) -> list[str]:
    return [shape_captions(row)[phrasing] for row in labels]


def cosines(retriever: Retriever, images: np.ndarray, captions: list[str]) -> np.ndarray:
    return np.sum(retriever.image_embeddings(images) * retriever.text_embeddings(captions), axis=1)


@pytest.mark.parametrize("phrasing", [0, 5])
def test_captions_of_other_images_score_lower(
    retriever: Retriever, images: np.ndarray, labels: dict[str, np.ndarray], phrasing: int
) -> None:
    right = captions_of(labels["held out"], phrasing)
    lower = cosines(retriever, images, np.roll(right, 1).tolist()) < cosines(retriever, images, right)
    assert lower.mean() >= 0.95


@pytest.mark.parametrize("attribute", list(ATTRIBUTES))
def test_one_wrong_word_lowers_the_score(
    retriever: Retriever, images: np.ndarray, labels: dict[str, np.ndarray], attribute: str
) -> None:
    wrong, column, count = labels["held out"].copy(), list(ATTRIBUTES).index(attribute), len(ATTRIBUTES[attribute])
    wrong[:, column] = (wrong[:, column] + 1 + np.arange(len(wrong)) % (count - 1)) % count
    lower = cosines(retriever, images, captions_of(wrong)) < cosines(retriever, images, captions_of(labels["held out"]))
    assert lower.mean() >= 0.8


def test_result_on_held_out_shapes_is_far_above_chance_and_that_of_noise_is_not(
    retriever: Retriever, images: np.ndarray, labels: dict[str, np.ndarray]
) -> None:
    captions = captions_of(labels["held out"])
    noise = np.random.default_rng(3).integers(0, 256, images.shape, dtype=np.uint8)
    result = evaluate_text_image(retriever, noise, captions, images, captions)
    assert result["r_precision_on_real"] >= 0.5
    assert result["r_precision_chance"] == 0.01
    assert result["r_precision"] <= 0.06
    assert result["judge"] == "retriever-shapes-64"


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch(retriever: Retriever, images: np.ndarray) -> None:
    captions = ["a small red star", "star", "a large green heart at the top left on a gray background " * 3]
    together = retriever.text_embeddings(captions)
    for caption, embedding in zip(captions, together, strict=True):
        np.testing.assert_allclose(retriever.text_embeddings([caption])[0], embedding, atol=1e-5)
    embedded = retriever.image_embeddings(images[:70])
    np.testing.assert_allclose(retriever.image_embeddings(images[69:70]), embedded[69:], atol=1e-5)
    for rows in (together, embedded):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


def test_unseen_words_are_read_by_their_parts(retriever: Retriever) -> None:
    known, misspelt, other = retriever.text_embeddings(
        ["a large triangle, purple", "a large triangles, purplish", "a small heart, orange"]
    )
    assert known @ misspelt > known @ other + 0.2
    strange = ["", "   ", "红色的星星在蓝色背景上", "\U0001f31f", "a\0b", "half a pair \ud83d", "s" * 5000]
    assert np.isfinite(retriever.text_embeddings(strange)).all()


def test_order_of_words_and_nothing_but_case_is_read(retriever: Retriever) -> None:
    one, swapped, upper = retriever.text_embeddings(
        ["a red star on a blue background", "a blue star on a red background", "A Red STAR on a blue background"]
    )
    assert one @ swapped < 0.999
    np.testing.assert_allclose(one, upper, atol=1e-6)


def test_reloaded_judge_gives_the_same_numbers(
    retriever: Retriever, features: ImageFeatures, images: np.ndarray, tmp_path: Path
) -> None:
    retriever.save(tmp_path / "judge.npz")
    cached = CachedImageFeatures(features, tmp_path / "cache")
    for given in (features, cached):
        reloaded = Retriever.load(tmp_path / "judge.npz", given)
        assert reloaded.name == retriever.name
        np.testing.assert_array_equal(reloaded.image_embeddings(images[:8]), retriever.image_embeddings(images[:8]))
        np.testing.assert_array_equal(reloaded.text_embeddings(["a star"]), retriever.text_embeddings(["a star"]))
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["judge.npz"]


def test_other_features_and_other_files_are_refused(
    retriever: Retriever, features: ImageFeatures, tmp_path: Path
) -> None:
    path = tmp_path / "judge.npz"
    retriever.save(path)
    untrained = ImageFeatures(keras.models.clone_model(features.network), "shapes-64")
    with pytest.raises(ValueError, match="trained on other image features: shapes-64"):
        Retriever.load(path, untrained)
    with pytest.raises(ValueError, match="not a retriever, or is damaged"):
        Retriever.load(SHAPE_JUDGE, features)
    for cut in (100, path.stat().st_size // 2):
        (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:cut])
        with pytest.raises(ValueError, match="not a retriever, or is damaged") as error:
            Retriever.load(tmp_path / "cut.npz", features)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        Retriever.load(tmp_path / "none.npz", features)


def test_features_without_maps_will_do(labels: dict[str, np.ndarray], images: np.ndarray) -> None:
    retriever = Retriever(shape_features(with_maps=False))
    train = labels["train"][:200]
    retriever.fit(rendered(train, seed=1), captions_of(train))
    right = captions_of(labels["held out"])
    lower = cosines(retriever, images, np.roll(right, 1).tolist()) < cosines(retriever, images, right)
    assert lower.mean() >= 0.8


def test_captions_that_describe_both_images_of_a_batch_are_not_counted_against_either() -> None:
    logits = tf.constant([[2.0, 5.0], [-1.0, 3.0]])
    none, both = tf.eye(2, dtype=tf.bool), tf.ones((2, 2), tf.bool)
    rows = np.log1p(np.exp([5.0 - 2.0, -1.0 - 3.0])) + np.log1p(np.exp([-1.0 - 2.0, 5.0 - 3.0]))
    assert float(contrastive_loss(logits, none)) == pytest.approx(rows.mean() / 2, rel=1e-5)
    assert float(contrastive_loss(logits, both)) == pytest.approx(0.0, abs=1e-6)


def test_invalid_inputs_are_refused(features: ImageFeatures, retriever: Retriever) -> None:
    pixels = np.zeros((50, 64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="50 images and 49 captions"):
        Retriever(features).fit(pixels, ["a star"] * 49)
    with pytest.raises(ValueError, match="at least 40 images to be trained on; got 12"):
        Retriever(features).fit(pixels[:12], ["a star"] * 12)
    with pytest.raises(ValueError, match="image number 3 has none"):
        Retriever(features).fit(pixels, [["a star"]] * 3 + [[]] + [["a star"]] * 46)
    with pytest.raises(ValueError, match="must be a string; got 3"):
        retriever.text_embeddings(["a star", 3])
    with pytest.raises(ValueError, match="uint8"):
        retriever.image_embeddings(pixels / 255.0)
    for call in (lambda r: r.image_embeddings(pixels), lambda r: r.text_embeddings(["a"]), lambda r: r.save("x.npz")):
        with pytest.raises(ValueError, match="not trained yet"):
            call(Retriever(features))


def real_pairs(folder: str, split: str) -> tuple[np.ndarray, list[list[str]]]:
    """Photographs or drawings as small as a generator makes them, with their captions."""
    lines = (SHARED / "data" / folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == split]
    files = [SHARED / "data" / folder / row["file_name"] for row in rows]
    pixels = [Image.open(file).convert("RGB").resize((64, 64), Image.Resampling.LANCZOS) for file in files]
    return np.stack([np.asarray(image) for image in pixels]), [row["text"] for row in rows]


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(("folder", "at_least"), [("noto_emoji", 0.4), ("flowers102", 0.6)])
def test_names_of_real_held_out_images_are_found_among_a_hundred(folder: str, at_least: float) -> None:
    features = ImageFeatures.from_preset(SHARED / "weights" / "mobilenet_v2_imagenet.npz")
    retriever = Retriever(features)
    retriever.fit(*real_pairs(folder, "train"))
    images, captions = real_pairs(folder, "test")
    names = [own[0] for own in captions]
    result = evaluate_text_image(retriever, images[::-1], names, images, names)
    assert result["r_precision_on_real"] >= at_least
    assert result["r_precision_chance"] == 0.01
    assert result["r_precision"] <= 0.1
