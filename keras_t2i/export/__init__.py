"""Trained models for use without this package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_t2i.gan import TextToImageGAN

__all__ = ["export"]


def export(gan: TextToImageGAN, path: str | os.PathLike[str], format: str = "tf_saved_model") -> None:
    """Writes a model in one of the formats below; an older export of the same format at `path` is replaced.

    Args:
        gan: The model; its averaged generator is what is written.
        path: The directory to write.
        format: `"tf_saved_model"` (see `saved_model.py`) or `"litert"` (see `litert.py`).

    Raises:
        ValueError: for an unknown format, or if other files are in the way.
    """
    from keras_t2i.export.litert import write as write_litert
    from keras_t2i.export.saved_model import write as write_saved_model

    writers = {"tf_saved_model": write_saved_model, "litert": write_litert}
    if format not in writers:
        raise ValueError(f"Unknown export format {format!r}. Expected one of: {', '.join(writers)}.")
    writers[format](gan, path)
