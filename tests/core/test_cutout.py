"""Holes in pictures of any size: what a model sees of them, and that nothing else of the picture changes."""

from __future__ import annotations

import numpy as np
import pytest

from keras_t2i.core.cutout import Cutout, central_square

RANDOM = np.random.default_rng(0)


def picture(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def hole(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[rows, columns] = True
    return mask


@pytest.mark.parametrize(
    ("shape", "rows", "columns", "box"),
    [
        ((64, 64), slice(10, 50), slice(10, 30), (0, 0, 64)),  # As large as the model draws: looked at whole.
        ((100, 100), slice(40, 60), slice(40, 60), (0, 0, 100)),  # Hardly larger.
        ((300, 400), slice(100, 150), slice(200, 300), (150, 25, 200)),  # Twice the hole, about its middle.
        ((300, 400), slice(0, 50), slice(350, 400), (272, 0, 128)),  # In a corner.
        ((50, 200), slice(10, 40), slice(20, 180), (20, -55, 160)),  # Longer than the picture is high.
        ((20, 30), slice(0, 20), slice(0, 30), (0, -5, 30)),  # All of a picture smaller than the model draws.
    ],
)
def test_the_square_is_around_the_hole_and_within_the_picture_where_it_can_be(
    shape: tuple[int, int], rows: slice, columns: slice, box: tuple[int, int, int]
) -> None:
    cut = Cutout.of(picture(*shape), hole(*shape, rows, columns), 64)
    assert (cut.left, cut.top, cut.side) == box
    assert cut.pixels.shape == (64, 64, 3)
    assert cut.hole.shape == (64, 64)
    assert cut.hole.any()


@pytest.mark.parametrize("shape", [(64, 64), (37, 90), (201, 143), (500, 333)])
def test_the_known_part_stays_and_the_hole_is_what_was_drawn(shape: tuple[int, int]) -> None:
    before, mask = picture(*shape), RANDOM.random(shape) < 0.02
    mask[10:30, 5:20] = True
    cut = Cutout.of(before, mask, 64)
    after = cut.put_back(before, mask, np.full((64, 64, 3), 77, np.uint8))
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert (after[mask] == 77).all()


@pytest.mark.parametrize("shape", [(64, 64), (50, 40), (150, 333), (400, 300)])
def test_nothing_of_what_the_hole_hides_is_seen(shape: tuple[int, int]) -> None:
    before, mask = picture(*shape), hole(*shape, slice(13, 38), slice(7, 29))
    other = np.where(mask[..., None], picture(*shape), before)
    first, second = Cutout.of(before, mask, 64), Cutout.of(other, mask, 64)
    np.testing.assert_array_equal(first.hole, second.hole)
    np.testing.assert_array_equal(first.pixels[~first.hole], second.pixels[~second.hole])


def test_a_completed_square_keeps_its_place_and_proportions() -> None:
    """What is drawn is where it is seen: a picture that is smooth comes back as it was."""
    y, x = np.mgrid[0:300, 0:420]
    smooth = np.stack([x * 255 / 420, y * 255 / 300, 255 - x * 255 / 420], axis=-1).astype(np.uint8)
    mask = hole(300, 420, slice(120, 220), slice(200, 330))
    cut = Cutout.of(smooth, mask, 64)
    after = cut.put_back(smooth, mask, cut.pixels)
    assert np.abs(after.astype(int) - smooth).max() <= 4


def test_the_central_square_is_cut() -> None:
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = 200
    square = central_square(wide, 64)
    assert square.shape == (64, 64, 3)
    assert (square == 200).all()
