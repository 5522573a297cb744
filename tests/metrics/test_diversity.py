"""Pairwise distance is what it says: the root mean square distance over all pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from keras_t2i.data import shapes
from keras_t2i.metrics import MEASURES, Examined, pairwise_distance, warnings_for


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


@pytest.mark.parametrize("num_modes", [1, 20])
def test_one_picture_for_most_captions_is_collapse_however_glaring_the_others(num_modes: int) -> None:
    """In the mean over all pairs, one image in ten that is black or white makes up for nine alike."""
    split = shapes(image_size=32).validation_split
    assert split is not None
    numbers = np.arange(0, 200)
    real, captions = split.pixels(numbers), tuple(split.captions[split.caption_ids[number][0]] for number in numbers)

    def told(generated: np.ndarray) -> tuple[float, list[str]]:
        found = MEASURES["diversity"].measure(Examined(split, captions, generated, real))
        return found["diversity"], warnings_for(found)

    collapsed = np.repeat(real[:1], 200, axis=0)
    collapsed[:num_modes] = np.where(np.arange(num_modes) % 2, 0, 255)[:, None, None, None]
    diversity, warned = told(collapsed)
    assert [text.partition(":")[0] for text in warned] == ["Collapse"]
    assert (diversity > 0.5) == (num_modes == 20)
    assert told(split.pixels(numbers, seed=7))[1] == []
    blurred = real.reshape(200, 8, 4, 8, 4, 3).mean(axis=(2, 4)).repeat(4, 1).repeat(4, 2).astype(np.uint8)
    assert told(blurred)[1] == []
