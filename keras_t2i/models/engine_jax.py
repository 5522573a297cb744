"""A training step in JAX: a function of the state and a batch, around losses that change variables as Keras does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import keras
from jax import numpy as jnp

from keras_t2i.core.devices import Devices
from keras_t2i.core.keras_internals import jax_state

__all__ = ["Engine", "Guard", "StopWhereNotFinite"]


class Guard:
    """A stop before a loss or a gradient that is not finite reaches the weights.

    A compiled step cannot fail: from the first such value on, steps leave everything as it is, and `fit` looks at
    `stopped` now and then.

    Attributes:
        stopped: A variable that is true once this has happened.
    """

    def __init__(self) -> None:
        self.stopped = keras.Variable(False, trainable=False, dtype="bool")

    @contextlib.contextmanager
    def watching(self, networks: Sequence[Any]) -> Iterator[None]:
        """Nothing need be kept: what was before is at hand."""
        yield

    @contextlib.contextmanager
    def finite(self, values: Any, slots: Sequence[Any]) -> Iterator[None]:
        """Runs the block, and remembers whether what it changes may stay.

        Args:
            values: Losses and gradients: their squares too, which optimizers keep, are to be finite.
            slots: What optimizers have kept: variables.
        """
        sums = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(values)]
        # A slot that is not finite makes its sum so.
        every = [jnp.isfinite(total) for total in (*sums, *(jnp.sum(slot.value) for slot in slots))]
        stopped = jnp.logical_or(self.stopped.value, jnp.logical_not(jnp.all(jnp.stack(every))))
        yield
        self.stopped.assign(stopped)


def without_strings(data: Any, reads: Sequence[str]) -> Any:
    """Batches without their captions, which a compiled function of JAX cannot take.

    Args:
        data: What `fit` takes.
        reads: What the networks read of captions: it must be there already.

    Raises:
        ValueError: if it is not.
    """
    kind = getattr(data, "element_spec", data)
    if not isinstance(kind, dict) or "captions" not in kind:
        return data
    if missing := [name for name in reads if name not in kind]:
        raise ValueError(
            f"In JAX captions are read ahead of time; this data has 'captions' and no {missing[0]!r}. Pass that, for "
            "instance of `dataset.encode(text_encoder)`."
        )

    def rest(batch: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in batch.items() if name != "captions"}

    return data.map(rest) if hasattr(data, "map") else rest(data)


class StopWhereNotFinite(keras.callbacks.Callback):
    """Fails where training has stopped: looked for every so many batches, because looking waits for the step."""

    def __init__(self, guard: Guard, place: int, every: int = 50) -> None:
        super().__init__()
        self.guard, self.place, self.every = guard, place, every

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks into the state that the trainer has at hand."""
        if (batch + 1) % self.every == 0:
            self._check(jax_state(self.model)["optimizer_variables"][self.place])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at the variable."""
        self._check(self.guard.stopped.value)

    def _check(self, stopped: Any) -> None:
        if bool(stopped):
            self.model.jax_state_sync()
            raise FloatingPointError(
                "Training stopped: a loss or a gradient is not finite; no weight was changed since."
            )


class Engine:
    """Steps as JAX's trainer calls them: a state goes in and comes out."""

    guard_class = Guard
    stops_with: type[Exception] = FloatingPointError
    devices = Devices()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether a step failed because a device has too little memory."""
        return isinstance(error, jax.errors.JaxRuntimeError) and "out of memory" in str(error).lower()

    def jit_compiles(self, asked: bool | str) -> bool:
        """Whether XLA compiles a step: unless told otherwise."""
        return asked is not False

    def engine_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """What `fit` needs beside its arguments: no strings, and the callback that looks for what is not finite.

        Raises:
            ValueError: for captions that were not read ahead of time.
        """
        model: Any = self
        data = [name for name in ("x", "validation_data") if name in given]
        changed: dict[str, Any] = {name: without_strings(given[name], model.reads) for name in data}
        stop = StopWhereNotFinite(model.guard, self._stopped_place())
        callbacks = given.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(stop)
            return changed
        others = callbacks if isinstance(callbacks, list | tuple) else [] if callbacks is None else [callbacks]
        return {**changed, "callbacks": [stop, *others]}

    def kept_state(self) -> Callable[[], None]:
        """What puts all variables back: the trainer empties them, and loses them where the first batch is refused."""
        kept = [(variable, variable.value) for group in self._variables() for variable in group]

        def take_back() -> None:
            for variable, value in kept:
                variable.assign(value)

        return take_back

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Keras' own `evaluate`."""
        model: Any = self
        return super().evaluate(without_strings(x, model.reads), *args, **kwargs)  # type: ignore[misc]

    def train_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """One update of every trained part, each judged by the others as they were before the step."""
        logs, new = self._stateless(self._train, self._variables(), state, data)  # type: ignore[attr-defined]
        place = self._stopped_place()
        stopped = new[2][place]
        kept = [
            [now if now is before else jnp.where(stopped, before, now) for now, before in zip(*groups, strict=True)]
            for groups in zip(new, state, strict=True)
        ]
        kept[2][place] = stopped  # It alone is not taken back.
        return logs, tuple(kept)

    def test_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """The same numbers on held-out images, with what images are drawn with and fixed noise."""
        trainable, fixed, _, metrics = self._variables()
        logs, new = self._stateless(self._test, (trainable, fixed, metrics), state, data)  # type: ignore[attr-defined]
        return logs, tuple(new)

    def _variables(self) -> tuple[Sequence[Any], ...]:
        """As the trainer orders them; `optimizer.variables` holds all that is no weight and no metric."""
        model: Any = self
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )

    def _stopped_place(self) -> int:
        model: Any = self
        return next(i for i, each in enumerate(model.optimizer.variables) if each is model.guard.stopped)

    def _stateless(self, step: Any, variables: Sequence[Any], state: Any, data: Any) -> tuple[Any, list[list[Any]]]:
        given = [pair for group in zip(variables, state, strict=True) for pair in zip(*group, strict=True)]
        with keras.StatelessScope(state_mapping=given) as scope:
            logs = step(data)
        return logs, [[scope.get_current_value(variable) for variable in group] for group in variables]
