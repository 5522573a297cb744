"""Captions that a text encoder cannot tell apart train no model in silence; how far it reads is kept with the model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checks import one_line
from command_line import keras_t2i
from PIL import Image
from tiny_encoder import write_bert_preset

from keras_t2i.export.litert_runner import LiteRTBundle
from keras_t2i.models import TextToImageGAN
from keras_t2i.runs import RunConfig, finetune, train
from keras_t2i.runs.compare import ComparisonConfig, compare
from keras_t2i.runs.packing import pack
from keras_t2i.runs.prepare import build

pytestmark = pytest.mark.usefixtures("eager_training")

WORDS = {"russian": ("красная звезда", "синий круг"), "chinese": ("红色的星", "红的星")}
LONG = "a large red star in the center of a dark blue sky above a small white house with a green door " * 2
CUT = [LONG + "by day", LONG + "by night"]


def write(folder: Path, captions: tuple[str, ...] | list[str]) -> str:
    folder.mkdir()
    for number in range(8):
        Image.new("RGB", (32, 32), (30 * number, 200, 90)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(captions[number % len(captions)], encoding="utf-8")
    return str(folder)


def config(data: str, **options: object) -> RunConfig:
    return RunConfig(data, "mlp", image_size=32, batch_size=4, **options)


def test_training_on_an_unknown_script_is_refused_unless_told(tmp_path: Path) -> None:
    russian, run = config(write(tmp_path / "images", WORDS["russian"])), tmp_path / "run"
    with pytest.raises(ValueError, match=r"not know 4 of 4 words: 2 of 2 captions.*, and 2 read the same") as error:
        train(russian, run, epochs=1, verbose=0)
    assert "At most 10% may be unread (`max_unread_share`)" in one_line(error)
    assert "distil_bert_base_multi" in one_line(error)
    assert not run.exists()
    told = replace(russian, max_unread_share=1.0)
    with pytest.warns(UserWarning, match="2 of 2 captions cannot be read"):
        assert train(told, run, epochs=1, verbose=0)["steps"] == 1
    # A run that was begun before there was the question goes on.
    saved = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({k: v for k, v in saved.items() if k != "max_unread_share"}))
    with pytest.warns(UserWarning, match="2 of 2 captions cannot be read"):
        assert train(russian, run, epochs=2, verbose=0)["steps"] == 2


def test_an_encoder_that_knows_the_script_trains_in_silence(tmp_path: Path) -> None:
    chinese = config(write(tmp_path / "images", WORDS["chinese"]))
    with pytest.raises(ValueError, match="2 of 2 captions cannot be read"):
        train(chinese, tmp_path / "run", epochs=1, verbose=0)
    knowing = replace(chinese, text_encoder=str(write_bert_preset(tmp_path / "encoder")))
    assert train(knowing, tmp_path / "run", epochs=1, verbose=0)["steps"] == 1
    encoder = TextToImageGAN.from_preset(tmp_path / "run").text_encoder
    assert not np.allclose(*encoder.encode(WORDS["chinese"]), atol=1e-2)


def test_whatever_reads_captions_asks_first(tmp_path: Path) -> None:
    data, model = write(tmp_path / "images", WORDS["russian"]), str(tmp_path / "model")
    build(config(data)).save_to_preset(model)
    with pytest.raises(ValueError, match="`max_unread_share`"):
        finetune(model, data, tmp_path / "run", epochs=1, verbose=0)
    with pytest.raises(ValueError, match="`max_unread_share`"):
        pack(config(data), tmp_path / "packed")
    for method, options in (("mlp", {}), ("full", {"source": model})):
        methods = ComparisonConfig(config(data), (method,), images=4, features="none", **options)
        with pytest.raises(ValueError, match="`max_unread_share`"):
            compare(methods, tmp_path / "comparison", print)
    assert {path.name for path in tmp_path.iterdir()} == {"images", "model"}
    checked = keras_t2i("data", "check", data, "--image-size", 32)
    assert checked.code == 0
    assert "2 of 2 captions cannot be read" in checked.err
    reading = checked.json["reading"]
    assert (reading["num_words"], reading["num_unknown_words"], reading["num_alike_unread"]) == (4, 4, 2)
    assert keras_t2i("data", "check", data, "--text-encoder", "none").json["reading"] is None
    drawn = keras_t2i("generate", model, "a star", "a red звезда", "-n", 1, "-o", tmp_path / "drawn")
    assert drawn.code == 0
    assert drawn.err == "Warning: The text encoder does not know 1 of 5 words.\n"


def test_the_sequence_length_goes_wherever_the_model_goes(tmp_path: Path) -> None:
    data, run = write(tmp_path / "images", CUT), tmp_path / "run"
    short, long = config(data), config(data, sequence_length=64)
    with pytest.warns(UserWarning, match=r"2 of 2 captions are longer .* and 2 read the same as another. A `seq"):
        train(short, tmp_path / "short", epochs=1, verbose=0)
    np.testing.assert_array_equal(*TextToImageGAN.from_preset(tmp_path / "short").text_encoder.encode(CUT))

    assert train(long, run, epochs=1, verbose=0)["steps"] == 1
    assert train(long, run, epochs=2, verbose=0)["steps"] == 2
    with (
        pytest.warns(UserWarning, match="2 of 2 captions are longer"),
        pytest.raises(ValueError, match=r"sequence_length \(64 there, 32 now\)"),
    ):
        train(short, run, epochs=3, verbose=0)
    finetune(str(run), data, tmp_path / "tuned", epochs=1, batch_size=4, verbose=0)
    model = TextToImageGAN.from_preset(run)
    expected = model.text_encoder.encode(CUT)
    assert not np.allclose(*expected, atol=1e-3)
    tuned = TextToImageGAN.from_preset(tmp_path / "tuned").text_encoder
    np.testing.assert_array_equal(tuned.encode(CUT), expected)

    model.export(tmp_path / "bundle", "litert")
    np.testing.assert_allclose(LiteRTBundle(tmp_path / "bundle").encode(CUT), expected, atol=1e-4)
    model.export(tmp_path / "saved")
    read = tf.saved_model.load(str(tmp_path / "saved")).signatures["embed_text"]
    np.testing.assert_allclose(read(prompts=tf.constant(CUT))["sentence_embeddings"], expected, atol=1e-4)
    drawn = keras_t2i("generate", tmp_path / "bundle", f"{LONG} {LONG}", "звезда", "-n", 1, "-o", tmp_path / "drawn")
    assert drawn.code == 0
    unknown, cut = drawn.err.splitlines()
    assert unknown.endswith("words: 1 of 2 captions cannot be read, such as 'звезда'.")
    assert cut.startswith("Warning: 1 of 2 captions are longer than what is read")
