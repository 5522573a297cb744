"""Which method, for this data and this machine: several, trained alike, measured alike, and laid side by side."""

from keras_t2i.compare.comparison import ComparisonConfig, compare
from keras_t2i.compare.methods import METHODS, Method

__all__ = ["METHODS", "ComparisonConfig", "Method", "compare"]
