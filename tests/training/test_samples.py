"""Samples of a run: drawn when their share of the budget is used up, once, and the same as the model draws."""

from __future__ import annotations

import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
from checks import EMBEDDING_DIM, move_weights, tiny_gan

from keras_t2i import data, training


@pytest.fixture(scope="module")
def dataset() -> data.CaptionedImages:
    class RandomEncoder:
        def encode(self, captions: list[str]) -> np.ndarray:
            return np.random.default_rng(0).normal(size=(len(captions), EMBEDDING_DIM)).astype(np.float32)

    return data.shapes(image_size=32, batch_size=4).encode(RandomEncoder())


def run(path: Path, dataset: data.CaptionedImages, steps: int, moments: list[int]) -> tuple:
    keras.utils.set_random_seed(7)
    gan = tiny_gan("mlp")
    move_weights(gan.generator, 0.3)  # Fresh ones draw gray alone.
    gan.ema_generator.set_weights(gan.generator.get_weights())
    embeddings = dataset.train_split.embeddings[:3]
    callback = training.SaveSamples(path / "samples", embeddings, steps=moments)
    state = training.train(gan, dataset, path, steps=steps, callbacks=[callback], verbose=0)
    return gan, embeddings, state


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, dataset: data.CaptionedImages) -> tuple:
    """A run of six steps with samples at three moments: its directory, and what `run` returns."""
    path = tmp_path_factory.mktemp("samples") / "whole"
    return path, *run(path, dataset, 6, [2, 4, 6])


def test_samples_are_what_the_model_draws_then(whole: tuple) -> None:
    path, gan, embeddings, state = whole
    assert state.step == 6
    samples = training.read_samples(path / "samples")
    assert [one.step for one in samples] == [2, 4, 6]
    assert (samples[-1].images == gan.generate_from_embeddings(embeddings)).all()
    assert (samples[0].images != samples[-1].images).any()
    assert all(earlier.minutes < later.minutes for earlier, later in itertools.pairwise(samples))


def test_a_resumed_run_has_the_samples_of_an_uninterrupted_one_and_ends_to_the_step(
    whole: tuple, tmp_path: Path, dataset: data.CaptionedImages
) -> None:
    for _ in range(2):  # The second time it is finished.
        assert run(tmp_path, dataset, 3, [2, 4, 6])[-1].step == 3
    early = (tmp_path / "samples" / "samples-01.npz").read_bytes()
    run(tmp_path, dataset, 6, [2, 4, 6])
    assert (tmp_path / "samples" / "samples-01.npz").read_bytes() == early
    expected, halves = (training.read_samples(path / "samples") for path in (whole[0], tmp_path))
    assert [one.step for one in expected] == [one.step for one in halves]
    for one, other in zip(expected, halves, strict=True):
        np.testing.assert_array_equal(one.images, other.images)


def test_moments_are_either_minutes_or_steps(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either `minutes` or `steps`"):
        training.SaveSamples(tmp_path, np.zeros((1, 2)), minutes=[1.0], steps=[1])
