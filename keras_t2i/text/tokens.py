"""TokenIds: captions as token numbers, for networks that learn to read from scratch."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
from keras import ops

from keras_t2i.core.gate import read_json
from keras_t2i.text.base import CaptionEncoder, assets_of, check_sequence_length, config_of
from keras_t2i.text.preset_gate import opened

__all__ = ["TokenIds"]

FROM_SCRATCH = "from_scratch"
PREPROCESSOR = "preprocessor.json"
_ASSETS = Path("assets") / "tokenizer"


class TokenIds(CaptionEncoder):
    """A text encoder that encodes nothing: its sentence embeddings are token numbers, which the networks read.

    Generator and discriminator built with `vocabulary_size` each have a text tower of their own, trained with the
    images; `keras_t2i.presets.build_gan` sees to that. It is the comparison for pretrained encoders.

    Build it with `TextEncoder.from_preset("from_scratch")`.

    Args:
        preprocessor: The KerasNLP preprocessor, of any model, whose tokenizer is used.
        sequence_length: Tokens a caption is padded or cut to, the special ones included; also `embedding_dim`.

    Call arguments:
        captions: Strings, a tensor of shape `(B,)` or a list; eagerly or in a graph.

    Returns:
        A dictionary of `sentence_embeddings`, float32, shape `(B, sequence_length)`: token numbers from 1, and 0 at
        padding; and `padding_mask`, bool, of the same shape, true at real tokens.

    Raises:
        ValueError: if `sequence_length` is below 4 or above 512.
    """

    def __init__(self, preprocessor: keras.Layer, sequence_length: int = 32) -> None:
        check_sequence_length(sequence_length, self.max_sequence_length)
        super().__init__(preprocessor, sequence_length, embedding_dim=sequence_length)
        self.vocabulary_size = preprocessor.tokenizer.vocabulary_size() + 1

    @classmethod
    def read(cls, directory: str | Path, sequence_length: int) -> TokenIds:
        """Reads what `save_to_preset` has written."""
        directory = Path(directory)
        with opened(str(directory)):
            preprocessor = keras.saving.deserialize_keras_object(read_json(directory / PREPROCESSOR))
            preprocessor.tokenizer.load_assets(str(directory / _ASSETS))
        return cls(preprocessor, sequence_length)

    def embed(self, token_ids: Any, padding_mask: Any) -> dict[str, Any]:
        """What `__call__` returns, from the tokenizer's numbers."""
        # Some tokenizers have their padding elsewhere than at 0, so all numbers move up by one.
        numbers = (ops.cast(token_ids, "float32") + 1.0) * ops.cast(padding_mask, "float32")
        return {"sentence_embeddings": numbers, "padding_mask": ops.cast(padding_mask, "bool")}

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of all that decides a token number: tokenizer, vocabulary and sequence length."""
        tokenizer = self.preprocessor.tokenizer
        parts = [FROM_SCRATCH, type(tokenizer).__name__, config_of(tokenizer), self.sequence_length]
        description = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(description.encode() + assets_of(tokenizer)).hexdigest()

    def save_to_preset(self, directory: str | Path) -> None:
        self.preprocessor.save_to_preset(str(directory))
