"""Whole trained models in directories: what a name means, and what one says of itself."""

from __future__ import annotations

from typing import Any

import keras_t2i
from keras_t2i.presets.names import describe, packaged_presets, resolve

__all__ = ["describe", "packaged_presets", "resolve"]


def __getattr__(name: str) -> Any:
    return keras_t2i.moved(__name__, name)
