"""Which method, for this data and this machine: several, trained alike, measured alike, and laid side by side."""

from keras_t2i.runs.compare.comparison import compare
from keras_t2i.runs.compare.config import ComparisonConfig
from keras_t2i.runs.compare.methods import METHODS, Method, method, method_names

__all__ = ["METHODS", "ComparisonConfig", "Method", "compare", "method", "method_names"]
