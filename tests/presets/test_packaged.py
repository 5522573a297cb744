"""The packaged model that draws from sketches: forms are the sketch's, colors the caption's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from keras_t2i.models.gan import TextToImageGAN

SKETCHES = Path(__file__).resolve().parents[2] / "examples" / "sketches"
CHANNELS = {"red": [0], "green": [1], "blue": [2], "yellow": [0, 1]}


@pytest.fixture(scope="module")
def gan() -> TextToImageGAN:
    return TextToImageGAN.from_preset("emoji_128_sketch")


@pytest.mark.parametrize("color", CHANNELS)
def test_a_sketch_is_filled_with_the_color_that_is_asked_for(gan: TextToImageGAN, color: str) -> None:
    names = ["apple", "fish", "heart", "car"]
    sketches = [Image.open(SKETCHES / f"{name}.png").convert("RGB") for name in names]
    captions = [f"a {color} {name}" for name in names]
    drawn = gan.complete([np.asarray(sketch) for sketch in sketches], None, captions, seed=1).astype(int)
    for sketch, drawing in zip(sketches, drawn, strict=True):
        filled = sketch.resize((128, 128))
        ImageDraw.floodfill(filled, (0, 0), (255, 0, 255), thresh=60)
        outside = (np.asarray(filled) == [255, 0, 255]).all(axis=-1)
        shape, paper = drawing[~outside], drawing[outside]
        assert (paper.min(axis=-1) > 200).mean() > 0.95
        assert (shape.min(axis=-1) < 200).mean() > 0.75
        strong = shape.mean(axis=0)[CHANNELS[color]].min()
        weak = np.delete(shape.mean(axis=0), CHANNELS[color]).max()
        assert strong > weak + 40


def test_without_a_sketch_it_draws_as_the_model_that_it_was_made_of(gan: TextToImageGAN) -> None:
    captions = ["a blue car, 3d style", "crying face"]
    alone, before = (
        model.generate(captions, seed=1).astype(int) for model in (gan, TextToImageGAN.from_preset("emoji_128"))
    )
    assert np.abs(alone - before).max() <= 1
