"""What the commands do, from plain values to files and numbers, without the command line."""

from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.doctor import doctor
from keras_t2i.runs.evaluation import evaluate, evaluate_folders
from keras_t2i.runs.training import distill, finetune, train

__all__ = ["RunConfig", "distill", "doctor", "evaluate", "evaluate_folders", "finetune", "train"]
