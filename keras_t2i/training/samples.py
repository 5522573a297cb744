"""Samples of a run: images of the same held-out captions at several moments, to be measured after training."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_t2i.core.files import write_file
from keras_t2i.training.checkpoint import TrainingState

__all__ = ["Samples", "SaveSamples", "read_samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """What a run drew at one moment.

    Args:
        images: uint8, shape `(N, H, W, 3)`, one for each caption.
        step: Training steps done.
        minutes: Minutes spent in training.
    """

    images: np.ndarray
    step: int
    minutes: float


class SaveSamples(keras.callbacks.Callback):
    """Draws captions with the averaged generator whenever a run has used up another part of its budget.

    Measuring them later keeps the cost of metrics out of the training time, and lets metrics be added afterwards.
    Pass it to `keras_t2i.training.train` as a callback.

    Args:
        directory: Where `samples-01.npz` and so on are written.
        sentence_embeddings: Embeddings of the captions, float32, shape `(N, D)`.
        minutes: Minutes of training after which to draw, rising.
        steps: Steps after which to draw, instead of `minutes`.
        seed: Seed of the noise.

    Raises:
        ValueError: unless exactly one of `minutes` and `steps` is given.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        sentence_embeddings: np.ndarray,
        minutes: Sequence[float] | None = None,
        steps: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if (minutes is None) == (steps is None):
            raise ValueError("Say when to draw: pass either `minutes` or `steps`.")
        self.directory = Path(directory)
        self.sentence_embeddings = sentence_embeddings
        self.minutes = minutes
        self.steps = steps
        self.seed = seed
        self.state = TrainingState()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._drawn = sum(due <= self._now() for due in self._moments())  # A resumed run has these already.

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        passed = sum(due <= self._now() for due in self._moments())
        if passed > self._drawn:
            self._drawn = passed
            self._draw(self.directory / f"samples-{passed:02d}.npz")

    def _moments(self) -> Sequence[float]:
        return self.minutes if self.minutes is not None else self.steps or ()

    def _now(self) -> float:
        return self.state.seconds / 60 if self.minutes is not None else self.state.step

    def _draw(self, path: Path) -> None:
        images = self.model.generate_from_embeddings(self.sentence_embeddings, seed=self.seed)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images, step=self.state.step, minutes=self.state.seconds / 60)
        write_file(path, buffer.getvalue())


def read_samples(directory: str | os.PathLike[str]) -> list[Samples]:
    """Reads what `SaveSamples` has written, in order."""
    found = []
    for path in sorted(Path(directory).glob("samples-*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            found.append(Samples(arrays["images"], int(arrays["step"]), float(arrays["minutes"])))
    return sorted(found, key=lambda samples: samples.step)
