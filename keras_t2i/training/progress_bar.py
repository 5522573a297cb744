"""Keras' progress bar, for a run: it says what was done, and of what."""

from __future__ import annotations

from typing import Any

import keras

from keras_t2i.training.checkpoint import TrainingState

__all__ = ["RunProgressBar"]


class RunProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar for a run: of an epoch that was stopped it shows the steps done, where Keras shows all.

    Where minutes or steps end training, it names how much is done of these, and else the epochs.

    Args:
        state: The counters that `Progress` advances.
        verbose: As in `fit`, which gets 0 instead.
        epochs: The whole budget.
        minutes: The whole budget, instead of `epochs`.
        steps: The whole budget, likewise; what is left of it is told in minutes too.
    """

    def __init__(
        self,
        state: TrainingState,
        verbose: int | str,
        epochs: int | None = None,
        minutes: float | None = None,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        self.state = state
        self.minutes = minutes
        self.steps = steps
        self._shown = verbose
        self._epochs = epochs

    def set_params(self, params: dict[str, Any]) -> None:
        super().set_params({**params, "verbose": self._shown, "epochs": self._epochs or 1})

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self.verbose and self._epochs is None:
            print(f"Epoch {epoch + 1}, {self._done()}", flush=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.progbar.update(self.seen, list((logs or {}).items()), finalize=True)

    def _done(self) -> str:
        step, minutes = self.state.step, self.state.seconds / 60
        if self.steps is None:
            return f"minute {minutes:.1f} of {self.minutes:g}"
        left = f", {minutes * (self.steps - step) / step:.1f} minutes left" if step else ""
        return f"step {step} of {self.steps}{left}"
