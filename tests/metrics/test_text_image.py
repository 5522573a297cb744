"""R-precision counts what it says, whatever the order of the images, and guessing scores the chance it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from keras_t2i.metrics.text_image import evaluate_text_image, r_precision, text_image_score


def embeddings(num_rows: int, seed: int, dim: int = 16) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(num_rows, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def numbered(count: int) -> list[str]:
    return [f"caption {number}" for number in range(count)]


def test_right_pairs_score_one_and_opposite_ones_nothing() -> None:
    texts = embeddings(120, seed=0)
    assert text_image_score(texts, texts) == pytest.approx(1.0, abs=1e-6)
    assert text_image_score(-texts, texts) == pytest.approx(-1.0, abs=1e-6)
    assert r_precision(texts, texts, numbered(120)) == (1.0, 0.01)
    assert r_precision(-texts, texts, numbered(120)).share == 0.0


def test_score_is_the_mean_cosine_whatever_the_lengths() -> None:
    images, texts = np.array([[2.0, 0.0], [3.0, 3.0]]), np.array([[0.5, 0.0], [0.0, 7.0]])
    assert text_image_score(images, texts) == pytest.approx((1.0 + np.sqrt(0.5)) / 2)


def test_images_unrelated_to_their_captions_score_about_the_chance() -> None:
    result = r_precision(embeddings(4000, seed=1), embeddings(4000, seed=2), numbered(4000), num_candidates=10)
    assert result.chance == 0.1
    assert result.share == pytest.approx(0.1, abs=0.02)  # four standard deviations


def test_judge_that_sees_no_difference_scores_exactly_the_chance() -> None:
    alike = np.ones((50, 8), np.float32)
    share, chance = r_precision(alike, alike, numbered(50), num_candidates=20)
    assert share == pytest.approx(chance)


def test_tie_for_the_first_place_counts_by_halves() -> None:
    images, texts = np.eye(3)[[0, 1, 2]], np.eye(3)[[0, 0, 2]]
    share, chance = r_precision(images, texts, ["one", "two", "three"])
    # The first image has two captions alike, the second is as far from all three, the third has its own.
    assert share == pytest.approx((1 / 2 + 1 / 3 + 1) / 3)
    assert chance == pytest.approx(1 / 3)


def test_order_of_the_images_does_not_matter() -> None:
    texts = embeddings(90, seed=3)
    images, captions = texts + 2.0 * embeddings(90, seed=4), numbered(90)
    order = np.random.default_rng(5).permutation(90)
    result = r_precision(images, texts, captions, num_candidates=20)
    assert 0.2 < result.share < 0.98
    assert r_precision(images[order], texts[order], [captions[i] for i in order], num_candidates=20) == result
    other_seeds = {r_precision(images, texts, captions, num_candidates=20, seed=seed) for seed in range(8)}
    assert len(other_seeds) > 1


def test_images_of_the_same_caption_are_no_candidates_for_each_other() -> None:
    texts, captions = np.repeat(embeddings(5, seed=6), 4, axis=0), [f"caption {n}" for n in range(5) for _ in range(4)]
    assert r_precision(texts, texts, captions) == (1.0, 0.2)


def test_invalid_inputs_are_refused() -> None:
    rows = embeddings(4, seed=7)
    with pytest.raises(ValueError, match="4 images and 3 texts"):
        text_image_score(rows, rows[:3])
    with pytest.raises(ValueError, match="4 images and 5 captions"):
        r_precision(rows, rows, numbered(5))
    with pytest.raises(ValueError, match="at least 2 different captions; got 1"):
        r_precision(rows, rows, ["same"] * 4)
    with pytest.raises(ValueError, match="at least 2, a caption and another; got 1"):
        r_precision(rows, rows, numbered(4), num_candidates=1)
    with pytest.raises(ValueError, match="row 2 is not"):
        text_image_score(np.where(np.arange(4)[:, None] == 2, np.nan, rows), rows)


class ColorJudge:
    """Embeds an image as its mean color, and a caption as the color it names."""

    name = "colors"
    colors: ClassVar = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}

    def image_embeddings(self, images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2)) / 255.0

    def text_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        return np.asarray([self.colors[caption] for caption in captions], np.float32)


def test_result_holds_the_judges_own_figure_beside_that_of_the_model() -> None:
    captions = ["red", "green", "blue"]
    real = np.zeros((3, 8, 8, 3), np.uint8)
    real[np.arange(3), ..., np.arange(3)] = 200
    generated = np.repeat(real[[0, 1, 0]], 2, axis=0)
    result = evaluate_text_image(ColorJudge(), generated, ["red"] * 2 + ["green"] * 2 + ["blue"] * 2, real, captions)
    assert result == {
        "text_image_score": pytest.approx(2 / 3),
        "r_precision": pytest.approx(2 / 3),
        "r_precision_on_real": 1.0,
        "r_precision_chance": pytest.approx(1 / 3),
        "judge": "colors",
    }
