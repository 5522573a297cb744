"""Captions longer than what an encoder takes at once: read whole, in windows, and the same wherever they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checks import tiny_gan
from tiny_encoder import write_bert_preset, write_roberta_preset

from keras_t2i.export.litert_runner import LiteRTBundle
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import TextEncoder

ROOM = 30
"""Tokens of a window beside its start and end."""


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text embedder with 64 positions."""
    return write_bert_preset(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def long(preset: Path) -> TextEncoder:
    return TextEncoder.from_preset(preset, sequence_length=128)


def words(count: int, seed: int = 0) -> str:
    return " ".join(np.random.default_rng(seed).choice(["a", "red", "blue", "star", "circle", "on", "white"], count))


@pytest.mark.parametrize("count", [0, 1, ROOM - 1, ROOM])
def test_what_fits_into_a_window_is_read_as_ever(preset: Path, long: TextEncoder, count: int) -> None:
    short = TextEncoder.from_preset(preset, sequence_length=32)
    np.testing.assert_allclose(long.encode([words(count)]), short.encode([words(count)]), atol=1e-5)


@pytest.mark.parametrize("count", [ROOM + 1, 2 * ROOM, 77, 126])
def test_a_long_caption_is_the_mean_of_its_windows_by_length(preset: Path, long: TextEncoder, count: int) -> None:
    short = TextEncoder.from_preset(preset, sequence_length=32)
    text = words(count).split()
    parts = [text[start : start + ROOM] for start in range(0, count, ROOM)]
    embeddings = short.encode([" ".join(part) for part in parts])
    expected = np.average(embeddings, axis=0, weights=[len(part) for part in parts])
    expected /= np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(long.encode([" ".join(text)])[0], expected, atol=1e-5)


def test_every_word_up_to_the_length_counts_and_none_beyond(long: TextEncoder) -> None:
    text = words(126).split()
    plain = long.encode([" ".join(text)])[0]
    for place in (0, 29, 30, 31, 89, 90, 125):
        changed = [*text[:place], "small" if text[place] != "small" else "large", *text[place + 1 :]]
        assert np.abs(long.encode([" ".join(changed)])[0] - plain).max() > 1e-3, place
    np.testing.assert_array_equal(long.encode([" ".join([*text, "small", "small"])])[0], plain)


def test_tokens_of_all_windows_are_there_and_padding_is_not(long: TextEncoder) -> None:
    out = long([words(40), words(3)])
    assert out["token_embeddings"].shape == (2, 5 * 32, long.embedding_dim)
    assert out["padding_mask"].shape == (2, 5 * 32)
    assert np.sum(out["padding_mask"], axis=1).tolist() == [32 + 12, 5]


def test_as_many_tokens_as_there_are_positions_are_read_at_once(preset: Path) -> None:
    assert TextEncoder.from_preset(preset, sequence_length=64)([words(60)])["token_embeddings"].shape[1] == 64
    assert TextEncoder.from_preset(preset, sequence_length=65)([words(60)])["token_embeddings"].shape[1] == 3 * 32


def test_another_tokenizer_is_framed_by_its_own_end(tmp_path: Path) -> None:
    directory = write_roberta_preset(tmp_path / "roberta")
    short, long = (TextEncoder.from_preset(directory, sequence_length=length) for length in (32, 128))
    text = "red blue " * 40
    parts = short.pieces([text])[0]
    assert len(parts) > ROOM
    read = long([text])
    assert int(np.sum(read["padding_mask"])) == len(parts[:126]) + 2 * -(-len(parts[:126]) // ROOM)
    np.testing.assert_allclose(long.encode(["red star"]), short.encode(["red star"]), atol=1e-5)


def test_presets_and_exports_read_as_far(preset: Path, long: TextEncoder, tmp_path: Path) -> None:
    gan = tiny_gan(text_encoder=long)
    captions = [words(100, seed) for seed in range(3)] + ["a red star", ""]
    expected = long.encode(captions)
    gan.save_to_preset(tmp_path / "preset")
    np.testing.assert_allclose(
        TextToImageGAN.from_preset(tmp_path / "preset").text_encoder.encode(captions), expected, atol=1e-6
    )
    gan.export(tmp_path / "bundle", "litert")
    np.testing.assert_allclose(LiteRTBundle(tmp_path / "bundle").encode(captions), expected, atol=1e-4)
    gan.export(tmp_path / "saved")
    read = tf.saved_model.load(str(tmp_path / "saved")).signatures["embed_text"]
    np.testing.assert_allclose(read(prompts=tf.constant(captions))["sentence_embeddings"], expected, atol=1e-4)
