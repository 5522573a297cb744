"""A tiny model that images guide, and pictures of every kind that it may be asked to complete."""

from __future__ import annotations

from typing import Any

import numpy as np
from checks import move_average, tiny_gan

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.transfer.strategies import apply

CAPTION = "a large red star"
SIZES = ((32, 32), (20, 24), (150, 201), (90, 40), (5, 7))
"""The size that it draws, less, so large that a hole is cut out, so narrow that a square does not fit, and tiny."""


def tiny_guided(image_input: str, text_encoder: Any) -> TextToImageGAN:
    gan = tiny_gan("compact", text_encoder)
    move_average(gan)
    apply(f"{image_input}:width=4", gan)
    move_average(gan, 0.05, seed=1)
    return gan


def random_pictures() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Smooth pictures with some noise, and of each a mask; the fourth hole is longer than its picture is wide."""
    random = np.random.default_rng(5)
    pictures, masks = [], []
    for height, width in SIZES:
        waves = 60 * np.sin(np.arange(height)[:, None, None] / 9 + np.arange(width)[None, :, None] / 7 + np.arange(3))
        pictures.append((128 + waves + random.integers(0, 30, (height, width, 3))).astype(np.uint8))
        mask = np.zeros((height, width), bool)
        mask[height // 4 : height // 2 + 1, width // 3 : width // 3 + max(2, width // 5)] = True
        masks.append(mask)
    masks[3][4:86, 20:30] = True
    return pictures, masks


def assert_completed(found: Any, expected: Any, pictures: list[np.ndarray], masks: list[np.ndarray]) -> None:
    """That known pixels are the same to the bit, and those of holes at most one level apart."""
    often = len(expected) // len(pictures)
    assert len(found) == len(expected)
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        picture, mask = pictures[number // often], masks[number // often]
        np.testing.assert_array_equal(ours[~mask], picture[~mask])
        assert np.abs(ours.astype(int) - theirs).max() <= 1
        assert (ours[mask] != picture[mask]).mean() > 0.5
