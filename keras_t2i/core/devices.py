"""The devices that a model is trained on: one, or several of this machine, or of several machines.

Each device does the whole step on its rows of every batch, and all of them change their copies of the weights alike:
see `keras_t2i.core.replicas`. Reports, validation and files are made on one of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

__all__ = ["Devices", "LostWorkerError"]

_T = TypeVar("_T")


class LostWorkerError(ConnectionError):
    """What several processes did together has ended, because one of them is gone."""


class Devices:
    """One device, which has nobody to talk with: what several do together, it does.

    Attributes:
        num_replicas: How many devices share a batch.
        worker: Number of this process among those that train together.
        num_workers: How many there are.
    """

    num_replicas = 1
    worker = 0
    num_workers = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes files."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which what is to be trained is built and compiled, so that each device has a copy of it."""
        return contextlib.nullcontext()

    def check(self, batch_size: int) -> None:
        """Raises `ValueError` unless every device gets as many images of a batch as the others."""
        if batch_size % self.num_replicas:
            below = batch_size - batch_size % self.num_replicas
            fitting = below + self.num_replicas if below else self.num_replicas
            raise ValueError(
                f"Batches of {batch_size} images cannot be shared by {self.num_replicas} devices in equal parts: take "
                f"a batch size of {f'{below} or ' if below else ''}{fitting}, or another number of devices."
            )

    def step(self, function: Callable[[Any], _T], batch: Any) -> _T:
        """What a function makes of a batch of this process, on each device of its rows.

        Args:
            function: Changes variables alike on every device, and returns tensors that are the same on all.
            batch: A tensor, or a dictionary of tensors: the share of this process of the whole batch.
        """
        return function(batch)

    def from_chief(self, function: Callable[[], _T]) -> _T:
        """What a function returns to the chief, in all processes; if it raises `ValueError` or `OSError`, all do.

        Args:
            function: Called in the chief alone. What it returns has to be made of what JSON can hold.
        """
        return function()

    def gather(self, told: Any) -> list[Any]:
        """What each process tells, in their order, in all of them.

        Args:
            told: Made of what JSON can hold.
        """
        return [told]

    def take_over(self, variables: Any) -> None:
        """Gives variables the values that they have in the chief.

        Args:
            variables: `keras.Variable`s, the same in all processes.
        """

    def ask_to_stop(self) -> None:
        """Asks all processes to stop after the same step, which will be the next one or the one after it."""

    @property
    def is_stopped(self) -> bool:
        """Whether some process had asked all to stop when the last step ended: the same in all."""
        return False

    def begin(self) -> None:
        """Forgets that somebody has asked to stop."""

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A context in which it is said in one line that another process is gone.

        Raises:
            LostWorkerError: if it is. What processes keep together is over: all of them have to be started again.
        """
        yield
