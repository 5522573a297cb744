"""Unknown words are drawn to known ones, and known captions stay where they are."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from checks import move_weights, one_line, tiny_gan

import keras_t2i
from keras_t2i.core.files import write_checksums
from keras_t2i.core.latents import latents_for
from keras_t2i.data import SHAPE_ATTRIBUTES, shape_synonym_captions, shapes
from keras_t2i.export.litert_runner import LiteRTBundle
from keras_t2i.metrics import AttributeJudge
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.text import CaptionDenoiser, TextEncoder

KNOWN = {
    "color": ("red", "blue", "green", "yellow"),
    "shape": ("circle", "square", "star", "heart"),
    "background": ("white", "black"),
}
LEFT_OUT = [(0, 2, 1), (1, 0, 0), (3, 3, 1)]


def caption(color: str, shape: str, background: str) -> str:
    return f"a {color} {shape} on a {background} background"


def captions(rows: list[tuple[int, int, int]]) -> list[str]:
    return [caption(*(words[i] for words, i in zip(KNOWN.values(), row, strict=True))) for row in rows]


ALL = [(c, s, b) for c in range(4) for s in range(4) for b in range(2)]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder.from_preset("caption_mini_en")


@pytest.fixture(scope="module")
def denoiser(encoder: TextEncoder) -> CaptionDenoiser:
    made = CaptionDenoiser(width=128, noise=1.0)
    made.adapt(encoder.encode(captions([row for row in ALL if row not in LEFT_OUT])), updates=600, verbose=0)
    return made


def nearest(encoder: TextEncoder, embeddings: np.ndarray) -> list[tuple[int, int, int]]:
    every = encoder.encode(captions(ALL))
    return [ALL[int(np.argmin(((every - row) ** 2).sum(axis=1)))] for row in embeddings]


def apart(encoder: TextEncoder, embeddings: np.ndarray, rows: list[tuple[int, int, int]]) -> float:
    return float(np.mean((embeddings - encoder.encode(captions(rows))) ** 2))


def test_known_captions_and_their_new_combinations_stay_what_they_are(
    encoder: TextEncoder, denoiser: CaptionDenoiser
) -> None:
    moved = denoiser.predict(encoder.encode(captions(ALL)), verbose=0)
    assert nearest(encoder, moved) == ALL
    shuffled = ALL[1:] + ALL[:1]
    assert apart(encoder, moved, ALL) < 0.1 * apart(encoder, moved, shuffled)


def test_other_words_arrive_at_known_ones(encoder: TextEncoder, denoiser: CaptionDenoiser) -> None:
    others = [
        (caption("crimson", "circle", "white"), (0, 0, 0)),
        (caption("azure", "star", "black"), (1, 2, 1)),
        (caption("red", "disk", "black"), (0, 0, 1)),
    ]
    given = encoder.encode([text for text, _ in others])
    moved = denoiser.predict(given, verbose=0)
    meant = [row for _, row in others]
    assert nearest(encoder, moved) == meant
    assert apart(encoder, moved, meant) < 0.5 * apart(encoder, given, meant)


def test_what_is_learned_depends_on_the_seed_alone(encoder: TextEncoder) -> None:
    embeddings = encoder.encode(captions(ALL))
    results = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(len(results))
        some = CaptionDenoiser(width=16, seed=seed)
        some.adapt(embeddings, updates=5, batch_size=8, verbose=0)
        results.append(some.predict(embeddings, verbose=0))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-3


def test_nothing_moves_before_it_has_learned(encoder: TextEncoder) -> None:
    embeddings = encoder.encode(captions(ALL))
    np.testing.assert_array_equal(CaptionDenoiser(width=16).predict(embeddings, verbose=0), embeddings)


def test_it_is_saved_and_loaded_like_a_keras_model(
    encoder: TextEncoder, denoiser: CaptionDenoiser, tmp_path: Path
) -> None:
    denoiser.save(tmp_path / "denoiser.keras")
    loaded = keras.models.load_model(tmp_path / "denoiser.keras")
    assert isinstance(loaded, CaptionDenoiser)
    embeddings = encoder.encode([caption("scarlet", "disk", "snowy")])
    np.testing.assert_array_equal(loaded.predict(embeddings, verbose=0), denoiser.predict(embeddings, verbose=0))
    loaded.adapt(encoder.encode(captions(ALL)), updates=2, verbose=0)  # And can learn other captions.


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a red circle"], "shape (1,)"),
        (np.ones((1, 4), np.float32), "at least two"),
        (np.full((3, 4), np.nan, np.float32), "finite"),
        (np.ones((3, 4), np.float32), "same embedding"),
        (np.ones((3, 4), np.int32), "int32"),
    ],
)
def test_bad_embeddings_are_refused_in_one_line(rows: np.ndarray, expected: str) -> None:
    with pytest.raises(ValueError, match=r"must be finite|nothing to tell apart") as caught:
        CaptionDenoiser().adapt(rows)
    assert expected in one_line(caught)


@pytest.mark.parametrize("options", [{"noise": 0.0}, {"steps": 0}, {"width": 0}])
def test_bad_settings_are_refused_in_one_line(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0") as caught:
        CaptionDenoiser(**options)  # type: ignore[arg-type]
    assert str(next(iter(options))) in one_line(caught)


UNKNOWN = [caption("crimson", "disk", "white"), caption("azure", "star", "black")]


@pytest.fixture(scope="module")
def gan(encoder: TextEncoder, denoiser: CaptionDenoiser) -> TextToImageGAN:
    """A model with a denoiser."""
    keras.utils.set_random_seed(0)
    made = tiny_gan("compact", encoder)
    made.adapt(captions(ALL))
    move_weights(made.generator)
    made.ema_generator.set_weights(made.generator.get_weights())
    made.caption_denoiser = denoiser
    return made


def test_a_model_draws_prompts_as_the_denoiser_has_them(gan: TextToImageGAN, encoder: TextEncoder) -> None:
    images = gan.generate(UNKNOWN)
    plain = gan.generate_from_embeddings(encoder.encode(UNKNOWN))
    moved = gan.generate_from_embeddings(gan.caption_denoiser.predict(encoder.encode(UNKNOWN), verbose=0))
    assert np.abs(images.astype(int) - moved).max() <= 1
    assert np.abs(images.astype(int) - plain).max() > 10
    np.testing.assert_array_equal(gan.generate([*UNKNOWN, "a heart"])[:2], images)
    inputs = {"latents": latents_for(0, 2, gan.generator.latent_dim), "captions": np.array(UNKNOWN, object)}
    called = np.rint((gan.predict(inputs, verbose=0) + 1) * 127.5)
    assert np.abs(called - images).max() <= 1


def test_presets_and_exports_have_it(gan: TextToImageGAN, tmp_path: Path) -> None:
    images = gan.generate(UNKNOWN, num_images=2, seed=3)
    gan.save_to_preset(tmp_path / "preset")
    gan.save_to_preset(tmp_path / "half", dtype="float16")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    np.testing.assert_array_equal(loaded.generate(UNKNOWN, num_images=2, seed=3), images)
    assert loaded.fingerprint() == gan.fingerprint()
    half = TextToImageGAN.from_preset(tmp_path / "half")
    assert np.abs(half.generate(UNKNOWN, num_images=2, seed=3).astype(int) - images).max() <= 8

    gan.export(tmp_path / "saved_model")
    graph = tf.saved_model.load(tmp_path / "saved_model").signatures["generate"]
    drawn = graph(prompts=tf.constant(UNKNOWN), seeds=tf.constant([3, 3], tf.int64), truncation=tf.constant([1.0, 1.0]))
    assert np.abs(drawn["images"].numpy()[0].astype(int) - gan.generate(UNKNOWN, seed=3)[0]).max() <= 1

    gan.export(tmp_path / "litert", "litert")
    bundle = LiteRTBundle(tmp_path / "litert")
    assert np.abs(bundle.generate(UNKNOWN, num_images=2, seed=3).astype(int) - images).max() <= 1
    assert "drawn to the captions" in bundle.description["text_encoder"]["normalization"]


def test_a_model_adapted_to_other_captions_has_none(gan: TextToImageGAN, tmp_path: Path) -> None:
    with_one = gan.fingerprint(), gan.generate(UNKNOWN)
    gan.save_to_preset(tmp_path / "preset")
    loaded = TextToImageGAN.from_preset(tmp_path / "preset")
    before = len(loaded.weights)
    loaded.adapt(["a smiling face", "a sad face with a hat"])
    assert loaded.caption_denoiser is None
    assert len(loaded.weights) == before - len(gan.caption_denoiser.weights)
    loaded.adapt(captions(ALL))
    assert loaded.fingerprint() != with_one[0]
    assert np.abs(loaded.generate(UNKNOWN).astype(int) - with_one[1]).max() > 10
    loaded.save_to_preset(tmp_path / "preset")
    assert not (tmp_path / "preset" / "caption_denoiser.weights.h5").exists()


def test_predict_follows_when_it_comes_and_goes(gan: TextToImageGAN) -> None:
    inputs = {"latents": latents_for(0, 2, gan.generator.latent_dim), "captions": np.array(UNKNOWN, object)}
    denoiser, with_it = gan.caption_denoiser, gan.predict(inputs, verbose=0)
    try:
        gan.caption_denoiser = None
        assert np.abs(gan.predict(inputs, verbose=0) - with_it).max() > 0.05
    finally:
        gan.caption_denoiser = denoiser
    np.testing.assert_array_equal(gan.predict(inputs, verbose=0), with_it)


def test_a_preset_whose_denoiser_is_none_of_ours_is_refused(gan: TextToImageGAN, tmp_path: Path) -> None:
    gan.save_to_preset(tmp_path / "preset")
    path = tmp_path / "preset" / "config.json"
    config = json.loads(path.read_text())
    config["caption_denoiser"]["dtype"] = {"module": "os", "class_name": "system", "config": {}}
    path.write_text(json.dumps(config))
    write_checksums(tmp_path / "preset")
    with pytest.raises(ValueError, match="not one that a preset may hold") as caught:
        TextToImageGAN.from_preset(tmp_path / "preset")
    assert one_line(caught)


def share_of_synonyms_drawn_right(gan: TextToImageGAN, every: int) -> float:
    """Of held-out captions with one word that was never trained on, how many have all five attributes right."""
    judge = AttributeJudge.load(SHAPE_ATTRIBUTES, Path(keras_t2i.__file__).parent / "metrics" / "judges" / "shapes.npz")
    split = shapes().validation_split
    assert split is not None
    captions, labels, _ = shape_synonym_captions(split.labels)
    return float((judge.predict(gan.generate(captions[::every])) == labels[::every]).all(axis=1).mean())


def test_shapes_64_draws_what_synonyms_mean() -> None:
    """Of all captions 90.3 %: see its card. Of these 200 it was 85.0 %, and 73.5 % without its denoiser."""
    gan = TextToImageGAN.from_preset("shapes_64")
    with_it = share_of_synonyms_drawn_right(gan, every=8)
    gan.caption_denoiser = None
    assert with_it > max(0.8, share_of_synonyms_drawn_right(gan, every=8) + 0.05)


@pytest.mark.slow
def test_a_new_denoiser_does_as_well() -> None:
    """Three seeds gave 90.4 to 91.2 %, and 78.6 % without one: see the README."""
    gan = TextToImageGAN.from_preset("shapes_64")
    gan.caption_denoiser = None
    before = share_of_synonyms_drawn_right(gan, every=1)
    denoiser = CaptionDenoiser()
    denoiser.adapt(gan.text_encoder.encode(shapes().train_split.captions), verbose=0)
    gan.caption_denoiser = denoiser
    assert share_of_synonyms_drawn_right(gan, every=1) > 0.89 > before + 0.05
