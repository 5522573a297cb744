"""The style of a picture for a generator: what is trained, what stays, and that all downstream takes it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from checks import tiny_networks
from command_line import keras_t2i, write_images, write_rows
from PIL import Image
from pretrained_models import CAPTIONS, fit, moved, pretrained, refusal, values
from tiny_image_networks import write_mobilenet_v2

from keras_t2i import TextToImageGAN, transfer
from keras_t2i.networks import StyledGenerator
from keras_t2i.text import TextEncoder
from keras_t2i.transfer.strategies import apply, located


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("styling")
    write_mobilenet_v2(place / "weights.npz")
    Image.effect_mandelbrot((80, 60), (-2, -1, 1, 1), 30).convert("RGB").save(place / "style.png")
    return place


def spec(place: Path, **settings: object) -> str:
    given = {"image": place / "style.png", "features": place / "weights.npz", "width": 4, "depth": 1, **settings}
    return ":".join(["style", *(f"{name}={value}" for name, value in given.items())])


def test_a_network_behind_the_generator_is_trained_and_nothing_else(place: Path) -> None:
    gan = pretrained()
    plan = apply(spec(place), gan, embeddings=CAPTIONS)
    assert isinstance(gan.generator, StyledGenerator)
    assert {weight.layer.partition("/")[0] for weight in plan.trained} == {"stylizer"}
    before = {side: values(gan, side) for side in ("generator", "discriminator")}
    gan.compile(generator_terms=plan.terms, run_eagerly=True)
    fit(gan)
    # But for biases, which normalization takes away again.
    changed = set().union(*(moved(before[side], values(gan, side)) for side in before))
    assert {weight.path for weight in plan.trained if weight.name != "bias"} <= changed
    assert changed <= {weight.path for weight in plan.trained}


def test_what_cannot_be_is_refused_in_a_line(place: Path) -> None:
    assert "needs a picture: style:image=FILE" in refusal(apply, "style", pretrained(), embeddings=CAPTIONS)
    assert "from 32 to 1024 pixels; got 8" in refusal(apply, spec(place, size=8), pretrained(), embeddings=CAPTIONS)
    damaged = spec(place, image=place / "weights.npz")
    assert "cannot be read" in refusal(apply, damaged, pretrained(), embeddings=CAPTIONS)
    guided = pretrained()
    transfer.guide(guided, "edges", width=4)
    assert "images guide this one" in refusal(apply, spec(place), guided, embeddings=CAPTIONS)


def test_files_are_found_from_everywhere_and_folders_not_told(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.chdir(place)
    assert located("style:image=style.png:weight=2+full") == f"style:image={place / 'style.png'}:weight=2+full"
    told = located("style:features=mobilenet_v2:image=a/b.png", os.path.basename)
    assert told == "style:features=mobilenet_v2:image=b.png"
    assert located("lora:rank=8") == "lora:rank=8"


@pytest.mark.usefixtures("eager_training")
def test_a_run_is_as_any_other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))
    write_rows(place / "images", write_images(place / "images", 6))
    TextToImageGAN(TextEncoder.from_preset("caption_mini_en"), *tiny_networks("compact")).save_to_preset("small")
    strategy = "style:image=style.png:features=weights.npz:width=4:depth=1"
    for steps in (1, 2):
        done = keras_t2i(
            *("finetune", "small", "images", "-o", "run", "--batch-size", 4, "--steps", steps, "--strategy", strategy)
        )
        assert done.code == 0, done.err
    card = json.loads(Path("run/preset/config.json").read_text())["card"]
    assert card["strategy"] == strategy
    done = keras_t2i("generate", "run", "picture number 3", "-n", 1, "-o", "drawn")
    assert done.code == 0, done.err
    with Image.open(done.json["images"][0]) as image:
        assert np.asarray(image).shape == (32, 32, 3)
