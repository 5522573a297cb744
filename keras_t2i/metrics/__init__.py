"""Numbers about images and captions."""

from keras_t2i.metrics.attributes import AttributeJudge, attribute_accuracy
from keras_t2i.metrics.diversity import pairwise_distance
from keras_t2i.metrics.evaluate import evaluate_model

__all__ = ["AttributeJudge", "attribute_accuracy", "evaluate_model", "pairwise_distance"]
