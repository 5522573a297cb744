"""TokenIds: captions as numbers, and a model that learns to read them, from training to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from checks import copies, make_batch, one_line
from tiny_encoder import write_bert_preset, write_roberta_preset

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.presets import build_gan
from keras_t2i.text import CachedTextEncoder, TextEncoder, TokenIds

pytestmark = pytest.mark.usefixtures("eager_training")

CAPTIONS = ["a red star", "a blue circle on white", "", "CAFÉ \0 star"]


@pytest.fixture(scope="module")
def encoder() -> TokenIds:
    return TextEncoder.from_preset("from_scratch", sequence_length=12)  # type: ignore[return-value]


def test_numbers_are_those_of_the_tokenizer_with_zeros_behind(encoder: TokenIds) -> None:
    numbers = encoder.encode(CAPTIONS)
    tokens = encoder.token_ids(CAPTIONS).numpy()
    assert numbers.dtype == np.float32
    assert numbers.shape == (4, 12) == (4, encoder.embedding_dim)
    np.testing.assert_array_equal(numbers, np.where(tokens == 0, 0, tokens + 1))
    assert numbers.max() < encoder.vocabulary_size
    assert (numbers[2] > 0).sum() == 2  # start and end
    in_graph = tf.function(lambda captions: encoder(captions)["sentence_embeddings"])(tf.constant(CAPTIONS))
    np.testing.assert_array_equal(in_graph, numbers)
    assert encoder.weights == []


def test_tokenizers_with_padding_elsewhere_than_at_zero(tmp_path: Path) -> None:
    preprocessor = TextEncoder.from_preset(write_roberta_preset(tmp_path / "roberta")).preprocessor
    assert preprocessor.tokenizer.pad_token_id == 1
    encoder = TokenIds(preprocessor, sequence_length=8)
    numbers = encoder.encode(["red"])[0]
    assert numbers[0] == 1  # the start token, 0
    assert (numbers[-3:] == 0).all()
    assert (numbers[:-3] > 0).all()


def test_files_and_cache_give_back_the_same(encoder: TokenIds, tmp_path: Path) -> None:
    encoder.save_to_preset(tmp_path / "encoder")
    restored = TextEncoder.from_preset(tmp_path / "encoder", sequence_length=12)
    assert isinstance(restored, TokenIds)
    assert restored.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(restored.encode(CAPTIONS), encoder.encode(CAPTIONS))
    np.testing.assert_array_equal(
        CachedTextEncoder(encoder, tmp_path / "cache").encode(CAPTIONS), encoder.encode(CAPTIONS)
    )
    bert = TextEncoder.from_preset(write_bert_preset(tmp_path / "bert")).preprocessor
    others = [TextEncoder.from_preset("from_scratch", sequence_length=16), TokenIds(bert, 12)]
    assert len({encoder.fingerprint, *(other.fingerprint for other in others)}) == 3


def test_a_model_learns_to_read_and_comes_back_from_its_preset(encoder: TokenIds, tmp_path: Path) -> None:
    gan = build_gan("mlp", encoder, image_size=32)
    gan.adapt(CAPTIONS)
    towers = gan.generator.text_tower, gan.discriminator.text_tower
    before = [copies(tower.weights) for tower in towers]
    batch = {"images": make_batch()["images"], "captions": np.array(CAPTIONS)}
    history = gan.fit(tf.data.Dataset.from_tensors(batch).repeat(3), verbose=0).history
    assert np.isfinite(history["generator_loss"]).all()
    for tower, old in zip(towers, before, strict=True):
        unmoved = [name for name, value in copies(tower.weights).items() if np.array_equal(value, old[name])]
        assert unmoved == []
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    images = gan.generate(CAPTIONS, seed=1)
    np.testing.assert_array_equal(loaded.generate(CAPTIONS, seed=1), images)
    assert len({image.tobytes() for image in gan.generate(CAPTIONS, seed=1, truncation=0.0)}) == 4


def test_exports_read_captions_too(encoder: TokenIds, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    gan = build_gan("dcgan", encoder, image_size=32)
    gan.export(tmp_path / "saved")
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["embed_text"](prompts=tf.constant(CAPTIONS))
    np.testing.assert_array_equal(served["sentence_embeddings"], encoder.encode(CAPTIONS))
    gan.export(tmp_path / "bundle", "litert")
    read = Interpreter(str(tmp_path / "bundle" / "text_encoder.tflite")).get_signature_runner()
    draw = Interpreter(str(tmp_path / "bundle" / "generator.tflite")).get_signature_runner()
    token_ids = encoder.token_ids(CAPTIONS[:1]).numpy()
    text = read(token_ids=token_ids, padding_mask=(token_ids != 0).astype(np.int32))["sentence_embeddings"]
    np.testing.assert_array_equal(text, encoder.encode(CAPTIONS[:1]))
    latents = np.random.default_rng(0).normal(size=(1, gan.generator.latent_dim)).astype(np.float32)
    images = draw(latents=latents, sentence_embeddings=text)["images"]
    np.testing.assert_allclose(images, gan.ema_generator(latents, text, training=False), atol=1e-4)


@pytest.mark.parametrize("sequence_length", [3, 513])
def test_impossible_sequence_lengths_are_refused(sequence_length: int) -> None:
    with pytest.raises(ValueError, match="sequence_length") as error:
        TextEncoder.from_preset("from_scratch", sequence_length=sequence_length)
    assert "from 4 to 512" in one_line(error)
