"""Trained models for use without this package."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

from keras_t2i.core.tables import Table

__all__ = ["FORMATS", "Drawable", "export"]

FORMATS: Table[Callable[..., None]] = Table(
    "export format",
    {
        "saved_model": "keras_t2i.export.saved_model:write",
        "serving": "keras_t2i.export.serving:write",
        "litert": "keras_t2i.export.litert:write",
    },
    aliases={"tf_saved_model": "saved_model"},
)
"""Formats by name, each a function of a model, a directory and options of its own. Keras' own name for the first is
understood too."""


class Drawable(Protocol):
    """What an exporter needs of a model: `keras_t2i.TextToImageGAN` is one."""

    text_encoder: Any
    caption_denoiser: Any
    embedding_dim: int
    card: dict[str, Any]

    @property
    def drawer(self) -> Any:
        """The network to export."""

    def fingerprint(self) -> str:
        """SHA-256 of all that decides what is drawn."""

    def denoised(self, sentence_embeddings: Any) -> Any:
        """Embeddings of prompts, as they are drawn."""


def export(gan: Drawable, path: str | os.PathLike[str], format: str = "saved_model", **options: Any) -> None:
    """Writes a model in one of the formats below; an older export of the same format at `path` is replaced.

    Args:
        gan: The model; what it draws with is what is written.
        path: The directory to write.
        format: `"saved_model"` (see `saved_model.py`); `"serving"`, the same with all that TF Serving reads (see
            `serving.py`); `"litert"` (see `litert.py`); or another name in `FORMATS`.
        **options: Of the format: `record_prompts` for the first two, `precision` and `captions` for the last.

    Raises:
        ValueError: for an unknown format, one of its options that cannot be, if other files are in the way, or where
            Keras does not run on TensorFlow, or weights of the model are not finite.
    """
    from keras_t2i.core.backend import need_tensorflow

    need_tensorflow("Exports are made")
    check_weights(gan.drawer)
    FORMATS[format](gan, path, **options)


def check_weights(network: Any) -> None:
    """Raises `ValueError` where weights of what is to be exported are not finite."""
    import keras
    import numpy as np

    for weight in network.weights:
        if not np.isfinite(np.asarray(keras.ops.convert_to_numpy(weight), np.float32)).all():
            raise ValueError(f"Nothing is exported: the weights of this model are not finite ({weight.path}).")
