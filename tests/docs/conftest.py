"""A working directory for the pages: a folder of images and a run, made once, and time that is not spent twice."""

from __future__ import annotations

import colorsys
import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras_nlp
import pytest
import tensorflow as tf
from checks import tiny_gan
from command_line import keras_t2i, write_rows
from doc_pages import FEATURES, MINUTES, ROOT, TINY, cut
from keras_t2i.augmentation import CaptionAugmentation
from PIL import Image, ImageDraw
from tiny_image_networks import write_mobilenet_v2

from keras_t2i import TextToImageGAN
from keras_t2i.text import CaptionEncoder, TextEncoder

MANY_CAPTIONS = 300


def traced(function: Callable[..., Any], when: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
    """The function with its graphs, where these are worth tracing."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        eager = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(eager and not when(*arguments))
        try:
            return function(*arguments, **options)
        finally:
            tf.config.run_functions_eagerly(eager)

    return wrapped


def write_captioned_images(folder: Path, count: int = 24) -> None:
    """Small drawings, each a disk of one color at one side, with their captions."""
    folder.mkdir()
    rows = []
    for number in range(count):
        name = ("red", "yellow", "green", "blue")[number % 4]
        side, x = (("left", 10), ("right", 30))[number // 4 % 2]
        color = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(number % 4 / 4, 0.9, 0.9))
        image = Image.new("RGB", (40, 36 + number), "white")
        ImageDraw.Draw(image).ellipse((x - 8, 10, x + 8, 26), fill=color)
        image.save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "text": [f"a {name} disk", f"a {name} disk on the {side}"]})
    write_rows(folder, rows)


_from_preset = functools.cache(keras_nlp.models.TextEmbedder.from_preset)
"""Every page loads the packaged text encoder, which is never trained."""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds what the pages take for granted: `my_images`, `my_run`, a small model, a picture, a mask, and sketches."""
    path = tmp_path_factory.mktemp("docs")
    Image.linear_gradient("L").save(path / "picture.png")
    write_mobilenet_v2(path / FEATURES)
    Image.linear_gradient("L").point(lambda value: 255 * (value > 128)).save(path / "mask.png")
    shutil.copytree(ROOT / "examples" / "sketches", path / "examples" / "sketches")
    (path / "captions.txt").write_text("a large red star\na small blue ring\n")
    write_captioned_images(path / "my_images")
    gan = tiny_gan(
        "compact", TextEncoder.from_preset("caption_mini_en"), caption_augmentation=CaptionAugmentation(dropout=0.1)
    )
    gan.save_to_preset(path / TINY, card={"data": "shapes"})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        tf.config.run_functions_eagerly(True)
        try:
            command = cut(["train", "my_images", "--output", "my_run", "--minutes", "60"])
            done = keras_t2i(*command)
        finally:
            tf.config.run_functions_eagerly(False)
    assert done.code == 0, done.err
    return path


@pytest.fixture
def in_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory is the pages', caches are its own, and a step is computed without tracing it first."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    monkeypatch.setenv("KERAS_T2I_MINUTES", MINUTES)
    monkeypatch.setenv("KERAS_T2I_IMAGES", "24")
    # Two steps of training take less time than their graph takes to trace; other tests train in graphs.
    monkeypatch.setattr(TextToImageGAN, "export", traced(TextToImageGAN.export))
    many = traced(CaptionEncoder.encode, lambda _, captions: len(captions) > MANY_CAPTIONS)
    monkeypatch.setattr(CaptionEncoder, "encode", many)
    monkeypatch.setattr(keras_nlp.models.TextEmbedder, "from_preset", _from_preset)
    tf.config.run_functions_eagerly(True)
    yield place
    tf.config.run_functions_eagerly(False)
