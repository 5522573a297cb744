"""CLIPJudge gives the embeddings of KerasNLP's own model, for images of any size."""

from __future__ import annotations

import string
from pathlib import Path

import keras
import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

from keras_t2i.metrics import CLIPJudge

SIZE, DIM = 16, 12
CAPTIONS = ["a red star", "A RED STAR", "on the left, a blue one", "", "star " * 200]


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of real KerasNLP classes with random weights, and a vocabulary of single letters and one word."""
    directory = tmp_path_factory.mktemp("presets") / "tiny_clip"
    letters = [*string.ascii_lowercase, ","]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
    tokenizer = keras_nlp.models.CLIPTokenizer(
        {piece: number for number, piece in enumerate(pieces)}, ["r e", "re d</w>"], pad_with_end_token=True
    )
    keras.utils.set_random_seed(5)
    vision = keras_nlp.models.CLIPVisionEncoder(
        patch_size=8, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=8, image_shape=(SIZE, SIZE, 3)
    )
    text = keras_nlp.models.CLIPTextEncoder(
        vocabulary_size=len(pieces), embedding_dim=8, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=8
    )
    backbone = keras_nlp.models.CLIPBackbone(vision, text, projection_dim=DIM)
    for variable in backbone.trainable_variables:  # Large enough that inputs differ in what comes out.
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.3))
    backbone.save_to_preset(str(directory))
    converter = keras_nlp.layers.CLIPImageConverter(
        image_size=(SIZE, SIZE), scale=[1 / 70, 1 / 68, 1 / 71], offset=[-1.8, -1.7, -1.5], interpolation="bicubic"
    )
    keras_nlp.models.CLIPPreprocessor(tokenizer, converter, sequence_length=24).save_to_preset(str(directory))
    return directory


@pytest.fixture(scope="module")
def judge(preset: Path) -> CLIPJudge:
    return CLIPJudge.from_preset(preset)


def pixels(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(a * b, axis=-1)


def test_cosines_are_those_of_keras_nlp(judge: CLIPJudge, preset: Path) -> None:
    images = pixels(len(CAPTIONS), SIZE)
    backbone = keras_nlp.models.CLIPBackbone.from_preset(str(preset))
    inputs = keras_nlp.models.CLIPPreprocessor.from_preset(str(preset))({"images": images, "prompts": CAPTIONS})
    logits = backbone({name: inputs[name] for name in ("images", "token_ids")})["vision_logits"].numpy()
    found = judge.image_embeddings(images) @ judge.text_embeddings(CAPTIONS).T
    scale = np.exp(backbone.get_layer("clip_head").logit_scale.numpy())
    np.testing.assert_allclose(found, logits / scale, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.01
    assert np.ptp(found, axis=1).max() > 0.01


def test_embeddings_have_unit_length_and_do_not_depend_on_the_batch(judge: CLIPJudge) -> None:
    images, captions = pixels(70, SIZE, seed=1), [f"star {letter}" for letter in string.ascii_lowercase * 3]
    for embedded, alone in (
        (judge.image_embeddings(images), judge.image_embeddings(images[69:])),
        (judge.text_embeddings(captions), judge.text_embeddings(captions[77:])),
    ):
        assert embedded.dtype == np.float32
        assert embedded.shape[1] == DIM
        np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(embedded[-1:], alone, atol=1e-5)


def test_large_images_are_antialiased(judge: CLIPJudge) -> None:
    """A fine chequerboard is gray from afar; without antialiasing it would be black, white or stripes."""
    fine = np.repeat((np.indices((131, 131)).sum(axis=0) % 2 * 255).astype(np.uint8)[None, ..., None], 3, axis=-1)
    gray = np.full((1, SIZE, SIZE, 3), 127, np.uint8)
    black = np.zeros_like(gray)
    embedded = judge.image_embeddings(fine)
    assert cosines(embedded, judge.image_embeddings(gray)) > 0.999
    assert cosines(embedded, judge.image_embeddings(black)) < 0.99


def test_smooth_images_embed_alike_at_every_size(judge: CLIPJudge) -> None:
    smooth = tf.image.resize(pixels(3, 4, seed=2), (64, 64), "bicubic")
    small, large = (
        np.asarray(tf.clip_by_value(tf.image.resize(smooth, (size, size), "bicubic", antialias=True), 0, 255)).astype(
            np.uint8
        )
        for size in (24, 64)
    )
    assert np.all(cosines(judge.image_embeddings(small), judge.image_embeddings(large)) > 0.99)


def test_other_images_and_captions_are_refused(judge: CLIPJudge) -> None:
    with pytest.raises(ValueError, match="uint8 images of shape"):
        judge.image_embeddings(pixels(1, SIZE).astype(np.float32))
    with pytest.raises(ValueError, match="uint8 images of shape"):
        judge.image_embeddings(pixels(1, SIZE)[0])
    with pytest.raises(ValueError, match="must be a string; got 3"):
        judge.text_embeddings(["a red star", 3])


def test_preset_that_cannot_be_had_is_named_in_one_line(tmp_path: Path) -> None:
    for name in ("no_such_clip", tmp_path):
        with pytest.raises(ValueError, match="cannot be loaded") as error:
            CLIPJudge.from_preset(name)
        assert str(name) in str(error.value)
        assert "Retriever" in str(error.value)
        assert "\n" not in str(error.value)
