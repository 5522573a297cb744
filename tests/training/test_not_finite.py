"""What is not finite, wherever it comes from: training stops in that step, and neither weights nor files have it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

sys.path.insert(0, str(Path(__file__).parent))
from keras_t2i.losses import NonSaturating
from keras_t2i.penalties import R1
from tiny_run import STEPS_PER_EPOCH, ShortEpochs, make_gan

from keras_t2i.training import Checkpoints, DivergedError, train
from keras_t2i.training.model_state import model_state

PLACES = (
    "generator_loss",
    "discriminator_loss",
    "penalty",
    "generator_gradient",
    "discriminator_gradient",
    "optimizer_slot",
)
BAD = (np.nan, np.inf, -np.inf)


class Spoiled:
    """A model with a variable for each place: what is not zero there is added to what is computed."""

    def __init__(self, family: str) -> None:
        self.added = {place: keras.Variable(0.0, trainable=False) for place in PLACES[:-1]}
        outer = self

        class Loss(NonSaturating):
            def discriminator(self, *logits: Any) -> Any:
                return super().discriminator(*logits) + outer.added["discriminator_loss"]

        class Penalty(R1):
            def __call__(self, *arguments: Any) -> Any:
                return super().__call__(*arguments) + outer.added["penalty"] + outer.cliff("discriminator")

        def term(generated: Any, inputs: Any) -> Any:
            return outer.added["generator_loss"] + outer.cliff("generator")

        self.gan = make_gan(family, loss=Loss(), penalty=Penalty(interval=1), generator_terms=[term])

    def cliff(self, side: str) -> Any:
        """Nothing, with a gradient that is infinite where it is asked for: the square root of 0."""
        weight = getattr(self.gan, side).trainable_variables[-1].value
        nothing = ops.sum(weight - ops.stop_gradient(weight))
        wanted = self.added[f"{side}_gradient"]
        return wanted * ops.sqrt(nothing + 1.0 - wanted)

    def spoil(self, place: str, random: np.random.Generator) -> Any:
        """Spoils a place; returns a function that mends it."""
        if place == "optimizer_slot":
            optimizer = (self.gan.generator_optimizer, self.gan.discriminator_optimizer)[random.integers(2)]
            slots = [each for each in optimizer.variables if len(each.shape)]
            variable: Any = slots[random.integers(len(slots))]
        else:
            variable = self.added[place]
        before = variable.numpy()
        value = np.array(before)
        value.flat[random.integers(value.size)] = 1.0 if place.endswith("gradient") else random.choice(BAD)
        variable.assign(value)
        return lambda: variable.assign(before)


class SpoilAt(keras.callbacks.Callback):
    """Spoils a place before a batch, and remembers everything as it was then."""

    def __init__(self, spoiled: Spoiled, place: str, batch: int, random: np.random.Generator) -> None:
        super().__init__()
        self.spoiled, self.place, self.batch, self.random = spoiled, place, batch, random

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == self.batch:
            self.mend = self.spoiled.spoil(self.place, self.random)
            self.before = everything(self.spoiled.gan)


def everything(gan: Any) -> dict[str, np.ndarray]:
    """Weights, statistics, averages and slots."""
    return {
        name: variable.numpy()
        for name, variable in model_state(gan).items()
        if not name.startswith(("random/", "metrics/", "state/")) and "seed" not in variable.path
    }


def check(spoiled: Spoiled, place: str, batch: int, run_dir: Path, random: np.random.Generator) -> None:
    spoil = SpoilAt(spoiled, place, batch, random)
    line = f"Training stopped after step {batch}: a loss or a gradient is not finite. The checkpoints in"
    with pytest.raises(DivergedError, match=re.escape(line)):
        train(spoiled.gan, ShortEpochs(), run_dir, epochs=1, callbacks=[spoil], checkpoint_steps=1, verbose=0)
    after = everything(spoiled.gan)
    assert len(after) > 40
    for name, value in spoil.before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    spoil.mend()
    checkpoints = Checkpoints(run_dir / "checkpoints")
    assert checkpoints.restore(spoiled.gan).step == batch
    assert all(np.isfinite(value).all() for value in everything(spoiled.gan).values())


@pytest.fixture(scope="module")
def spoiled() -> Spoiled:
    return Spoiled("mlp")


@pytest.mark.parametrize("place", PLACES)
def test_it_is_caught_in_its_step_and_changes_nothing(spoiled: Spoiled, tmp_path: Path, place: str) -> None:
    check(spoiled, place, 2, tmp_path, np.random.default_rng(0))


def test_a_gradient_whose_square_is_not_finite_is_caught_before_it_is_kept(tmp_path: Path) -> None:
    """Adam would keep an infinite square, and never again move that weight."""
    gan = make_gan("mlp", penalty=None, generator_terms=[lambda images, inputs: 1e25 * ops.mean(images)])
    before = everything(gan)
    with pytest.raises(DivergedError, match="after step 0"):
        train(gan, ShortEpochs(), tmp_path, epochs=1, verbose=0)
    assert all(np.array_equal(value, before[name]) for name, value in everything(gan).items())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", ["mlp", "dcgan"])
def test_sixty_injections_are_caught(tmp_path: Path, family: str) -> None:
    spoiled, random = Spoiled(family), np.random.default_rng(1)
    for number in range(60):
        batch = int(random.integers(STEPS_PER_EPOCH))
        check(spoiled, PLACES[number % len(PLACES)], batch, tmp_path / str(number), random)
