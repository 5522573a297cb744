"""A training run in a directory: it can be killed at any moment, and started again, it continues where it was."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from filelock import FileLock, Timeout

from keras_t2i.core.devices import Devices
from keras_t2i.models import Stylizer, TextToImage
from keras_t2i.training.callbacks import (
    EpochLog,
    EveryEpochs,
    Progress,
    SaveCheckpoints,
    SavePreset,
    StepBudget,
    StopOnSignals,
    TimeBudget,
)
from keras_t2i.training.checkpoint import Checkpoints, TrainingState
from keras_t2i.training.image_grid import ImageGrid
from keras_t2i.training.model_state import model_state
from keras_t2i.training.progress_bar import RunProgressBar
from keras_t2i.training.same_run import check_same_run
from keras_t2i.training.together import StopTogether, check_same_data, part, share_of

__all__ = ["DivergedError", "make_deterministic", "train"]

_ENDLESS = 1_000_000
_GRID_ROWS = 8
_VALIDATED = 512
"""Held-out images that are looked at while training, at most: by `evaluate` all that it is told to."""
_REPORT_STEPS = 100
"""Steps from one validation, grid and preset to the next, at least, where the epochs are not counted."""

_OF_ALL_WORKERS = (Progress, StopOnSignals, StopTogether, StepBudget)
"""Callbacks of workers that write nothing and look at no clock."""


class DivergedError(ValueError):
    """Training that came to a loss or a gradient which is not finite."""


def train(
    gan: TextToImage | Stylizer,
    dataset: Any,
    run_dir: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    config: dict[str, Any] | None = None,
    changed_data: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_minutes: float = 1.0,
    checkpoint_steps: int | None = None,
    tensorboard: bool = False,
    verbose: int | str = "auto",
    pictures: keras.callbacks.Callback | None = None,
) -> TrainingState:
    """Trains a model with `fit`, or goes on training it, in a run directory.

    The directory holds `config.json`, `data.json` (what is trained on, and what is held out), `log.csv` (one line an
    epoch), `grids/epoch-0001.png` and so on (held-out captions beside what the model makes of them), `checkpoints/` and
    `preset/`, the model as it is after the last epoch. Without `epochs`, small sets are validated and drawn once in a
    hundred steps, not after each of their short epochs. A run killed at any moment and started again with the same
    arguments ends with the weights that the uninterrupted run would have had, to the last bit, on the same machine with
    as many threads, provided that `make_deterministic` was called at the start of each process where training runs on a
    GPU. The state of `callbacks` of yours is not kept. Of held-out images 512 at most are validated on, always the same
    ones, which is said: so reports take at most a tenth of the time, however many there are.

    Ctrl-C and SIGTERM end it after the batch at hand, with a checkpoint.

    A model that was built in `on_devices` is trained on several devices, in steps that are those of one device with the
    same batches. Under `TF_CONFIG` each worker calls this with the same arguments: the first reads and writes the
    directory, and `callbacks` are its alone. A run can go on with other devices than it was begun with; sums are then
    added up in another order, so that its weights are no longer the same to the last bit.

    Args:
        gan: A compiled `TextToImage`, or `Stylizer`, made the same way each time.
        dataset: A `keras_t2i.data.CaptionedImages`.
        run_dir: The directory of the run.
        epochs: Epochs to train for in total. A finished run goes on where this is raised.
        minutes: Wall-clock minutes to train for in total, instead of `epochs` or as a second limit.
        steps: Steps to train for in total, likewise.
        config: What describes the run, as JSON: starting again with another one is refused. Leave the limits out.
        changed_data: Whether to go on where images have been added to the data since, or taken away, or have other
            captions. An epoch then has as many steps as it had. What the run held out has to be held out still, and
            nothing else that it knows: `Inventory.read(run_dir)` tells `from_folder` so.
        callbacks: Further callbacks for `fit`; those with an attribute `state` get the run's counters in it.
        checkpoint_minutes: Time between checkpoints.
        checkpoint_steps: Steps between checkpoints, instead of `checkpoint_minutes`.
        tensorboard: Whether to log losses and image grids for TensorBoard too, in `tensorboard/`.
        verbose: As in `fit`.
        pictures: What shows how far it has come at the end of epochs, instead of a grid of held-out captions: for a
            model that is given something else.

    Returns:
        How far the run has come.

    Raises:
        ValueError: without a limit; if the directory is in use by another run or belongs to one of another
            configuration or on other data; if its checkpoints do not fit the model; if a batch cannot be shared by
            the devices, or workers have other data.
        LostWorkerError: if another worker is gone, or was told to stop.
        DivergedError: if a loss or a gradient is not finite.
        ImportError: with `tensorboard`, if TensorBoard is not installed.
        OSError: if the directory, or the last checkpoint, cannot be written.
    """
    _check_limits(epochs, minutes, steps)
    run_dir, devices = Path(run_dir), gan.devices
    if devices.num_replicas > 1:
        devices.check(dataset.batch_size)
    with devices.watched(), _locked(run_dir, devices), StopOnSignals() as stop:
        # An epoch is a whole number of calls of the compiled function.
        at_once = gan.steps_per_execution
        epoch_steps = max(1, dataset.steps_per_epoch // at_once) * at_once
        check_same_data(devices, dataset)
        checkpoints = Checkpoints(run_dir / "checkpoints")
        begin = partial(_begin, gan, dataset, run_dir, checkpoints, config or {}, epoch_steps, changed_data)
        epoch_steps, changes, counters = devices.from_chief(begin)
        state = TrainingState(**counters)
        devices.take_over(list(model_state(gan).values()))
        if _is_finished(state, _limits(minutes, steps, state), epochs, epoch_steps):
            _say(f"{run_dir} is finished: {_progress(state)}. Raise the limit to go on.")
            return state
        if state.step:
            _say(f"Continuing {run_dir}: {_progress(state)}.{f' Its data have changed: {changes}.' if changes else ''}")
        _say_how(gan, config or {}, dataset.validation_split)
        report_every = -(-_REPORT_STEPS // epoch_steps) if epochs is None else 1
        bar = RunProgressBar(state, verbose, epochs, minutes, steps)
        if epochs is None:
            epochs = _ENDLESS if steps is None else -(-steps // epoch_steps)
        for callback in (each for each in callbacks if hasattr(each, "state")):
            callback.state = state
        # Checkpoints come last: what is on the disk is then never older than the checkpoint.
        everything = [
            bar,
            Progress(state, epoch_steps),
            stop,
            *_limits(minutes, None, state),
            *callbacks,
            *([StopTogether(devices)] if devices.num_workers > 1 else []),
            *_limits(None, steps, state),  # All workers reach these after the same step.
            *(_reports(run_dir, dataset, state, report_every, tensorboard, pictures) if devices.is_chief else []),
            SaveCheckpoints(checkpoints, state, epoch_steps, checkpoint_minutes, checkpoint_steps),
        ]
        if not devices.is_chief:
            everything = [each for each in everything if isinstance(each, _OF_ALL_WORKERS)]
        try:
            _fit(gan, dataset, state, epoch_steps, epochs, everything, validation_freq=report_every)
        except gan.stops_with as error:
            if not keras.ops.convert_to_numpy(gan.guard.stopped.value):
                _raise_if_damaged(error, checkpoints.directory)
                raise
            raise DivergedError(
                f"Training stopped after step {state.step}: a loss or a gradient is not finite. The checkpoints in "
                f"{checkpoints.directory} are from before; try a lower learning rate in a new directory."
            ) from error
        if stop.received:
            _say(f"Stopped: {_progress(state)}. Run the same again to continue.")
        part(devices, stop.received, state)
        return state


def _begin(
    gan: TextToImage | Stylizer,
    dataset: Any,
    run_dir: Path,
    checkpoints: Checkpoints,
    config: dict[str, Any],
    epoch_steps: int,
    changed_data: bool,
) -> tuple[int, str, dict[str, Any]]:
    """Begins a run, or goes on with it: steps of its epochs, what has changed in its data, and its counters."""
    epoch_steps, changes, inventory = check_same_run(run_dir, config, dataset, epoch_steps, changed_data)
    state = checkpoints.restore(gan)
    if state is None:
        state = TrainingState()
        # So that a run killed before its first checkpoint begins again from the same initial weights.
        checkpoints.save(gan, state)
    inventory.write(run_dir)
    return epoch_steps, changes, asdict(state)


def _say_how(gan: Any, config: dict[str, Any], held_out: Any) -> None:
    if config.get("mixed_precision") and gan.drawer.compute_dtype == "bfloat16":  # Else it was loaded in its own.
        _say("Computed in bfloat16, weights are kept in float32. --no-mixed-precision computes in float32.")
    if held_out is None:
        _say("Nothing is held out: pictures and numbers are of training captions.")
    elif held_out.num_images > _VALIDATED:
        _say(f"Validated on while training: {_VALIDATED} of {held_out.num_images:,} held-out images, always the same.")


def _check_limits(epochs: int | None, minutes: float | None, steps: int | None) -> None:
    if epochs is None and minutes is None and steps is None:
        raise ValueError("Say how long to train: pass `epochs`, `minutes` or `steps`.")
    if epochs is not None and epochs < 1:
        raise ValueError(f"`epochs` must be at least 1; got {epochs}.")


def _raise_if_damaged(error: Exception, checkpoints: Path) -> None:
    """Says in one line what packed images have to say, of which `tf.data` makes many."""
    found = re.search(r"DamagedShardError: (.*)", str(error))
    if found is not None:
        raise ValueError(f"{found[1]} The run goes on from {checkpoints} once they are whole.") from error


def _limits(minutes: float | None, steps: int | None, state: TrainingState) -> list[TimeBudget | StepBudget]:
    """What ends training where not the epochs do."""
    by_time: list[TimeBudget | StepBudget] = [] if minutes is None else [TimeBudget(minutes, state)]
    return by_time if steps is None else [*by_time, StepBudget(steps, state)]


def _is_finished(state: TrainingState, limits: Sequence[Any], epochs: int | None, epoch_steps: int) -> bool:
    return any(limit.used for limit in limits) or (epochs is not None and state.step >= epochs * epoch_steps)


def _reports(
    run_dir: Path,
    dataset: Any,
    state: TrainingState,
    every: int,
    tensorboard: bool,
    pictures: keras.callbacks.Callback | None,
) -> list[keras.callbacks.Callback]:
    """What shows how far it has come: pictures, losses and the model itself."""
    board = run_dir / "tensorboard" if tensorboard else None
    return [
        EveryEpochs(pictures or _image_grid(run_dir / "grids", dataset, board), every),
        *([] if board is None else [keras.callbacks.TensorBoard(board, write_graph=False)]),
        EpochLog(run_dir / "log.csv", state),
        EveryEpochs(SavePreset(run_dir / "preset"), every),
    ]


def _fit(
    gan: TextToImage | Stylizer,
    dataset: Any,
    state: TrainingState,
    epoch_steps: int,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
    **options: Any,
) -> None:
    """Keras' `fit` from where the run is: first to the end of an epoch that was begun, then epoch by epoch."""
    shared = share_of(dataset, gan.devices)
    options = {**options, "validation_data": dataset.validation_sample(_VALIDATED), "shuffle": False, "verbose": 0}
    gan.stop_training = False  # What it was stopped by is over.
    begun = state.step % epoch_steps
    if begun:
        first_epoch = state.step // epoch_steps
        gan.fit(
            shared.train_from(state.step),
            steps_per_epoch=epoch_steps - begun,
            initial_epoch=first_epoch,
            epochs=first_epoch + 1,
            callbacks=[_restored_metrics(gan), *callbacks],
            **options,
        )
    if not gan.stop_training and state.epoch < epochs:
        gan.fit(
            shared.train_from(state.step),
            steps_per_epoch=epoch_steps,
            initial_epoch=state.epoch,
            epochs=epochs,
            callbacks=callbacks,
            **options,
        )


