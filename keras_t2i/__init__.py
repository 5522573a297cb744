"""Text-to-image GANs in Keras: train on your own captioned images, measure, and ship."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keras_t2i import (
        augmentation,
        data,
        export,
        feature_losses,
        losses,
        metrics,
        networks,
        penalties,
        presets,
        text,
        training,
        transfer,
    )
    from keras_t2i.gan import TextToImageGAN
    from keras_t2i.image_features import ImageFeatures
    from keras_t2i.text import TextEncoder

__all__ = [
    "ImageFeatures",
    "TextEncoder",
    "TextToImageGAN",
    "__version__",
    "augmentation",
    "data",
    "export",
    "feature_losses",
    "losses",
    "metrics",
    "networks",
    "penalties",
    "presets",
    "text",
    "training",
    "transfer",
]

_CLASSES = {
    "ImageFeatures": "keras_t2i.image_features",
    "TextEncoder": "keras_t2i.text",
    "TextToImageGAN": "keras_t2i.gan",
}


def __getattr__(name: str) -> Any:
    # Loaded at first use: importing TensorFlow takes seconds, and `keras-t2i --help` needs none of it.
    if name in _CLASSES:
        return getattr(importlib.import_module(_CLASSES[name]), name)
    if name in __all__:
        return importlib.import_module(f"keras_t2i.{name}")
    raise AttributeError(f"module 'keras_t2i' has no attribute {name!r}")
