"""Training runs that survive kills, full disks and power cuts."""

from keras_t2i.core.grid import draw_grid
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
from keras_t2i.training.devices import on_devices
from keras_t2i.training.image_grid import ImageGrid
from keras_t2i.training.run import DivergedError, make_deterministic, train
from keras_t2i.training.samples import Samples, SaveSamples, read_samples

__all__ = [
    "Checkpoints",
    "DivergedError",
    "EpochLog",
    "EveryEpochs",
    "ImageGrid",
    "Progress",
    "Samples",
    "SaveCheckpoints",
    "SavePreset",
    "SaveSamples",
    "StepBudget",
    "StopOnSignals",
    "TimeBudget",
    "TrainingState",
    "draw_grid",
    "make_deterministic",
    "on_devices",
    "read_samples",
    "train",
]
