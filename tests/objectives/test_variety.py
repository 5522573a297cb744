"""Variety asked for: two images of a caption are drawn, and pushed apart as far as real ones are, and no further."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from checks import make_batch, tensors, tiny_gan
from PIL import Image

from keras_t2i import losses
from keras_t2i.objectives.variety import Variety, in_pairs, layout_distance
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import prepare

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(-1, 1, (6, 32, 32, 3)).astype(np.float32)


def test_layout_is_what_lies_where_and_not_how_light_or_how_grained() -> None:
    assert np.asarray(layout_distance(IMAGES, IMAGES + 0.3)).max() < 1e-6
    grain = 0.5 * np.resize([1.0, -1.0], (1, 32, 32, 1)).astype(np.float32)
    assert np.asarray(layout_distance(IMAGES, IMAGES + grain)).max() < 1e-6
    left, right = np.zeros((2, 1, 32, 32, 3), np.float32)
    left[:, :, :16], right[:, :, 16:] = 1.0, 1.0
    np.testing.assert_allclose(layout_distance(left, right), [1.0], rtol=1e-6)


def test_the_term_is_the_missing_share_and_nothing_beyond_the_distance_of_real_ones() -> None:
    found = float(np.mean(layout_distance(IMAGES[::2], IMAGES[1::2])))
    assert float(Variety(2 * found)(IMAGES)) == pytest.approx(0.5)
    assert float(Variety(2 * found, weight=3.0)(IMAGES)) == pytest.approx(1.5)
    assert float(Variety(0.9 * found)(IMAGES)) == 0.0
    assert float(Variety(found)(np.repeat(IMAGES[::2], 2, axis=0))) == 1.0
    assert float(Variety(found)(IMAGES[:5])) == pytest.approx(float(Variety(found)(IMAGES[:4])))  # The last is alone.
    for wrong in ({"distance": 0.0}, {"distance": 1.0, "weight": -1.0}):
        with pytest.raises(ValueError, match="`distance` must be positive and `weight` at least 0"):
            Variety(**wrong)


def test_rows_come_in_pairs() -> None:
    assert np.asarray(in_pairs(np.arange(5))).tolist() == [0, 0, 2, 2, 4]


def test_a_step_draws_every_second_caption_twice_and_judges_it_with_its_own() -> None:
    seen: list[np.ndarray] = []

    class Spy(Variety):
        def __call__(self, generated):
            seen.append(keras.ops.convert_to_numpy(generated))
            return super().__call__(generated)

    batch = tensors(make_batch(4, seed=1))
    plain = tiny_gan("compact", run_eagerly=True)
    varied = tiny_gan("compact", run_eagerly=True, variety=Spy(1.0, weight=0.0))
    twice = {**batch, "sentence_embeddings": in_pairs(batch["sentence_embeddings"])}
    condition = {"images": batch["images"], "condition": {"sentence_embeddings": batch["sentence_embeddings"]}}
    losses_, numbers = varied.losses_of(condition, 0, training=True)
    noise = keras.random.normal((4, *varied.generator.noise_shape), seed=0)
    drawn = keras.ops.convert_to_numpy(varied.generator(noise, twice["sentence_embeddings"], training=True))
    np.testing.assert_allclose(seen[0], drawn, atol=1e-5)
    # Real images are judged with their own captions all the same: without fakes, both steps would learn the same.
    verdict = plain.objective(
        varied.discriminator,
        batch["images"],
        drawn,
        batch["sentence_embeddings"],
        True,
        generated_text=twice["sentence_embeddings"],
    )
    assert float(numbers["generator_loss"]) == pytest.approx(float(verdict.generator_loss), rel=1e-4)
    assert float(losses_["generator"]) == pytest.approx(float(verdict.generator_loss), rel=1e-4)
    wrong = plain.objective(varied.discriminator, batch["images"], drawn, batch["sentence_embeddings"], True)
    assert float(wrong.generator_loss) != pytest.approx(float(verdict.generator_loss), rel=1e-4)
    # What is held out is drawn with its own captions.
    varied.losses_of(condition, 0, training=False)
    assert len(seen) == 1


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_training_with_it_draws_a_caption_in_as_many_ways_as_asked(run_eagerly: bool) -> None:
    keras.utils.set_random_seed(0)
    batch = make_batch(8, seed=2)
    gan = tiny_gan("compact", run_eagerly=run_eagerly, variety=Variety(0.3, weight=20.0), ema_decay=0.5)
    captions = np.asarray(in_pairs(batch["sentence_embeddings"]))

    def apart() -> float:
        images = gan.generate_from_embeddings(np.tile(captions, (4, 1)), seed=3).astype(np.float32) / 127.5 - 1
        return float(np.mean(layout_distance(images[::2], images[1::2])))

    before = apart()
    for _ in range(60):
        gan.train_on_batch(batch)
    assert before < 0.1
    assert 0.25 < apart() < 0.38


def test_it_is_kept_in_a_keras_file(tmp_path: Path) -> None:
    gan = tiny_gan("compact", variety=Variety(0.25, weight=2.0))
    gan.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").variety
    assert (again.distance, again.weight) == (0.25, 2.0)


def test_it_does_not_go_with_terms_that_want_the_one_image_of_a_caption() -> None:
    with pytest.raises(ValueError, match="`variety` asks for several images of a caption"):
        tiny_gan("compact", variety=Variety(0.25), generator_terms=[losses.Reconstruction()])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of three captions, four each, and as many with a caption of their own."""
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
    split = prepare(RunConfig(str(place / "shared"), "mlp", image_size=32)).data.train_split
    images = split.pixels(np.arange(split.num_images)).astype(np.float32) / 127.5 - 1
    every = [float(layout_distance(images[i][None], images[j][None])[0]) for i in range(6) for j in range(6, 12)]
    assert whole.distance == pytest.approx(np.mean(every), rel=0.15)
    assert half.distance == pytest.approx(whole.distance / 2)
    assert asked("own", variety=1.0) is not None  # The nearest captions', since it was asked for.
    assert asked("shared", variety=1.0, reconstruction=1.0) is None
