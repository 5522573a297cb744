"""A training step in TensorFlow: around its losses, a stop before what is not finite."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import keras
import tensorflow as tf

from keras_t2i.core.devices import Devices
from keras_t2i.core.devices_tensorflow import devices_of

__all__ = ["Engine", "Guard"]


class Guard:
    """A stop before a loss or a gradient that is not finite reaches the weights.

    Attributes:
        stopped: A variable that is true once this has happened.
    """

    def __init__(self) -> None:
        self.stopped = keras.Variable(False, trainable=False, dtype="bool")
        self._statistics: list[Any] = []
        self._before: list[tf.Tensor] = []

    @contextlib.contextmanager
    def watching(self, networks: Sequence[Any]) -> Iterator[None]:
        """Keeps the statistics that a forward pass moves, such as those of batch normalisation, as they were before."""
        self._statistics = [weight for network in networks for weight in network.non_trainable_weights]
        self._before = [tf.identity(weight.value) for weight in self._statistics]
        yield

    @contextlib.contextmanager
    def finite(self, values: Any, slots: Sequence[Any]) -> Iterator[None]:
        """Runs the block where everything is finite; else puts the statistics back, and training fails.

        Args:
            values: Losses and gradients: their squares too, which optimizers keep, are to be finite.
            slots: What optimizers have kept: variables.
        """
        tensors = [tensor for tensor in tf.nest.flatten(values) if tensor is not None]
        kept = [tf.reduce_sum(slot.value) for slot in slots]  # One that is not finite makes the sum so.
        finite = tf.math.is_finite(tf.add_n([tf.linalg.global_norm(tensors), *kept]))
        for weight, before in zip(self._statistics, self._before, strict=True):
            weight.assign(tf.where(finite, weight.value, before))
        self.stopped.assign(tf.logical_not(finite))
        done = [tf.identity(variable.value) for variable in (*self._statistics, self.stopped)]
        self._statistics, self._before = [], []  # Tensors of a graph must not outlive it.
        with tf.control_dependencies(done):
            stop = tf.debugging.assert_equal(
                finite, True, message="Training stopped: a loss or a gradient is not finite; no weight was changed."
            )
        with tf.control_dependencies([] if stop is None else [stop]):
            yield


class Engine:
    """Steps as TensorFlow's trainer calls them: they change the variables themselves."""

    guard_class = Guard
    stops_with: type[Exception] = tf.errors.InvalidArgumentError

    @cached_property
    def devices(self) -> Devices:
        """What it was built for, and is trained on."""
        return devices_of(super().distribute_strategy)  # type: ignore[misc]

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        """What Keras' trainer is told: it has one device, and a step of training shares the batch itself."""
        return tf.distribute.get_strategy()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether a step failed because a device has too little memory."""
        return isinstance(error, tf.errors.ResourceExhaustedError)

    def jit_compiles(self, asked: bool | str) -> bool:
        """Whether XLA compiles a step: never, though Keras' "auto" would say so where there is a GPU.

        Raises:
            ValueError: where it is asked for.
        """
        if asked not in (False, "auto"):
            raise ValueError(
                "`jit_compile=True` would let training go on with weights that are not finite: XLA leaves out the stop "
                "before them. Leave it out."
            )
        return False

    def engine_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """What `fit` needs beside its arguments: nothing.

        Raises:
            ValueError: in the scope of a strategy, in which Keras would share batches, and validation, in its own way.
        """
        if tf.distribute.has_strategy():
            raise ValueError("Build and compile the model in the strategy's scope, and call `fit` outside of it.")
        return {}

    def kept_state(self) -> Callable[[], None]:
        """What puts all variables back where the first batch is refused: nothing need be done."""
        return lambda: None

    def train_step(self, data: Any) -> dict[str, Any]:
        """One update of every trained part, each judged by the others as they were before the step."""
        return self.devices.step(self._train, data)  # type: ignore[attr-defined]

    def test_step(self, data: Any) -> dict[str, Any]:
        """The same numbers on held-out images, with what images are drawn with and fixed noise."""
        return self._test(data)  # type: ignore[attr-defined]