def make_deterministic() -> None:
    """Makes training repeatable to the last bit. Call it once at the start of a process, before TensorFlow computes.

    On a CPU this changes nothing: there, the same steps in two processes with as many threads give identical weights
    as it is, oneDNN or not (other numbers of threads, other settings of oneDNN and other processors round otherwise).
    On a GPU it asks TensorFlow for deterministic kernels, which may be slower.
    """
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _progress(state: TrainingState) -> str:
    return f"{state.step} steps, {state.epoch} epochs, {state.seconds / 60:.1f} minutes"


@contextlib.contextmanager
def _locked(run_dir: Path, devices: Devices) -> Iterator[None]:
    """Keeps a second run out. The system holds the lock, so that a killed process leaves none behind."""
    if not devices.is_chief:
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(run_dir / "lock", timeout=0), run_dir / "lock.pid"
    try:
        lock.acquire()
    except Timeout as error:
        process = owner.read_text(encoding="utf-8") if owner.exists() else "of unknown number"
        raise ValueError(
            f"Process {process} is training in {run_dir}; wait for it, or choose another directory."
        ) from error
    try:
        owner.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _restored_metrics(gan: TextToImage | Stylizer) -> keras.callbacks.Callback:
    """Gives the resumed epoch the running means it was saved with, after `fit` has reset them."""
    values = [variable.numpy() for variable in gan.metrics_variables]

    def assign(epoch: int, logs: dict[str, Any] | None) -> None:
        for variable, value in zip(gan.metrics_variables, values, strict=True):
            variable.assign(value)

    return keras.callbacks.LambdaCallback(on_epoch_begin=assign)


def _image_grid(directory: Path, dataset: Any, tensorboard_dir: Path | None) -> ImageGrid:
    """A grid of captions from all over the held-out images (or the training images, where none are held out)."""
    split = dataset.validation_split or dataset.train_split
    images = np.linspace(0, split.num_images - 1, min(_GRID_ROWS, split.num_images)).astype(int)
    ids = split.caption_of_each(images)
    embeddings = None if split.embeddings is None else split.embeddings[ids]
    captions = [split.captions[number] for number in ids]
    real = split.pixels(images)
    return ImageGrid(directory, captions, embeddings, tensorboard_dir=tensorboard_dir, images=real)
