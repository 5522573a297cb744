"""Trained models for use without this package."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_t2i.gan import TextToImageGAN

__all__ = ["export"]

_MODULES = {"tf_saved_model": "saved_model", "serving": "serving", "litert": "litert"}


def export(gan: TextToImageGAN, path: str | os.PathLike[str], format: str = "tf_saved_model", **options: Any) -> None:
    """Writes a model in one of the formats below; an older export of the same format at `path` is replaced.

    Args:
        gan: The model; its averaged generator is what is written.
        path: The directory to write.
        format: `"tf_saved_model"` (see `saved_model.py`); `"serving"`, the same with all that TF Serving reads (see
            `serving.py`); or `"litert"` (see `litert.py`).
        **options: Of the format: `record_prompts` for the first two, `precision` and `captions` for the last.

    Raises:
        ValueError: for an unknown format, one of its options that cannot be, or if other files are in the way.
    """
    if format not in _MODULES:
        raise ValueError(f"Unknown export format {format!r}. Expected one of: {', '.join(_MODULES)}.")
    import_module(f"keras_t2i.export.{_MODULES[format]}").write(gan, path, **options)
