"""Training runs that survive kills, full disks and power cuts."""

from keras_t2i.training.callbacks import EpochLog, Progress, SaveCheckpoints, SavePreset, StopOnSignals, TimeBudget
from keras_t2i.training.checkpoint import Checkpoints, TrainingState
from keras_t2i.training.image_grid import ImageGrid, draw_grid
from keras_t2i.training.run import make_deterministic, train

__all__ = [
    "Checkpoints",
    "EpochLog",
    "ImageGrid",
    "Progress",
    "SaveCheckpoints",
    "SavePreset",
    "StopOnSignals",
    "TimeBudget",
    "TrainingState",
    "draw_grid",
    "make_deterministic",
    "train",
]
