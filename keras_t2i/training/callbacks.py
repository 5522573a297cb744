"""Callbacks of a training run: its clock, its time budget, its log, its checkpoints and its presets."""

from __future__ import annotations

import csv
import io
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_t2i.core.files import write_file
from keras_t2i.training.checkpoint import Checkpoints, TrainingState

__all__ = [
    "EpochLog",
    "EveryEpochs",
    "Progress",
    "SaveCheckpoints",
    "SavePreset",
    "StepBudget",
    "StopOnSignals",
    "TimeBudget",
]

_log = logging.getLogger(__name__)


class Progress(keras.callbacks.Callback):
    """Keeps a run's counters. Put it before the callbacks that read them.

    Time is that of the wall clock while `fit` runs: steps, validation, pictures and checkpoints.

    Args:
        state: The counters to advance, for instance those of a restored checkpoint.
        steps_per_epoch: Steps in a whole epoch.
    """

    def __init__(self, state: TrainingState, steps_per_epoch: int) -> None:
        super().__init__()
        self.state = state
        self.steps_per_epoch = steps_per_epoch
        self._last_batch = -1
        self._clock = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._clock = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._last_batch = -1

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # `batch` is the last of those done in one call, of which there are `steps_per_execution`.
        self.state.step += batch - self._last_batch
        self._last_batch = batch
        self._tick()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.state.epoch = self.state.step // self.steps_per_epoch
        self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now


class _Budget(keras.callbacks.Callback):
    """Stops `fit` at the end of the first batch after which it is used up."""

    def __init__(self, state: TrainingState) -> None:
        super().__init__()
        self.state = state

    @property
    def used(self) -> bool:
        raise NotImplementedError

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.used:
            self.model.stop_training = True


class TimeBudget(_Budget):
    """Stops `fit` at the end of the first batch past a budget, earlier processes of the same run included.

    Args:
        minutes: The budget.
        state: The run's counters, advanced by `Progress`.

    Raises:
        ValueError: if `minutes` is not positive.
    """

    def __init__(self, minutes: float, state: TrainingState) -> None:
        super().__init__(state)
        if not minutes > 0:
            raise ValueError(f"`minutes` must be positive; got {minutes}.")
        self.minutes = minutes

    @property
    def used(self) -> bool:
        return self.state.seconds >= 60 * self.minutes


class StepBudget(_Budget):
    """Stops `fit` once a run has done so many steps, in all its processes.

    Args:
        steps: The budget.
        state: The run's counters, advanced by `Progress`.

    Raises:
        ValueError: if `steps` is not positive.
    """

    def __init__(self, steps: int, state: TrainingState) -> None:
        super().__init__(state)
        if steps < 1:
            raise ValueError(f"`steps` must be at least 1; got {steps}.")
        self.steps = steps

    @property
    def used(self) -> bool:
        return self.state.step >= self.steps


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves a checkpoint every so many minutes, or steps, and when training ends.

    Where one cannot be saved (a full disk), one line says so and training goes on: the earlier checkpoints are
    untouched and the next is tried in its turn. Only the one at the end of training raises `OSError`.

    Args:
        checkpoints: Where to save.
        state: The run's counters, advanced by `Progress`.
        steps_per_epoch: Steps in a whole epoch.
        minutes: Time between checkpoints.
        steps: Steps between checkpoints, instead of `minutes`.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        state: TrainingState,
        steps_per_epoch: int,
        minutes: float = 1.0,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        self.checkpoints = checkpoints
        self.state = state
        self.steps_per_epoch = steps_per_epoch
        self.minutes = minutes
        self.steps = steps
        self._saved = TrainingState(state.step, state.epoch, state.seconds)
        self._running_means: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.stop_training:
            self._running_means = [variable.numpy() for variable in self.model.metrics_variables]
        # An epoch's last step is saved in `on_epoch_end`: a run resumed between the two would miss that call.
        if self.state.step % self.steps_per_epoch:
            self._save_if_due()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._save_if_due()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # Where `fit` was stopped within an epoch, validation has used the metrics since.
        for variable, value in zip(self.model.metrics_variables, self._running_means, strict=False):
            variable.assign(value)
        if self.state != self._saved:
            self._save()

    def _save_if_due(self) -> None:
        if self.steps is not None:
            due = self.state.step - self._saved.step >= self.steps
        else:
            due = self.state.seconds - self._saved.seconds >= 60 * self.minutes
        if due:
            try:
                self._save()
            except OSError as error:
                _log.warning("%s Training goes on.", error)
                self._saved.seconds = self.state.seconds

    def _save(self) -> None:
        if keras.ops.convert_to_numpy(self.model.guard.stopped.value):  # JAX fails some steps later.
            return
        self.checkpoints.save(self.model, self.state)
        self._saved = TrainingState(self.state.step, self.state.epoch, self.state.seconds)


class EpochLog(keras.callbacks.Callback):
    """Keeps a CSV file with one line an epoch, its first column counted from 1 as the pictures are.

    The file is replaced as a whole, so that it never holds half a line; the lines of an epoch that is done again, and
    of those after it, are dropped, which Keras' own logger does not do.

    Args:
        path: The file.
        state: The run's counters, advanced by `Progress`; logged as `step` and `minutes`.
    """

    def __init__(self, path: str | os.PathLike[str], state: TrainingState) -> None:
        super().__init__()
        self.path = Path(path)
        self.state = state

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rows = list(csv.DictReader(self.path.read_text(encoding="utf-8").splitlines())) if self.path.exists() else []
        rows = [row for row in rows if int(row["epoch"]) <= epoch]
        now = {"epoch": epoch + 1, "step": self.state.step, "minutes": round(self.state.seconds / 60, 3)}
        rows.append({**now, **{name: float(value) for name, value in (logs or {}).items()}})
        text = io.StringIO(newline="")
        # The last epoch of a run, and those between two validations, lack some.
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(text, list(names))
        writer.writeheader()
        writer.writerows(rows)
        write_file(self.path, text.getvalue())


class EveryEpochs(keras.callbacks.Callback):
    """Lets another callback know of every so many epochs only, and of the last one when training ends.

    Args:
        callback: One that acts at the end of epochs.
        every: Epochs from one to the next.
    """

    def __init__(self, callback: keras.callbacks.Callback, every: int) -> None:
        super().__init__()
        self.callback = callback
        self.every = every
        self._last: tuple[int, dict[str, Any] | None] | None = None

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self.callback.set_model(model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._last = (epoch, logs)
        if (epoch + 1) % self.every == 0:
            self._tell()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._tell()
        self.callback.on_train_end(logs)

    def _tell(self) -> None:
        if self._last is not None:
            self.callback.on_epoch_end(*self._last)
            self._last = None


class SavePreset(keras.callbacks.Callback):
    """Writes the model as a preset at the end of every epoch; a full disk is dealt with as by `SaveCheckpoints`.

    Args:
        directory: The preset's directory, replaced each time.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        super().__init__()
        self.directory = Path(directory)
        self._failed = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        try:
            self.model.save_to_preset(self.directory)
            self._failed = False
        except OSError as error:
            _log.warning("Could not write %s (%s). Training goes on.", self.directory, error.strerror or error)
            self._failed = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._failed:
            self.model.save_to_preset(self.directory)


class StopOnSignals(keras.callbacks.Callback):
    """Lets Ctrl-C and SIGTERM end training at the end of the batch, where a checkpoint can be saved.

    Use it as a context around `fit` as well as a callback of it. A second signal does what it did before, as do all
    outside of the main thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        self.received = True
        signal.signal(number, self._before[number])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.received:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.on_train_batch_end(0)
