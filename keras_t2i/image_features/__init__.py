"""Frozen image networks: what an image shows, as numbers to measure distances with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_t2i.core.lazy import lazy

if TYPE_CHECKING:
    from keras_t2i.image_features.cache import CachedImageFeatures
    from keras_t2i.image_features.features import ImageFeatures
    from keras_t2i.image_features.textures import texture_maps

__all__ = ["CachedImageFeatures", "ImageFeatures", "texture_maps"]

__getattr__ = lazy(
    __name__,
    {"cache": ["CachedImageFeatures"], "features": ["ImageFeatures"], "textures": ["texture_maps"]},
)
