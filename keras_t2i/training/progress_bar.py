"""Keras' progress bar, for training that ends by the clock or by a number of steps."""

from __future__ import annotations

from typing import Any

import keras

from keras_t2i.training.checkpoint import TrainingState

__all__ = ["BudgetProgressBar"]


class BudgetProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar for training that a number of minutes or steps will end: it names how much is done of that.

    Args:
        state: The counters that `Progress` advances.
        verbose: As in `fit`, which gets 0 instead.
        minutes: The whole budget.
        steps: The whole budget, instead of `minutes`; what is left of it is told in minutes too.
    """

    def __init__(
        self, state: TrainingState, verbose: int | str, minutes: float | None = None, steps: int | None = None
    ) -> None:
        super().__init__()
        self.state = state
        self.minutes = minutes
        self.steps = steps
        self._shown = verbose

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params({**params, "verbose": self._shown, "epochs": 1})

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self.verbose:
            print(f"Epoch {epoch + 1}, {self._done()}", flush=True)

    def _done(self) -> str:
        step, minutes = self.state.step, self.state.seconds / 60
        if self.steps is None:
            return f"minute {minutes:.1f} of {self.minutes:g}"
        left = f", {minutes * (self.steps - step) / step:.1f} minutes left" if step else ""
        return f"step {step} of {self.steps}{left}"
