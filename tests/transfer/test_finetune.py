"""`keras-t2i finetune` as a user meets it: what it trains, what it leaves, how it goes on, and how it says no."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Result, keras_t2i, write_images, write_rows
from PIL import Image
from pretrained_models import values

from keras_t2i import TextToImageGAN, transfer
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.derived import finetuning
from keras_t2i.runs.prepare import dataset, fitted, prepare
from keras_t2i.transfer.strategies import STRATEGIES

CAPTIONS = ["picture number 3", "something else"]
SETTINGS = ("--batch-size", 4)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with two folders of images, and caches of its own."""
    path = tmp_path_factory.mktemp("finetune")
    write_rows(path / "images", write_images(path / "images", 12))
    (path / "others").mkdir()
    rows = []
    for number in range(10):
        Image.new("RGB", (32, 32), (0, 0, 25 * number)).save(path / "others" / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "text": f"blue number {number}"})
    write_rows(path / "others", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        patch.chdir(path)
        yield path


@pytest.fixture(scope="module")
def source(place: Path) -> Path:
    options = ("--family", "mlp", "--image-size", 32, "--epochs", 1)
    trained = keras_t2i("train", "images", "-o", "source", *SETTINGS, *options)
    assert trained.code == 0, trained.err
    return place / "source"


@pytest.fixture(scope="module")
def tuned(source: Path) -> Result:
    return finetune("lora", strategy="lora:rank=2")


def finetune(output: str, *options: object, strategy: str, epochs: int = 1) -> Result:
    common = ("--strategy", strategy, "--epochs", epochs, *SETTINGS)
    return keras_t2i("finetune", "source", "others", "-o", output, *common, *options)


def weights(run: str) -> dict[str, np.ndarray]:
    gan = TextToImageGAN.from_preset(run)
    return {
        name: value
        for side in ("generator", "ema_generator", "discriminator")
        for name, value in values(gan, side).items()
    }


def test_the_run_is_one_like_those_of_train(tuned: Result, place: Path) -> None:
    assert tuned.code == 0, tuned.err
    assert tuned.json["steps"] == 2
    assert tuned.json["adapters"] == "lora/adapters.safetensors"
    config = json.loads((place / "lora" / "config.json").read_text())
    expected = {"family": "mlp", "image_size": 32, "strategy": "lora:rank=2", "augment": True, "source_data": None}
    assert expected.items() <= config.items()
    assert config["start_from"] == str(place / "source")
    assert list((place / "lora" / "grids").iterdir())
    card = TextToImageGAN.from_preset("lora").card
    assert {"family": "mlp", "strategy": "lora:rank=2", "data": "others"}.items() <= card.items()


def test_the_table_of_what_is_trained_comes_first(tuned: Result) -> None:
    lines = tuned.err.splitlines()
    head = next(number for number, line in enumerate(lines) if line.split() == ["lora:rank=2", "trained", "frozen"])
    assert lines[head + 1].split()[0] == "generator"
    assert not any("discriminator_loss" in line for line in lines[:head])


def test_adapters_of_the_run_draw_its_images_on_the_source(tuned: Result) -> None:
    gan = TextToImageGAN.from_preset("source")
    transfer.load_adapters(gan, tuned.json["adapters"])
    expected = TextToImageGAN.from_preset("lora").generate(CAPTIONS, num_images=2)
    np.testing.assert_array_equal(gan.generate(CAPTIONS, num_images=2), expected)


def test_commands_take_the_run(tuned: Result, place: Path) -> None:
    assert keras_t2i("generate", "lora", *CAPTIONS, "-n", 1, "-o", "drawn").code == 0
    assert keras_t2i("export", "lora", "--to", "litert", "-o", "litert").code == 0
    measured = keras_t2i("evaluate", "lora", "--features", "none")
    assert measured.code == 0, measured.err
    assert measured.json["num_images"] > 0


@pytest.mark.parametrize("strategy", ["freeze_d:trained_blocks=1+ewc:num_images=3", "mixing:share=0.25"])
def test_a_run_that_was_stopped_goes_on_to_the_bit_and_only_what_is_planned_moves(source: Path, strategy: str) -> None:
    name = strategy[:6]
    whole = finetune(f"{name}_whole", strategy=strategy, epochs=2)
    assert whole.code == 0, whole.err
    assert finetune(f"{name}_parts", strategy=strategy, epochs=1).code == 0
    again = finetune(f"{name}_parts", strategy=strategy, epochs=2)
    assert "Continuing" in again.err
    expected, found = weights(f"{name}_whole"), weights(f"{name}_parts")
    assert all(np.array_equal(expected[path], found[path]) for path in expected)
    config = RunConfig.read(Path(f"{name}_whole"))
    assert config.source_data == str(source.parent / "images")
    before = weights("source")
    for path, value in expected.items():
        start = before[path if path.startswith("discriminator") else f"ema_{path.removeprefix('ema_')}"]
        frozen = "freeze_d" in strategy and re.match(r"discriminator/(from_pixels|hidden_0)", path)
        assert np.array_equal(value, start) == bool(frozen), path


@pytest.mark.parametrize(("strategy", "stays"), [("freeze:generator=text", True), ("freeze:generator=to_image", False)])
def test_captions_stay_centered_where_nothing_can_learn_to_read_them_anew(
    source: Path, strategy: str, stays: bool
) -> None:
    before = TextToImageGAN.from_preset(source)
    ready = prepare(finetuning("source", "others", strategy))
    for name, part in ready.model.parts().items():
        same = np.array_equal(part.network.text_mean, before.parts()[name].network.text_mean)
        assert same == (stays and name != "discriminator"), name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("source", "others", "--strategy", "lorra"), "Unknown strategy 'lorra'"),
        (("source", "others", "--strategy", "modulation"), "has no modulation to train"),
        (("nowhere", "others"), "'nowhere' is not a directory"),
        (("source", "nowhere"), "'nowhere' does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(source: Path, arguments: tuple[str, ...], words: str) -> None:
    result = keras_t2i("finetune", *arguments, "-o", "refused", "--epochs", 1)
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith("Error: ")
    assert words in result.err.splitlines()[-1]
    assert not Path("refused").exists()


def test_a_source_whose_card_names_no_data_needs_them(source: Path) -> None:
    TextToImageGAN.from_preset("source").save_to_preset("shared", card={})
    arguments = ("shared", "others", "-o", "refused", "--epochs", 1)
    result = keras_t2i("finetune", *arguments, "--strategy", "ewc")
    assert result.code == 2
    assert "its card names none: pass the source's data" in result.err
    config = finetuning("shared", "others", "ewc", source_data="images", augment=False)
    assert (config.family, config.source_data, config.augment) == ("mlp", str(source.parent / "images"), False)


def test_few_images_are_augmented_and_in_small_batches_unless_asked_otherwise(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(**options: Any) -> tuple[int, bool]:
        config = finetuning("source", "others", **options)
        config = fitted(config, dataset(config))
        return config.batch_size, config.augment

    assert chosen() == (8, True)
    assert chosen(batch_size=4) == (4, True)
    assert chosen(batch_size=4, augment=False) == (4, False)
    monkeypatch.setattr("keras_t2i.runs.prepare._FEW_IMAGES", 5)  # So that ten are many.
    assert chosen() == (32, False)
    assert chosen(batch_size=4) == (4, False)


def test_help_explains_every_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = re.sub(r"[\s│]+", " ", keras_t2i("finetune", "--help").out)
    for name, strategy in STRATEGIES.items():
        assert f"{name}: {strategy.description}" in text
