"""The script that trains emoji_128: its parts go on from each other."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_t2i import data
from keras_t2i.text import TextEncoder

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "emoji_128"


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(FOLDER))
    yield runpy.run_path(str(FOLDER / "train.py"))
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder.from_preset("caption_mini_en")


def pictures(folder: Path) -> Path:
    for number, color in enumerate(["red", "green", "blue", "yellow"]):
        Image.new("RGB", (64, 64), color).save(folder / f"{color}.png")
        captions = [f"a {color} square", f"{color} square, flat style", f"a {color} square in 3d style"]
        (folder / f"{color}.txt").write_text("\n".join(captions[: 2 + number % 2]))
    return folder


def test_forms_are_learned_from_captions_that_name_a_style_and_kept_when_it_grows(script, encoder, tmp_path):
    everything = data.from_folder(pictures(tmp_path), image_size=32, batch_size=4, validation_share=0)
    images = script["images_of"](everything, True)
    split = images.train_split
    kept = {split.captions[number] for ids in split.caption_ids for number in ids}
    assert kept
    assert all(caption.endswith("style") for caption in kept)
    images = images.encode(encoder)
    generator = script["new_generator"](32, encoder.embedding_dim)
    generator.adapt(images.train_split.embeddings)

    def error() -> float:
        numbers = np.arange(4)
        real = split.pixels(numbers) / 127.5 - 1.0
        chosen = images.train_split.embeddings[[ids[0] for ids in split.caption_ids]]
        return float(np.mean((np.asarray(generator(np.zeros((4, 64), "float32"), chosen)) - real) ** 2))

    before = error()
    script["learn_forms"](generator, images, num_images=4 * 60)
    assert error() < 0.5 * before
    larger = script["new_generator"](64, encoder.embedding_dim)
    script["grow"](generator, larger)
    larger.center_like(generator)
    inputs = np.ones((1, 64), "float32"), images.train_split.embeddings[:1]
    for ours, theirs in zip(larger.features(*inputs), generator.features(*inputs), strict=False):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_noise_of_a_style_is_the_same_noise_with_its_greatest_number_at_the_place_of_the_style(script):
    latents = np.random.default_rng(0).normal(size=(50, 64)).astype("float32")
    for style in range(len(script["STYLES"])):
        turned = np.asarray(script["noise_of"](style, latents))
        assert (turned[:, :5].argmax(axis=1) == style).all()
        np.testing.assert_array_equal(np.sort(turned[:, :5]), np.sort(latents[:, :5]))
        np.testing.assert_array_equal(turned[:, 5:], latents[:, 5:])


def test_pictures_of_a_style_are_those_whose_captions_name_it(script, tmp_path):
    images = data.from_folder(pictures(tmp_path), image_size=32, batch_size=4, validation_share=0)
    for style, colors in (("flat", {"red", "green", "blue", "yellow"}), ("3d", {"green", "yellow"}), ("noto", None)):
        if colors is None:
            with pytest.raises(ValueError, match="at least one image"):
                script["images_of"](images, False, style)
            continue
        split = script["images_of"](images, False, style).train_split
        captions = [split.captions[number] for ids in split.caption_ids for number in ids]
        assert not [caption for caption in captions if "style" in caption]
        shown = {caption.split()[1] for caption in captions}
        assert len(split.pixels(np.arange(split.num_images))) == len(shown) == len(colors)
