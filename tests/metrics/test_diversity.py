"""Pairwise distance is what it says: the root mean square distance over all pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from keras_t2i.metrics import pairwise_distance


def test_equals_the_definition_pair_by_pair() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 5, 4, 3), dtype=np.uint8)
    squares = [np.mean((a.astype(float) - b.astype(float)) ** 2) for a, b in itertools.combinations(images, 2)]
    assert pairwise_distance(images) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-12)


def test_collapse_is_zero_and_black_to_white_is_the_full_range() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert pairwise_distance(np.stack([black] * 5)) == 0.0
    assert pairwise_distance(np.stack([black, white])) == pytest.approx(255.0)


@pytest.mark.parametrize("count", [0, 1])
def test_needs_two_images(count: int) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        pairwise_distance(np.zeros((count, 4, 4, 3), np.uint8))
