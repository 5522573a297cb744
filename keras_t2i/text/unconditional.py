"""Unconditional: a model without captions, in the place of one with."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tensorflow as tf
from keras import ops

from keras_t2i.text.base import CaptionEncoder

__all__ = ["Unconditional"]

NO_CAPTIONS = "none"
MARKER = "unconditional.txt"


class Unconditional(CaptionEncoder):
    """A text encoder that ignores captions: every sentence embedding is one zero.

    With it, every family is an unconditional GAN, and all else, from folders to export, stays as it is.

    Build it with `TextEncoder.from_preset("none")`.
    """

    is_unconditional = True

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(tokenizer=None), sequence_length=1, embedding_dim=1)

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(b"unconditional").hexdigest()

    def save_to_preset(self, directory: str | Path) -> None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        (Path(directory) / MARKER).write_text("This model takes no captions.\n", encoding="utf-8")

    def embed(self, token_ids: Any, padding_mask: Any) -> dict[str, Any]:
        """A zero a caption."""
        return {"sentence_embeddings": ops.zeros((ops.shape(token_ids)[0], 1))}

    def _token_ids(self, captions: tf.Tensor) -> tf.Tensor:
        return tf.zeros((tf.shape(captions)[0], 1), tf.int32)

    @property
    def _padding(self) -> int:
        return 0
