"""`keras-t2i stylize`, with real files, as a user would: in one go or in parts, and what is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import keras_t2i, write_images
from PIL import Image
from tiny_image_networks import write_mobilenet_v2

from keras_t2i.core import provenance
from keras_t2i.models import Stylizer

_TRAIN = ("stylize", "train", "style.png", "--features", "weights.npz", "--content", "images", "--image-size", 64)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, eager_training: None) -> Path:
    """A style, pictures without captions, and two runs: one in one go, one in two."""
    place = tmp_path_factory.mktemp("styling")
    write_images(place / "images", 8)
    write_mobilenet_v2(place / "weights.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        Image.effect_mandelbrot((80, 60), (-2, -1, 1, 1), 30).convert("RGBA").save("style.png")
        for output, steps in (("run", 3), ("parts", 1), ("parts", 3)):
            done = keras_t2i(*_TRAIN, "-o", output, "--steps", steps)
            assert done.code == 0, done.err
            assert done.json["steps"] == steps
    return place


@pytest.fixture(scope="module")
def load() -> Callable[[Any], Any]:
    return functools.cache(Stylizer.from_preset)


@pytest.fixture(autouse=True)
def here(place: Path, load: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stylizer, "from_preset", lambda name: load(str(name)))  # Read once for all commands.
    monkeypatch.chdir(place)


def read(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_run_in_parts_ends_as_the_whole_one() -> None:
    whole, parts = Stylizer.from_preset("run"), Stylizer.from_preset("parts")
    assert whole.fingerprint() == parts.fingerprint()
    assert whole.card["style"] == "style.png"
    assert whole.card["content"] == "images"
    assert list(Path("run/grids").glob("epoch-*.png"))


def test_pictures_are_drawn_at_their_size_with_their_transparency_and_say_so() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 50, 4), dtype=np.uint8)
    Image.fromarray(pixels).save("clear.png")
    Image.fromarray(pixels[..., :3]).save("plain.jpg")
    done = keras_t2i("stylize", "apply", "run", "clear.png", "plain.jpg", "-o", "drawn")
    assert done.code == 0, done.err
    clear, plain = map(read, done.json["images"])
    assert clear.shape == (30, 50, 4)
    assert plain.shape == (30, 50, 3)
    np.testing.assert_array_equal(clear[..., 3], pixels[..., 3])
    assert provenance.inspect("drawn/plain.png")["style"] == "style.png"
    np.testing.assert_array_equal(read("clear.png"), pixels)
    small = keras_t2i("stylize", "apply", "run", "clear.png", "--size", 25, "-o", "small")
    assert read(small.json["images"][0]).shape == (15, 25, 4)


def test_an_export_is_described() -> None:
    done = keras_t2i("stylize", "export", "run", "-o", "litert", "--height", 32, "--width", 64)
    assert done.code == 0, done.err
    assert done.json["inputs"]["images"]["shape"] == [1, 32, 64, 3]
    assert Path("litert/stylizer.tflite").is_file()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("apply", "images", "style.png"), "has no preset in it"),
        (("apply", "shapes_64", "style.png"), "holds no stylizer: `keras-t2i stylize train` makes one"),
        (("apply", "run", "weights.npz"), "'weights.npz' cannot be read: not an image"),
        (("apply", "run", "nowhere.png"), "No such file or directory: nowhere.png"),
        (("apply", "run", "style.png", "-o", "."), "'style.png' would be written over"),
        (("apply", "run", "style.png", "images/../style.png"), "Two pictures would become style.png"),
        (("train", "weights.npz", "-o", "x"), "cannot be read: not an image"),
        (("train", "thin.png", "-o", "x"), "at most 8 times as long as wide"),
        (
            ("train", "style.png", "-o", "x", "--features", "nowhere.npz"),
            "There is no file of image features at nowhere",
        ),
        (("train", "style.png", "-o", "x", "--features", "style.png"), "a file of its weights, .npz; got 'style.png'"),
        (("train", "style.png", "-o", "x", "--features", "weights.npz", "--content", "missing"), "missing"),
        (
            ("train", *map(str, _TRAIN[2:]), "-o", "run", "--steps", "4", "--style-weight", "9"),
            "other settings: style_weight",
        ),
        (("export", "run", "-o", "x", "--height", "33"), "Sizes are multiples of 4"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(command: tuple[str, ...], words: str) -> None:
    Image.new("RGB", (4, 400)).save("thin.png")
    done = keras_t2i("stylize", *command)
    assert done.code == 2
    assert done.out == ""
    last = [line for line in done.err.splitlines() if line][-1]
    assert last.startswith("Error: ")
    assert words in last, done.err
    assert not Path("x").exists() or not list(Path("x").iterdir())
