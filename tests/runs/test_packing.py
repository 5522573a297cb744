"""From a folder to packed images to a run, on the command line: resumed to the bit, measured, refused in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import keras_t2i, write_images, write_rows

from keras_t2i import training
from keras_t2i.data import Inventory, PackedImages, from_packed
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import prepare
from keras_t2i.training import run as run_module

pytestmark = pytest.mark.usefixtures("eager_training")

SMALL = ("--family", "mlp", "--image-size", 32, "--batch-size", 4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder, packed by the command, and a run of one epoch on it."""
    place = tmp_path_factory.mktemp("packing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        write_rows(place / "images", [*write_images(place / "images", 24), {"file_name": "none.png", "text": "x"}])
        done = keras_t2i("data", "pack", place / "images", "--image-size", 32, "-o", place / "packed")
        assert done.code == 0, done.err
        assert done.json | {"megabytes": 0} == {
            "train_images": 21,
            "validation_images": 3,
            "captions": 48,
            "shards": 1,
            "skipped_rows": 1,
            "megabytes": 0,
        }
        assert "metadata.jsonl:25" in done.err
        done = keras_t2i("train", place / "packed", "-o", place / "run", "--epochs", 1, *SMALL)
        assert done.code == 0, done.err
        yield place


def test_a_run_on_packed_images_is_measured_and_fine_tuned(place: Path) -> None:
    done = keras_t2i("evaluate", place / "run", "--features", "none", "--judge", "none")
    assert done.code == 0, done.err
    assert done.json["num_captions"] == 3
    assert done.json["measured_on"] == "held-out captions"
    done = keras_t2i("finetune", place / "run", place / "packed", "-o", place / "tuned", "--steps", 2)
    assert done.code == 0, done.err
    inventory = Inventory.read(place / "run")
    assert inventory is not None
    assert inventory.packed == from_packed(place / "packed").packed.fingerprint  # type: ignore[union-attr]
    assert (place / "run" / "data.json").stat().st_size < 1000  # Whatever the number of images.


def test_stopped_within_an_epoch_and_resumed_it_is_the_uninterrupted_run(place: Path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.model.stop_training = batch == 2

    def trained(run: str, *callbacks: keras.callbacks.Callback) -> list[np.ndarray]:
        config = RunConfig(str(place / "packed"), family="mlp", image_size=32, batch_size=4)
        prepared = prepare(config, place / run)
        training.train(prepared.model, prepared.data, place / run, steps=8, callbacks=callbacks, verbose=0)
        return prepared.model.get_weights()

    whole = trained("whole")
    trained("parts", Stop())
    for ours, theirs in zip(trained("parts"), whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--sequence-length", 16), "pass --text-encoder caption_mini_en --sequence-length 32"),
        (("--text-encoder", "none"), "embedded by another text encoder"),
        (("--image-size", 64), "was packed at 32 pixels: pass --image-size 32"),
        (("--fit", "pad"), "leave `fit` out"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(place: Path, options: tuple[object, ...], reason: str) -> None:
    done = keras_t2i("train", place / "packed", "-o", place / "other", "--steps", 1, *SMALL, *options)
    assert done.code == 2
    assert reason in done.err
    assert len(done.err.splitlines()) == 1
    assert not (place / "other").exists()


def test_a_run_does_not_go_on_with_what_was_packed_anew(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "packed", tmp_path / "kept")
    shutil.copytree(place / "run", place / "once")
    how = ("--image-size", 32, "--max-skipped-share", 0.2, "-o", place / "packed")
    try:
        shutil.copytree(place / "images", tmp_path / "images")
        os.unlink(tmp_path / "images" / "3.png")
        assert keras_t2i("data", "pack", tmp_path / "images", *how).code == 0
        for more in ((), ("--changed-data",)):
            done = keras_t2i("train", place / "packed", "-o", place / "once", "--epochs", 2, *SMALL, *more)
            assert done.code == 2
            assert "what was packed is not what it was; choose another directory" in done.err
    finally:
        shutil.rmtree(place / "packed")
        shutil.copytree(tmp_path / "kept", place / "packed")


def test_a_damaged_image_stops_training_in_one_line_and_whole_again_it_goes_on(place: Path) -> None:
    shard = place / "packed" / "images-00000.bin"
    whole = shard.read_bytes()
    shutil.copytree(place / "run", place / "hurt")
    rows = PackedImages.read(place / "packed").train.images.rows[:]  # type: ignore[union-attr]
    content = bytearray(whole)
    content[int(rows["offset"][7]) + 9] ^= 255
    try:
        shard.write_bytes(content)
        done = keras_t2i("train", place / "packed", "-o", place / "hurt", "--epochs", 2, *SMALL)
        assert done.code == 2
        (line,) = [line for line in done.err.splitlines() if line.startswith("Error")]
        assert "images-00000.bin is damaged at byte" in line
        assert "The run goes on from" in line
    finally:
        shard.write_bytes(whole)
    done = keras_t2i("train", place / "packed", "-o", place / "hurt", "--epochs", 2, *SMALL)
    assert done.code == 0, done.err
    assert done.json["steps"] == 10


def test_packed_images_cannot_be_packed_again(place: Path) -> None:
    done = keras_t2i("data", "pack", place / "packed", "-o", place / "twice")
    assert done.code == 2
    assert "is packed already" in done.err


def test_a_tar_goes_in_by_name(place: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "train-0.tar", "w") as tar:
        for number in range(5):
            text = tmp_path / f"{number}.txt"
            text.write_text(f"picture {number}")
            tar.add(place / "images" / f"{number}.png", f"{number}.png")
            tar.add(text, f"{number}.txt")
    done = keras_t2i("data", "pack", tmp_path / "train-0.tar", "--image-size", 32, "-o", tmp_path / "packed")
    assert done.code == 0, done.err
    assert done.json["train_images"] + done.json["validation_images"] == 5


def test_many_images_are_told_that_packing_pays(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("keras_t2i.runs.prepare._MANY_IMAGES", 10)
    how = ("train", place / "images", "-o", tmp_path / "run", *SMALL)
    first, again = (keras_t2i(*how, "--steps", steps).err for steps in (1, 2))
    assert first.count("keras-t2i data pack") == 1
    assert "keras-t2i data pack" not in again


def test_the_same_few_held_out_images_are_validated_on_and_that_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset = from_packed(place / "packed", 2)
    sample = [batch["images"] for batch in dataset.validation_sample(2).as_numpy_iterator()]  # type: ignore[union-attr]
    again = [batch["images"] for batch in dataset.validation_sample(2).as_numpy_iterator()]  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.concatenate(sample), np.concatenate(again))
    assert sum(map(len, sample)) == 2
    monkeypatch.setattr(run_module, "_VALIDATED", 2)
    done = keras_t2i("train", place / "packed", "-o", tmp_path / "run", "--steps", 1, *SMALL)
    assert done.err.count("2 of 3 held-out images") == 1
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"] == str(place / "packed")
