"""A run that is interrupted at any moment, by a signal or by an error of a callback, ends as if undisturbed."""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_resume import read_log
from tiny_run import STEPS_PER_EPOCH, ShortEpochs, digest, make_gan

from keras_t2i.training import Checkpoints, TrainingState, train
from keras_t2i.training.model_state import model_state

EPOCHS = 2
WAYS = ("SIGINT", "SIGTERM", "RuntimeError", "KeyboardInterrupt")


class Interrupt(keras.callbacks.Callback):
    """Interrupts at an event of `fit`, counted from its begin."""

    def __init__(self, way: str, at: int) -> None:
        super().__init__()
        self.way, self.left = way, at

    def _event(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0 and self.way.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, self.way))
        elif self.left == 0:
            raise {"RuntimeError": RuntimeError, "KeyboardInterrupt": KeyboardInterrupt}[self.way]("of a callback")

    on_epoch_begin = on_epoch_end = on_train_batch_begin = on_train_batch_end = on_test_batch_end = _event


EVENTS = EPOCHS * (2 + 2 * STEPS_PER_EPOCH + 2)
"""Ends of batches of validation among them."""


class Undisturbed:
    """A model with the state that it begins with, the data, and what an undisturbed run comes to."""

    def __init__(self, place: Path) -> None:
        self.gan, self.dataset = make_gan("mlp"), ShortEpochs()
        self.begin = {name: variable.numpy() for name, variable in model_state(self.gan).items()}
        self.run = place / "whole"
        self.train(self.run)
        self.digest, self.log = digest(self.gan), read_log(self.run)

    def train(self, run: Path, *callbacks: Any) -> TrainingState:
        options: dict[str, Any] = {"epochs": EPOCHS, "checkpoint_steps": 3, "verbose": 0}
        return train(self.gan, self.dataset, run, callbacks=callbacks, **options)

    def check(self, run: Path, way: str, at: int) -> None:
        for name, variable in model_state(self.gan).items():
            variable.assign(self.begin[name])
        if way.startswith("SIG"):
            state = self.train(run, Interrupt(way, at))
            kept = Checkpoints(run / "checkpoints").restore(self.gan)
            assert kept.step == state.step <= at  # Nothing that was done is lost.
        else:
            with pytest.raises((RuntimeError, KeyboardInterrupt), match="of a callback"):
                self.train(run, Interrupt(way, at))
        for variable in self.gan.weights:  # As in another process, where the checkpoints alone may decide.
            variable.assign(np.zeros(variable.shape))
        assert self.train(run).step == EPOCHS * STEPS_PER_EPOCH
        assert digest(self.gan) == self.digest
        assert read_log(run) == self.log
        for grid in (self.run / "grids").iterdir():
            assert (run / "grids" / grid.name).read_bytes() == grid.read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize(("way", "at"), [("SIGTERM", 8), ("SIGINT", 19), ("RuntimeError", 30)])
def test_interrupted_once_it_ends_as_if_undisturbed(
    undisturbed: Undisturbed, tmp_path: Path, way: str, at: int
) -> None:
    undisturbed.check(tmp_path, way, at)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_interrupted_at_twenty_moments(undisturbed: Undisturbed, tmp_path: Path) -> None:
    draw = random.Random(0)
    for number in range(20):
        undisturbed.check(tmp_path / str(number), WAYS[number % len(WAYS)], draw.randint(1, EVENTS))
