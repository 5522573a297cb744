"""New words for frozen encoders: read as one token, everything else to the bit as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tiny_encoder
from checks import one_line

from keras_t2i.text import TextEncoder, with_words
from keras_t2i.text.new_words import token_table, vector_of

CAPTIONS = ["a red star", "a mystery on the café", "", "red red " * 40]


@pytest.fixture(scope="module")
def packaged() -> TextEncoder:
    return TextEncoder.from_preset("caption_mini_en")


@pytest.fixture(scope="module", params=["packaged", "bert", "distil_bert"])
def encoder(request: Any, packaged: TextEncoder, tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    if request.param == "packaged":
        return packaged
    write = {"bert": tiny_encoder.write_bert_preset, "distil_bert": tiny_encoder.write_distil_bert_preset}
    return TextEncoder.from_preset(write[request.param](tmp_path_factory.mktemp(request.param)), sequence_length=16)


def test_a_new_word_is_one_token_and_nothing_else_changes(encoder: TextEncoder) -> None:
    before, weights = encoder.encode(CAPTIONS), [weight.numpy() for weight in encoder.backbone.weights]
    rows = token_table(encoder).shape[0]
    vector = vector_of(encoder, "red") + 1.0
    wider = with_words(encoder, {"mystar": vector, "zzz9": -vector})
    ids = [list(row) for row in np.asarray(wider.token_ids(["a mystar", "MyStar zzz9."]))]
    assert ids[0].count(rows) == 1
    assert ids[1][1:3] == [rows, rows + 1]
    np.testing.assert_array_equal(wider.encode(CAPTIONS), before)
    np.testing.assert_array_equal(token_table(wider).numpy()[rows], vector)
    assert (wider.encode(["a mystar"]) != wider.encode(["a zzz9"])).any()
    assert not wider.trainable_weights
    for weight, value in zip(encoder.backbone.weights, weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert token_table(encoder).shape[0] == rows
    assert wider.fingerprint != encoder.fingerprint


def test_the_vector_of_a_word_makes_its_twin(encoder: TextEncoder) -> None:
    twin = with_words(encoder, {"mystar": vector_of(encoder, "red")})
    np.testing.assert_array_equal(twin.encode(["a mystar circle"]), encoder.encode(["a red circle"]))


def test_new_words_survive_saving_and_graphs(encoder: TextEncoder, tmp_path: Path) -> None:
    wider = with_words(encoder, {"mystar": vector_of(encoder, "red") - 0.5})
    wider.save_to_preset(tmp_path / "encoder")
    again = TextEncoder.from_preset(tmp_path / "encoder", encoder.sequence_length)
    captions = ["a mystar", *CAPTIONS]
    np.testing.assert_array_equal(again.encode(captions), wider.encode(captions))
    in_graph = tf.function(lambda texts: wider(texts)["sentence_embeddings"])(tf.constant(captions[:1]))
    np.testing.assert_allclose(in_graph, wider.encode(captions[:1]), atol=1e-5)


def test_the_vector_of_several_pieces_is_their_mean(packaged: TextEncoder) -> None:
    table, tokenizer = token_table(packaged).numpy(), packaged.preprocessor.tokenizer
    pieces = [tokenizer.token_to_id(piece) for piece in ("cr", "##uc", "##if", "##ix")]
    np.testing.assert_allclose(vector_of(packaged, "crucifix"), table[pieces].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("word", "size", "message"),
    [
        ("my star", 128, "lower-case letters and digits"),
        ("<mine>", 128, "lower-case letters and digits"),
        ("Mine", 128, "lower-case letters and digits"),
        ("red", 128, "token of this encoder already"),
        ("mystar", 7, r"a vector of 128 numbers.*got shape \(7,\)"),
    ],
)
def test_unfit_words_are_refused(packaged: TextEncoder, word: str, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        with_words(packaged, {word: np.zeros(size, np.float32)})
    one_line(error)


def test_encoders_without_word_pieces_are_refused(packaged: TextEncoder, tmp_path: Path) -> None:
    byte_pairs = TextEncoder.from_preset(tiny_encoder.write_roberta_preset(tmp_path), sequence_length=8)
    for encoder in (byte_pairs, TextEncoder.from_preset("none"), TextEncoder.from_preset("from_scratch"), None):
        with pytest.raises(ValueError, match="BERT family with word pieces") as error:
            vector_of(encoder, "red")
        one_line(error)
    with pytest.raises(ValueError, match="knows no piece of '星星'") as error:
        vector_of(packaged, "星星")
    one_line(error)
