"""Distillation: a fast generator learns what a slow one draws, from the very noise that it was drawn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from checks import tiny_flow, tiny_gan
from command_line import Result, keras_t2i

from keras_t2i import TextToImageGAN, data
from keras_t2i.core.latents import latents_for
from keras_t2i.core.pixels import from_bytes, to_uint8
from keras_t2i.models import TextToImage
from keras_t2i.models.batch import images_and_condition
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import prepare
from keras_t2i.transfer import draw_pairs

NUM_DRAWN, LATENT_DIM = 300, 16


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory, text_encoder: Any) -> Path:
    """A preset of a flow with random weights."""
    keras.utils.set_random_seed(3)
    model = tiny_flow(text_encoder)
    model.card = {"data": "shapes"}
    path = tmp_path_factory.mktemp("teacher") / "preset"
    model.save_to_preset(path)
    return path


@pytest.fixture(scope="module")
def images(text_encoder: Any) -> data.CaptionedImages:
    return data.shapes(image_size=32, num_images=24, batch_size=8).encode(text_encoder)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pairs")


@pytest.fixture(scope="module")
def drawn(teacher: Path, images: data.CaptionedImages, place: Path) -> data.CaptionedImages:
    return draw_pairs(str(teacher), images, place / "drawn", NUM_DRAWN, LATENT_DIM)


def test_a_pair_is_what_the_teacher_draws_of_that_caption_and_noise(
    teacher: Path, images: data.CaptionedImages, drawn: data.CaptionedImages
) -> None:
    """Of noise of 32x32 pixels the student is given the means of four, and four numbers of its own."""
    split, model = drawn.train_split, TextToImage.from_preset(teacher)
    assert split.num_images == NUM_DRAWN
    assert split.latents is not None
    assert split.latents.shape == (300, LATENT_DIM)
    known = set(images.train_split.captions)
    for number in (0, 5, 255, 256, 299):
        caption = split.captions[split.caption_ids[number][0]]
        assert caption in known
        start = number // 256 * 256
        noise = latents_for(start, number - start + 1, model.drawer.noise_shape)[-1:]
        [image] = model.sampler(noise, model.text_encoder.encode([caption]))
        np.testing.assert_array_equal(split.pixels(np.array([number]))[0], image)
        quarters = noise.reshape(2, 16, 2, 16, 3).mean(axis=(1, 3)) * 16
        np.testing.assert_allclose(split.latents[number, :12], quarters.reshape(-1), atol=1e-5)
    assert abs(split.latents.mean()) < 0.1
    assert abs(split.latents.std() - 1) < 0.1
    assert len(np.unique(split.latents)) > 0.99 * split.latents.size


def test_a_batch_gives_each_image_its_caption_and_its_noise(drawn: data.CaptionedImages) -> None:
    split = drawn.train_split
    batch = next(iter(drawn.train_from(3)))
    names = ("images", "latents", "sentence_embeddings")
    for image, latents, text in zip(*(batch[n].numpy() for n in names), strict=True):
        [number] = np.flatnonzero((split.latents == latents).all(axis=1))
        np.testing.assert_allclose(image, from_bytes(split.pixels(np.array([number]))[0].astype(np.float32)), atol=1e-6)
        np.testing.assert_array_equal(text, split.embeddings[split.caption_ids[number][0]])
    held_out = next(iter(drawn.validation))
    assert "latents" not in held_out


def test_what_was_stopped_goes_on_and_nothing_is_drawn_twice(
    teacher: Path, images: data.CaptionedImages, drawn: data.CaptionedImages, place: Path
) -> None:
    first, second = sorted((place / "drawn").glob("*.npz"))
    kept, before = first.stat().st_mtime_ns, second.read_bytes()
    second.write_bytes(before[: len(before) // 2])  # As a machine that lost its power may leave it.
    again = draw_pairs(str(teacher), images, place / "drawn", NUM_DRAWN, LATENT_DIM)
    assert first.stat().st_mtime_ns == kept
    numbers = np.arange(NUM_DRAWN)
    np.testing.assert_array_equal(again.train_split.pixels(numbers), drawn.train_split.pixels(numbers))
    np.testing.assert_array_equal(again.train_split.latents, drawn.train_split.latents)


def test_images_of_another_teacher_are_not_taken_for_its_own(
    images: data.CaptionedImages, drawn: data.CaptionedImages, place: Path, text_encoder: Any, tmp_path: Path
) -> None:
    tiny_flow(text_encoder).save_to_preset(tmp_path / "other")
    with pytest.raises(ValueError, match="another teacher"):
        draw_pairs(str(tmp_path / "other"), images, place / "drawn", NUM_DRAWN, LATENT_DIM)
    tiny_flow(text_encoder, image_size=64).save_to_preset(tmp_path / "larger")
    with pytest.raises(ValueError, match="draws 64 pixels, and the student 32"):
        draw_pairs(str(tmp_path / "larger"), images, tmp_path / "drawn", NUM_DRAWN, LATENT_DIM)


def test_noise_of_a_batch_is_the_noise_that_is_drawn_from(drawn: data.CaptionedImages, text_encoder: Any) -> None:
    gan = tiny_gan("compact", text_encoder)
    batch = dict(next(iter(drawn.train_from())))
    batch["latents"] = batch["latents"][:, : gan.generator.latent_dim]
    seen: list[Any] = []
    gan.compile(generator_terms=[lambda generated, inputs: seen.append((generated, inputs["latents"])) or 0.0])
    gan.losses_of(images_and_condition(batch, None), gan.seed_generator, training=True)
    [(generated, latents)] = seen
    np.testing.assert_array_equal(latents, batch["latents"])
    expected = gan.generator(latents, batch["sentence_embeddings"], training=True)
    np.testing.assert_allclose(generated, expected, atol=1e-6)


def distance(images: np.ndarray, others: np.ndarray) -> float:
    return float(np.abs(images.astype(float) - others).mean())


@pytest.fixture(scope="module")
def vivid(place: Path, text_encoder: Any) -> Path:
    """A preset of a teacher whose pictures follow from few numbers: something that can be learned in seconds."""
    keras.utils.set_random_seed(3)
    gan = tiny_gan("mlp", text_encoder)
    gan.ema_generator.set_weights([2.5 * weight for weight in gan.ema_generator.get_weights()])
    gan.card = {"data": "shapes"}
    gan.save_to_preset(place / "preset")
    return place / "preset"


@pytest.fixture(scope="module")
def student(vivid: Path, place: Path) -> tuple[Path, Result]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        options = ("--family", "mlp", "--num-drawn", 64, "--batch-size", 8, "--steps", 60)
        return place / "run", keras_t2i("distill", str(vivid), "-o", str(place / "run"), *options)


def test_the_command_leaves_a_run_whose_student_draws_nearer_to_its_teacher(
    student: tuple[Path, Result], vivid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, result = student
    monkeypatch.setenv("XDG_CACHE_HOME", str(run.parent / "cache"))
    assert result.code == 0, result.err
    config = json.loads((run / "config.json").read_text())
    assert (config["data"], config["teacher"], config["image_size"]) == ("shapes", str(vivid), 32)
    assert config["reconstruction"] > 0
    trained = TextToImage.from_preset(run)
    assert isinstance(trained, TextToImageGAN)
    assert trained.card["teacher"] == "preset"
    split = prepare(RunConfig.read(run), run).data.train_split
    images, embeddings = split.pixels(np.arange(64)), split.embeddings[[number for [number] in split.caption_ids]]
    drawn = to_uint8(np.asarray(trained.generator(split.latents, embeddings)))  # Its average has hardly begun.
    assert images.shape == (64, 32, 32, 3)
    assert distance(drawn, images) < 0.9 * distance(drawn, np.roll(images, 1, axis=0))


def test_it_goes_on_where_it_was_and_draws_nothing_again(student: tuple[Path, Result], vivid: Path) -> None:
    run, _ = student
    shard = next((run / "drawn").glob("*.npz"))
    before = shard.stat().st_mtime_ns
    options = ("--family", "mlp", "--num-drawn", 64, "--batch-size", 8, "--steps", 62)
    again = keras_t2i("distill", str(vivid), "-o", str(run), *options)
    assert again.code == 0
    assert json.loads(again.out)["steps"] == 62
    assert shard.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--family", "flow"], "distill into a family that does not"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_distilled_is_said_in_one_line(
    teacher: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = keras_t2i("distill", str(teacher), "-o", str(tmp_path / "run"), "--steps", 1, *arguments)
    assert result.code == 2
    assert said in result.err.splitlines()[-1]
    assert not (tmp_path / "run" / "drawn").exists()
