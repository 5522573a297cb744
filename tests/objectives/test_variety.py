"""Variety: what real images of a caption differ in is read from drawings, and is to be what the noise says."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from checks import EMBEDDING_DIM, make_batch, one_line, tensors, tiny_gan, tiny_networks
from PIL import Image

from keras_t2i import losses
from keras_t2i.objectives.variety import Variety
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import prepare

RANDOM = np.random.default_rng(0)
CAUSES = RANDOM.normal(size=(400, 3))
TEXTS = RANDOM.normal(size=(400, EMBEDDING_DIM)).astype(np.float32)
MEANING = RANDOM.normal(size=(EMBEDDING_DIM, 40))
DIRECTIONS = np.linalg.qr(RANDOM.normal(size=(40, 3)))[0].T
LAYOUTS = (3 + TEXTS @ MEANING + CAUSES * [4.0, 2.0, 1.0] @ DIRECTIONS).astype(np.float32)
"""What is seen of 400 images: what their captions say, and three things in which images of a caption differ."""


def read(variety: Variety, layouts: np.ndarray, texts: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(variety.read(layouts, texts))


def test_what_is_read_is_what_images_of_a_caption_differ_in_by_how_much() -> None:
    variety = Variety.of(LAYOUTS, TEXTS, 3)
    found = read(variety, LAYOUTS, TEXTS)
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(np.cov(found.T), np.eye(3), atol=0.1)
    likeness = np.abs(np.corrcoef(found.T, CAUSES.T)[:3, 3:])
    np.testing.assert_allclose(likeness, np.eye(3), atol=0.15)  # In this order: the largest comes first.
    # What the caption says is no difference, and is known of captions that were never seen.
    texts = np.random.default_rng(1).normal(size=(50, EMBEDDING_DIM)).astype(np.float32)
    expected = read(variety, (3 + texts @ MEANING).astype(np.float32), texts)
    assert expected.std() < 0.2


def test_texts_that_are_as_many_as_their_numbers_do_not_explain_everything() -> None:
    random = np.random.default_rng(2)
    layouts = random.normal(size=(40, 20)).astype(np.float32)
    texts = random.normal(size=(40, 60)).astype(np.float32)
    others = random.normal(size=(2000, 20)).astype(np.float32)
    unseen = read(Variety.of(layouts, texts, 4), others, random.normal(size=(2000, 60)).astype(np.float32))
    assert 0.5 < unseen.std() < 2.0


def test_texts_may_say_nothing() -> None:
    found = read(Variety.of(LAYOUTS, np.zeros_like(TEXTS)), LAYOUTS, TEXTS)
    # There are three causes, and as many more as captions have numbers: in no other direction do images differ.
    np.testing.assert_allclose(np.cov(found.T), np.eye(EMBEDDING_DIM + 3), atol=0.1)
    same = Variety.of(np.ones_like(LAYOUTS), TEXTS)
    assert same.num_numbers == 0


def test_the_term_is_how_far_that_is_from_the_numbers_before_the_last() -> None:
    variety = Variety.of(LAYOUTS, TEXTS, 3)
    said = read(variety, LAYOUTS, TEXTS)
    noise = np.random.default_rng(3).normal(size=(len(said), 8)).astype(np.float32)
    told = noise.copy()
    told[:, -4:-1] = said
    assert float(variety(LAYOUTS, told, TEXTS)) == pytest.approx(0.0, abs=1e-8)
    expected = (TEXTS @ MEANING + 3).astype(np.float32)  # Whatever the noise, the same picture.
    assert float(variety(expected, noise, TEXTS)) == pytest.approx(2.0, rel=0.1)
    half = Variety.of(LAYOUTS, TEXTS, 3, share=0.5, weight=1.0)
    told[:, -4:-1] *= 2
    assert float(half(LAYOUTS, told, TEXTS)) == pytest.approx(0.0, abs=1e-8)
    for wrong in ({"share": 0.0}, {"share": 1.0, "weight": -1.0}):
        with pytest.raises(ValueError, match="`share` must be positive and `weight` at least 0"):
            Variety.of(LAYOUTS, TEXTS, 3, **wrong)


@pytest.mark.parametrize("family", ["compact", "projected"])
def test_layouts_tell_where_things_are_and_can_be_followed(family: str) -> None:
    _, discriminator = tiny_networks(family)
    discriminator.build_for(EMBEDDING_DIM)
    left, right = np.zeros((2, 1, 32, 32, 3), np.float32)
    left[:, :, :16], right[:, :, 16:] = 1.0, 1.0
    grain = 0.1 * np.resize([1.0, -1.0], (1, 32, 32, 1)).astype(np.float32)
    first, second, grained = (np.asarray(discriminator.layout(each)) for each in (left, right, left + grain))
    assert first.dtype == np.float32
    assert np.linalg.norm(first - second) > 5 * np.linalg.norm(first - grained)


def variety_of(gan: object, texts: np.ndarray, **options: float) -> Variety:
    """What images of four blots at random places differ in."""
    random = np.random.default_rng(4)
    pixels = np.kron(random.uniform(-1, 1, (len(texts), 4, 4, 3)), np.ones((1, 8, 8, 1))).astype(np.float32)
    layouts = keras.ops.convert_to_numpy(gan.discriminator.layout(pixels))
    return Variety.of(layouts, np.zeros_like(texts), 4, **options)


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_training_with_it_makes_noise_say_what_a_drawing_is_like(run_eagerly: bool) -> None:
    keras.utils.set_random_seed(0)
    batch = make_batch(8, seed=2)
    texts = np.asarray(batch["sentence_embeddings"])
    gan = tiny_gan("compact", run_eagerly=run_eagerly)
    gan.mirror(True)
    variety = variety_of(gan, np.repeat(texts, 8, axis=0), weight=20.0)
    gan.variety = variety
    noise = np.random.default_rng(5).normal(size=(64, *gan.generator.noise_shape)).astype(np.float32)
    captions = np.repeat(texts, 8, axis=0)

    def obeyed() -> float:
        drawn = gan.generator(noise, captions, training=False)
        turned = gan.generator.unmirrored(drawn, noise)
        return float(variety(gan.discriminator.layout(turned), noise, captions)) / 20.0

    before = obeyed()
    for _ in range(80):
        gan.train_on_batch(batch)
    assert before > 0.9
    assert obeyed() < 0.6


def test_a_step_adds_the_term_to_the_generators_loss_alone() -> None:
    batch = tensors(make_batch(4, seed=1))
    condition = {"images": batch["images"], "condition": {"sentence_embeddings": batch["sentence_embeddings"]}}
    texts = np.asarray(batch["sentence_embeddings"])
    gan = tiny_gan("compact", run_eagerly=True)
    plain, _ = gan.losses_of(condition, 0, training=True)
    gan.variety = variety_of(gan, np.repeat(texts, 16, axis=0))
    varied, numbers = gan.losses_of(condition, 0, training=True)
    noise = keras.random.normal((4, *gan.generator.noise_shape), seed=0)
    drawn = gan.generator(noise, batch["sentence_embeddings"], training=True)
    term = float(gan.variety(gan.discriminator.layout(drawn), noise, texts))
    assert term > 0.5
    assert float(varied["generator"]) == pytest.approx(float(plain["generator"]) + term, rel=1e-4)
    assert float(numbers["generator_loss"]) == pytest.approx(float(varied["generator"]))
    assert float(varied["discriminator"]) == pytest.approx(float(plain["discriminator"]), rel=1e-5)


def test_it_is_kept_in_a_keras_file(tmp_path: Path) -> None:
    variety = Variety.of(LAYOUTS, TEXTS, 3, share=0.5, weight=3.0)
    tiny_gan("compact", variety=variety).save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").variety
    assert (again.share, again.weight) == (0.5, 3.0)
    np.testing.assert_array_equal(read(again, LAYOUTS, TEXTS), read(variety, LAYOUTS, TEXTS))


def test_what_does_not_go_with_it_is_refused_in_one_line() -> None:
    variety = Variety.of(LAYOUTS, TEXTS, 3)
    with pytest.raises(ValueError, match="`variety` asks for several images of a caption") as error:
        tiny_gan("compact", variety=variety, generator_terms=[losses.Reconstruction()])
    one_line(error)
    with pytest.raises(
        ValueError, match=r"reads .* numbers of the noise before the last; this generator has 6"
    ) as error:
        tiny_gan("compact", variety=Variety.of(LAYOUTS, TEXTS))
    one_line(error)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four pictures of three captions, eight each, and as many with a caption of their own."""
    place = tmp_path_factory.mktemp("variety")
    for kind in ("shared", "own"):
        (place / kind).mkdir()
        for number in range(24):
            pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(place / kind / f"{number:02d}.png")
            caption = f"a red picture of kind {number % 3}" if kind == "shared" else f"a red picture, number {number}"
            (place / kind / f"{number:02d}.txt").write_text(caption)
    return place


def test_a_run_asks_for_as_much_as_its_images_have(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "cache"))

    def asked(kind: str, **options: object) -> Variety | None:
        return prepare(RunConfig(str(place / kind), "mlp", image_size=32, **options)).model.variety

    assert asked("shared") is None
    whole, half = asked("shared", variety=1.0), asked("shared", variety=0.5)
    assert whole is not None
    assert half is not None
    assert (whole.share, half.share) == (1.0, 0.5)
    prepared = prepare(RunConfig(str(place / "shared"), "mlp", image_size=32))
    split = prepared.data.train_split
    images = split.pixels(np.arange(split.num_images)).astype(np.float32) / 127.5 - 1
    layouts = keras.ops.convert_to_numpy(prepared.model.discriminator.layout(images))
    found = read(whole, layouts, split.embeddings[split.caption_of_each()])
    assert 0.4 < found.std() < 1.2
    np.testing.assert_array_equal(whole.weights, asked("shared", variety=1.0).weights)  # A resumed run has the same.
    assert asked("own", variety=1.0) is not None  # Since it was asked for.
    assert asked("shared", variety=1.0, reconstruction=1.0) is None
