"""Frozen image networks: what an image shows, as numbers to measure distances with."""

from keras_t2i.image_features.cache import CachedImageFeatures
from keras_t2i.image_features.features import ImageFeatures

__all__ = ["CachedImageFeatures", "ImageFeatures"]
