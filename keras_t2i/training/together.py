"""What several workers of one run have to do alike: to have the same data, and to stop after the same step."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import keras

from keras_t2i.core.devices import Devices, LostWorkerError
from keras_t2i.data import Inventory
from keras_t2i.training.checkpoint import TrainingState

__all__ = ["StopTogether", "check_same_data", "part", "share_of"]


def check_same_data(devices: Devices, dataset: Any) -> None:
    """Raises `ValueError` in all workers unless they have the same data."""
    if devices.num_workers == 1:
        return
    about = json.dumps([asdict(Inventory.of(dataset)), dataset.batch_size, dataset.seed])
    digest = hashlib.sha256(about.encode()).hexdigest()
    told = devices.gather([digest, dataset.train_split.num_images])
    for worker, (theirs, count) in enumerate(told):
        if theirs != told[0][0]:
            raise ValueError(
                f"Worker {worker} has other data than worker 0: {count:,} images to train on, and {told[0][1]:,} at "
                "worker 0; where that is the same number, other images or captions. Give all of them the same."
            )


def share_of(dataset: Any, devices: Devices) -> Any:
    """The data as a worker reads them: of every batch its own images alone."""
    if devices.num_workers == 1:
        return dataset
    return replace(dataset, share=(devices.worker, devices.num_workers))


class StopTogether(keras.callbacks.Callback):
    """Lets all workers stop after the same step where one of them is to: those that went on would wait for it for ever.

    It comes after the callbacks that ask to stop: what they ask for comes true a step later.

    Args:
        devices: Those that are trained on.
    """

    def __init__(self, devices: Devices) -> None:
        super().__init__()
        self.devices = devices
        self._asked = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._asked = False
        self.devices.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.model.stop_training and not self._asked:
            self._asked = True
            self.devices.ask_to_stop()
        self.model.stop_training = self.devices.is_stopped

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.stop_training = any(self.devices.gather(bool(self._asked or self.model.stop_training)))


def part(devices: Devices, is_told_to_stop: bool, state: TrainingState) -> None:
    """Waits until every worker is done, the first with its files.

    Raises:
        LostWorkerError: if one was told to stop before the end: to whoever started them, they are not done.
    """
    told = devices.gather(is_told_to_stop)
    if devices.num_workers > 1 and any(told):
        raise LostWorkerError(
            f"Worker {told.index(True)} was told to stop, and all stopped with it at step {state.step}: run the same "
            "again on all of them to go on."
        )
