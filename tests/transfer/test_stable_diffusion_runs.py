"""`keras-t2i finetune` of Stable Diffusion 3, from a preset of KerasHub to a run, in the size of KerasHub's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_stable_diffusion
from command_line import keras_t2i, write_images, write_rows

from keras_t2i import TextToImage, data
from keras_t2i.core.cache import cache_directory
from keras_t2i.data.codes import coded
from keras_t2i.runs.config import RunConfig


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A working directory with a preset as KerasHub saves it, a folder of images, and caches of its own."""
    path = tmp_path_factory.mktemp("finetune_sd3")
    rows: list[Any] = list(write_images(path / "images", 12))
    rows[0]["text"] = "far too many words for what reads this one to the end"
    write_rows(path / "images", rows)
    tiny_stable_diffusion.save(path / "hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        patch.chdir(path)
        yield path


def test_a_run_from_keras_hubs_preset_to_adapters(place: Path) -> None:
    """In the form that is for the smallest cards: frozen weights of two bytes, blocks that are computed again."""
    options = ("--strategy", "lora:rank=2", "--batch-size", 4, "--flip", "--learning-rate-scale", 100, "--steps", 2)
    result = keras_t2i("finetune", "hub:32:bfloat16:remat", "images", "-o", "run", *options)
    assert result.code == 0, result.err
    assert result.err.count("captions are longer than what is read") == 1
    assert "joint_block_0" in result.err, "the plan"
    config = RunConfig.read(place / "run")
    assert (config.family, config.image_size, config.augment) == ("stable_diffusion_3", 32, False)
    assert (place / "run" / "grids" / "epoch-0001.png").is_file()
    assert result.json["adapters"].endswith("adapters.safetensors")
    (checkpoint,) = (place / "run" / "checkpoints").glob("*2/*.npz")
    with np.load(checkpoint) as arrays:
        assert sum(array.size for name, array in arrays.items() if name.startswith("generator/")) < 10_000, "adapters"
    (source,) = (cache_directory() / "imported").iterdir()
    model: Any = TextToImage.from_preset("run")
    assert model.text_encoder is not None, "it was out of memory, and is in the preset all the same"
    base: Any = TextToImage.from_preset(source)
    changed = [
        np.any(ours != theirs)
        for ours, theirs in zip(model.generator.get_weights(), base.generator.get_weights(), strict=True)
    ]
    assert sum(changed) == 9, "attention_qkv and attention_proj, in the block with two attentions and in the last one"


def test_codes_are_computed_once_and_given_in_the_place_of_images(place: Path) -> None:
    images = data.from_folder("images", image_size=32, batch_size=4, horizontal_flip=True)
    asked: list[int] = []

    def encode(pixels: np.ndarray) -> np.ndarray:
        asked.append(len(pixels))
        return pixels[:, ::8, ::8]

    first = coded(images, encode, "a" * 64, place / "codes")
    assert sum(asked) == 2 * images.train_split.num_images + images.validation_split.num_images
    again = coded(images, encode, "a" * 64, place / "codes")
    assert sum(asked) == 2 * images.train_split.num_images + images.validation_split.num_images
    assert again == first
    batch = next(iter(again.train_from(0)))
    assert sorted(batch) == ["captions", "codes"]
    plain = next(iter(images.train_from(0)))
    assert [*batch["captions"]] == [*plain["captions"]]
    straight, flipped = (plain["images"][:, ::8, ::way][:, :, ::8] for way in (1, -1))
    near = [np.abs(batch["codes"] - way).max(axis=(1, 2, 3)) for way in (straight, flipped)]
    assert np.all(np.min(near, axis=0) < 0.01), "each is its image, or its mirror image"
    held_out = next(iter(again.validation))["codes"]
    np.testing.assert_allclose(held_out, next(iter(images.validation))["images"][:, ::8, ::8], atol=0.01)


def test_a_dry_run_counts_without_building() -> None:
    """By the names of KerasHub's presets, of which nothing is fetched: the real transformers, as shapes."""
    large = keras_t2i("finetune", "stable_diffusion_3.5_large", "images", "-o", "none", "--dry-run")
    assert large.code == 0, large.err
    assert large.json["fits"] == []
    assert large.json["bytes"]["gradients"] == 4 * 8_146_280_768
    assert "lora" in large.json["would_fit"] or "nothing" in large.json["would_fit"]
    small = ("stable_diffusion_3_medium:512:bfloat16:remat", "images", "-o", "none", "--strategy", "lora")
    told = keras_t2i("finetune", *small, "--batch-size", 1, "--dry-run").json
    assert told["fits"] == [16, 24, 40]
    assert told["bytes"]["slots"] == 2 * told["bytes"]["gradients"] > 0
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("stable_diffusion_9", "images"), "stable_diffusion_9"),
        (("hub:100", "images"), "multiple of 16"),
        (("hub:32", "images", "--strategy", "lora:adapt=query"), "joint_block_0"),
        (("hub:32", "images", "--strategy", "freeze_d"), "biases"),
    ],
)
def test_bad_input_is_refused_in_a_line(arguments: tuple[str, ...], told: str) -> None:
    result = keras_t2i("finetune", *arguments, "-o", "refused", "--steps", 1)
    assert result.code == 2
    assert told in result.err.strip().splitlines()[-1]
