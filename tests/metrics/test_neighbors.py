"""Nearest neighbors are the nearest, found in little memory, and copies of training images are counted."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from reference_features import reference_features

from keras_t2i.metrics.neighbors import memorization, nearest_neighbors


@pytest.mark.parametrize("offset", [0.0, 1e7])
@pytest.mark.parametrize("block_size", [1, 7, 64, 1024])
def test_finds_the_nearest_whatever_the_blocks(block_size: int, offset: float) -> None:
    queries, references = reference_features(100, 64, 9)
    all_distances = np.linalg.norm(queries[:, None] - references, axis=2)
    indices, distances = nearest_neighbors(queries + offset, references + offset, block_size)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, all_distances.argmin(axis=1))
    np.testing.assert_allclose(distances, all_distances.min(axis=1), rtol=1e-7)


def test_copies_are_at_distance_zero_and_the_first_of_them_is_named() -> None:
    references, _ = reference_features(300, 10, 50)
    references = np.concatenate([references, references]).astype(np.float32)
    indices, distances = nearest_neighbors(references[::-1], references, block_size=128)
    np.testing.assert_array_equal(indices, np.tile(np.arange(300)[::-1], 2))
    np.testing.assert_array_equal(distances, 0.0)


def test_distances_of_near_copies_keep_their_digits() -> None:
    """The expanded square alone would leave none of them."""
    references, _ = reference_features(50, 10, 20)
    near = references + 1e-9
    np.testing.assert_allclose(nearest_neighbors(near, references)[1], 1e-9 * np.sqrt(20), rtol=1e-4)


def test_memory_is_bounded() -> None:
    queries, references = reference_features(6000, 6000, 2)
    tracemalloc.start()
    nearest_neighbors(queries, references)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000**2 * 8 / 4


def test_a_generator_as_good_as_reality_has_the_share_of_real_images() -> None:
    """In the mean over many draws, 5 %; 19 held-out images are enough for that, they only make it vary."""
    random = np.random.default_rng(0)
    for num_held_out in (19, 100):
        shares = [
            memorization(*(random.standard_normal((count, 5)) for count in (50, 200, num_held_out))).share
            for _ in range(200)
        ]
        assert np.mean(shares) == pytest.approx(0.05, abs=4 * np.std(shares) / np.sqrt(200))


@pytest.mark.parametrize("count", [1, 3, 6, 18, 19, 60, 400])
def test_chance_exceeds_its_share_once_in_a_hundred_times_at_most(count: int) -> None:
    """Other real images instead of generated ones: with few held out, a fixed limit would often be passed."""
    random = np.random.default_rng(count)
    found = [memorization(*(random.standard_normal((number, 2)) for number in (count, 30, count))) for _ in range(1000)]
    passed = [each.share > each.by_chance for each in found]
    assert np.mean(passed) <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 1000)
    assert len({each.by_chance for each in found}) == 1
    assert found[0].by_chance <= {1: 1.0, 3: 1.0, 6: 0.84, 18: 0.45, 19: 0.45, 60: 0.25, 400: 0.11}[count]


def test_counts_the_copies_and_names_their_originals() -> None:
    random = np.random.default_rng(0)
    train, held_out, fresh = (random.standard_normal((count, 20)) for count in (500, 200, 70))
    copied = random.choice(500, 30, replace=False)
    found = memorization(np.concatenate([train[copied] + 1e-3, fresh]), train, held_out)
    assert 0.3 <= found.share <= 0.3 + 0.7 * 0.15
    np.testing.assert_array_equal(found.indices[:30], copied)
    assert found.distances.shape == found.indices.shape == (100,)
    assert found.share == np.mean(found.distances <= found.threshold)
    assert found.distances[:30].max() < found.threshold


def test_copies_count_where_held_out_images_are_copies_too() -> None:
    train, _ = reference_features(40, 10, 5)
    found = memorization(train[:10], train, train[20:])
    assert (found.share, found.threshold) == (1.0, 0.0)


def test_far_images_copy_nothing() -> None:
    train, held_out = reference_features(100, 30, 5)
    assert memorization(held_out + 50.0, train, held_out).share == 0.0


def test_bad_input_is_refused() -> None:
    good = np.ones((4, 3))
    with pytest.raises(ValueError, match="`block_size` must be at least 1; got 0"):
        nearest_neighbors(good, good, block_size=0)
    with pytest.raises(ValueError, match="`references` needs at least 1 rows; got 0"):
        nearest_neighbors(good, good[:0])
    with pytest.raises(ValueError, match="`references` has 2 features a row and `queries` 3"):
        nearest_neighbors(good, good[:, :2])
    with pytest.raises(ValueError, match="`held_out` needs at least 1 rows; got 0"):
        memorization(good, good, good[:0])
