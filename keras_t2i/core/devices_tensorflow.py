"""Several devices, under a strategy of `tf.distribute`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from keras_t2i.core import replicas
from keras_t2i.core.devices import Devices, LostWorkerError

__all__ = ["StrategyDevices", "devices_of"]

_T = TypeVar("_T")
_RESULT, _BAD_INPUT, _NO_FILE = range(3)
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError, tf.errors.CancelledError)


def devices_of(strategy: tf.distribute.Strategy) -> Devices:
    """The devices of a strategy of `tf.distribute`; one device for the default one."""
    return StrategyDevices(strategy) if strategy.num_replicas_in_sync > 1 else Devices()


class StrategyDevices(Devices):
    """The devices of a strategy that keeps copies of variables alike.

    Args:
        strategy: `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy`.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.strategy = strategy
        self.num_replicas = int(strategy.num_replicas_in_sync)
        cluster = strategy.cluster_resolver.cluster_spec() if strategy.cluster_resolver is not None else None
        tasks = [] if cluster is None else [(job, task) for job in cluster.jobs for task in cluster.task_indices(job)]
        self.num_workers = max(len(tasks), 1)
        if tasks:
            here = strategy.cluster_resolver
            self.worker = tasks.index((here.task_type, here.task_id))
            with tf.device("CPU:0"):
                self._asked, self._stopped = (tf.Variable(False, trainable=False) for _ in range(2))

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        # Every copy is changed by the device that has it: what a step assigns is the same on all.
        def local(next_creator: Callable[..., Any], **options: Any) -> Any:
            alike = {"aggregation": tf.VariableAggregation.NONE, "synchronization": tf.VariableSynchronization.AUTO}
            return next_creator(**{**options, **alike})

        with self.strategy.scope(), tf.variable_creator_scope(local):
            yield

    def step(self, function: Callable[[Any], _T], batch: Any) -> _T:
        def on_replica(batch: Any) -> _T:
            result = function(tf.nest.map_structure(self._rows, batch))
            if self.num_workers > 1:
                self._tell_whether_to_stop(result)
            return result

        return self.strategy.experimental_local_results(self.strategy.run(on_replica, args=(batch,)))[0]

    def _rows(self, rows: Any) -> Any:
        """The rows of a replica among those of its process: cut out before they go to its device."""
        here = self.num_replicas // self.num_workers
        if here == 1:
            return rows
        place = tf.distribute.get_replica_context().replica_id_in_sync_group % here
        with tf.device("CPU:0"):
            return tf.reshape(rows, (here, -1, *rows.shape[1:]))[place]

    def _tell_whether_to_stop(self, after: Any) -> None:
        with tf.control_dependencies(tf.nest.flatten(after)):
            (share,) = replicas.mean([tf.cast(self._asked, tf.float32)])
        self._stopped.assign(share > 0.0)

    def ask_to_stop(self) -> None:
        self._asked.assign(True)

    @property
    def is_stopped(self) -> bool:
        return self.num_workers > 1 and bool(self._stopped.numpy())

    def begin(self) -> None:
        if self.num_workers > 1:
            self._asked.assign(False)
            self._stopped.assign(False)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        try:
            yield
        except _LOST as error:
            if self.num_workers == 1:
                raise
            raise LostWorkerError(
                f"Worker {self.worker} of {self.num_workers} lost another one. Nothing that was saved is lost: run the "
                "same again on all of them to go on from the last checkpoint."
            ) from error

    def from_chief(self, function: Callable[[], _T]) -> _T:
        if self.num_workers == 1:
            return function()
        told: list[Any] = []
        if self.is_chief:
            try:
                told = [_RESULT, function()]
            except ValueError as error:
                told = [_BAD_INPUT, str(error)]
            except OSError as error:
                told = [_NO_FILE, str(error)]
        kind, result = self.gather(told)[0]
        if kind == _BAD_INPUT:
            raise ValueError(result)
        if kind == _NO_FILE:
            raise OSError(result)
        return result

    def gather(self, told: Any) -> list[Any]:
        if self.num_workers == 1:
            return [told]
        content = np.frombuffer(json.dumps(told).encode(), np.uint8).astype(np.int32)
        lengths = self._sum(_placed(np.array([len(content)]), self.worker, self.num_workers))
        padded = np.zeros(int(lengths.max()), np.int32)
        padded[: len(content)] = content
        texts = self._sum(_placed(padded, self.worker, self.num_workers)).reshape(self.num_workers, -1)
        return [
            json.loads(text[:length].astype(np.uint8).tobytes()) for text, length in zip(texts, lengths, strict=True)
        ]

    def take_over(self, variables: Any) -> None:
        if self.num_workers == 1:
            return
        arrays = [np.asarray(variable.numpy()) for variable in variables]
        content = b"".join(array.tobytes() for array in arrays)
        words = np.frombuffer(content + bytes(-len(content) % 4), np.int32)
        theirs = self._sum(words if self.is_chief else np.zeros_like(words)).tobytes()
        start = 0
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(np.frombuffer(theirs, array.dtype, array.size, start).reshape(array.shape))
            start += array.nbytes

    def _sum(self, numbers: np.ndarray) -> np.ndarray:
        """The sum over processes, int32: of each, its first device counts."""
        here = self.num_replicas // self.num_workers

        def on_replica(numbers: Any) -> Any:
            context = tf.distribute.get_replica_context()
            counts = tf.cast(tf.equal(context.replica_id_in_sync_group % here, 0), tf.int32)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, counts * numbers)

        total = self.strategy.run(tf.function(on_replica), args=(tf.constant(numbers, tf.int32),))
        return self.strategy.experimental_local_results(total)[0].numpy()


def _placed(numbers: np.ndarray, worker: int, num_workers: int) -> np.ndarray:
    """Numbers where a worker has its place, and zeros where the others have theirs."""
    every = np.zeros((num_workers, len(numbers)), np.int32)
    every[worker] = numbers
    return every.reshape(-1)
