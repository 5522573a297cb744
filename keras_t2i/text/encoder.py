"""TextEncoder: captions to embeddings, by any frozen KerasNLP encoder."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import keras_nlp
import numpy as np
from keras import ops

from keras_t2i.core.errors import reason
from keras_t2i.core.gate import read_json
from keras_t2i.text import windows
from keras_t2i.text.base import CaptionEncoder, assets_of, check_sequence_length, config_of
from keras_t2i.text.preset_gate import opened
from keras_t2i.text.stable_diffusion import DESCRIPTION, StableDiffusion3TextEncoder
from keras_t2i.text.tokens import FROM_SCRATCH, PREPROCESSOR, TokenIds
from keras_t2i.text.unconditional import MARKER, NO_CAPTIONS, Unconditional

__all__ = ["PACKAGED_ENCODERS", "TextEncoder"]

PACKAGED_ENCODERS = ("caption_mini_en",)
"""Names of the encoders that travel inside the package."""

_PACKAGED = Path(__file__).resolve().parent
_TOKENIZER_OF = "caption_mini_en"
_KNOWN_TO_WORK = ("all_minilm_l6_v2_en", "paraphrase_minilm_l3_v2_en", "bert_tiny_en_uncased", "distil_bert_base_en")


class TextEncoder(CaptionEncoder):
    """Turns captions into embeddings with a pretrained KerasNLP encoder that is never trained.

    Sentence embeddings have unit root mean square: the pooled vector is L2-normalised, then multiplied by `sqrt(D)`,
    so that its entries are of the size of the latents' whatever the encoder.

    Captions longer than what the backbone has positions for are read in windows of 32 tokens; their embeddings are
    averaged, each weighing as many tokens as its window holds. What fits into one window is read as ever.

    Build it with `TextEncoder.from_preset`.

    Args:
        backbone: A KerasNLP backbone that returns one vector a token.
        preprocessor: Its KerasNLP preprocessor.
        sequence_length: Tokens a caption is padded or cut to, the special ones included.
        embedder: The class and the pooling arguments of the KerasNLP `TextEmbedder` that the preset describes;
            `None` for a plain encoder, which is pooled by the mean over its tokens.

    Call arguments:
        captions: Strings, a tensor of shape `(B,)` or a list; eagerly or in a graph.

    Returns:
        A dictionary of `sentence_embeddings`, float32, shape `(B, D)`; `token_embeddings`, float32, shape `(B, T, D)`;
        and `padding_mask`, bool, shape `(B, T)`, true at real tokens; windows stand one behind the other, each with its
        start, end and padding.

    Raises:
        ValueError: if `sequence_length` is below 4, above 512 where the backbone has fewer positions, or above what it
            has where it has more, or where captions cannot be split, having no start and end.
    """

    def __init__(
        self,
        backbone: keras.Model,
        preprocessor: keras.Layer,
        sequence_length: int = 32,
        embedder: tuple[type[keras.Model], dict[str, Any]] | None = None,
    ) -> None:
        positions = getattr(backbone, "max_sequence_length", None) or self.max_sequence_length
        end = getattr(preprocessor.tokenizer, "end_token_id", None)
        limit = positions if end is None or positions < windows.WINDOW else max(positions, self.max_sequence_length)
        check_sequence_length(sequence_length, limit)
        super().__init__(preprocessor, sequence_length, embedding_dim=int(_sequence(backbone.output).shape[-1]))
        self.max_sequence_length = limit
        self._end = end if sequence_length > positions else None
        backbone.trainable = False
        self.backbone = backbone
        self.embedder = embedder

    @classmethod
    def from_preset(cls, name: str | Path, sequence_length: int = 32) -> CaptionEncoder:
        """Loads an encoder, or what takes the place of one.

        Args:
            name: `"caption_mini_en"` (in the package), a directory in KerasNLP's or Hugging Face's layout, or any
                KerasNLP preset name of a text embedder or a BERT-like encoder (which is then downloaded);
                `"from_scratch"` for `TokenIds`, with the tokenizer in the package, or `"none"` for `Unconditional`.
                A directory that any of these has saved gives it back.
            sequence_length: Tokens a caption is padded or cut to. Longer is slower; captions rarely need more, reports
                do. More than the encoder takes at once are read in windows.

        Raises:
            ValueError: if it cannot be loaded; the message lists what would work.
        """
        is_packaged = str(name) in PACKAGED_ENCODERS
        source = str(_PACKAGED / name if is_packaged else name)
        folder = Path(source)
        try:
            if str(name) == NO_CAPTIONS or (folder / MARKER).is_file():
                return Unconditional()
            if str(name) == FROM_SCRATCH:
                return TokenIds.read(_PACKAGED / _TOKENIZER_OF, sequence_length)
            if (folder / DESCRIPTION).is_file():
                return StableDiffusion3TextEncoder.read(folder)
            if (folder / PREPROCESSOR).is_file() and not (folder / "config.json").is_file():
                return TokenIds.read(folder, sequence_length)
            backbone, preprocessor, embedder = _load(source)
        except Exception as error:  # KerasNLP raises whatever its hub client, the file system or Keras raised.
            why = reason(error).split(". ")[0].removesuffix(".")[:160]
            raise ValueError(
                f"The text encoder {str(name)!r} cannot be loaded ({why}). Pass 'caption_mini_en', a directory with "
                f"a KerasNLP preset, or, with a network connection, a name such as {', '.join(_KNOWN_TO_WORK)}."
            ) from error
        encoder = cls(backbone, preprocessor, sequence_length, embedder)
        encoder.packaged_name = str(name) if is_packaged else None
        return encoder

    def embed(self, token_ids: Any, padding_mask: Any) -> dict[str, Any]:
        """The part after the tokenizer, in `keras.ops` alone: what `__call__` returns, from token numbers."""
        if self._end is None:
            return self._embed(token_ids, padding_mask)
        rows, mask, weights = windows.split(token_ids, padding_mask, self._end, windows.WINDOW)
        read = self._embed(rows, mask)
        count = weights.shape[1]
        return {
            "sentence_embeddings": _normalized(windows.summed(read["sentence_embeddings"], weights)),
            "token_embeddings": ops.reshape(read["token_embeddings"], (-1, count * windows.WINDOW, self.embedding_dim)),
            "padding_mask": ops.reshape(
                ops.logical_and(read["padding_mask"], ops.reshape(weights > 0, (-1, 1))), (-1, count * windows.WINDOW)
            ),
        }

    def _embed(self, token_ids: Any, padding_mask: Any) -> dict[str, Any]:
        """What the backbone makes of as many tokens as it takes at once."""
        features = {"token_ids": token_ids, "padding_mask": padding_mask, "segment_ids": ops.zeros_like(token_ids)}
        inputs = {name: features[name] for name in self.backbone.input}
        tokens = ops.cast(_sequence(self.backbone(inputs, training=False)), "float32")
        return {
            "sentence_embeddings": _normalized(
                _pool(tokens, ops.cast(padding_mask, "float32")[:, :, None], self.pooling)
            ),
            "token_embeddings": tokens,
            "padding_mask": ops.cast(padding_mask, "bool"),
        }

    @property
    def pooling(self) -> str:
        return self.embedder[1]["pooling_mode"] if self.embedder else "mean"

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of all that decides an embedding: weights, vocabulary, configuration and sequence length."""
        tokenizer = self.preprocessor.tokenizer
        layers = [(type(layer).__name__, config_of(layer)) for layer in (self.backbone, tokenizer)]
        description = json.dumps([layers, self.pooling, self.sequence_length], sort_keys=True, default=str)
        digest = hashlib.sha256(description.encode())
        for weight in self.backbone.weights:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)).tobytes())
        digest.update(assets_of(tokenizer))
        return digest.hexdigest()

    def save_to_preset(self, directory: str | Path) -> None:
        """Writes a KerasNLP preset that `from_preset`, and KerasNLP itself, can read."""
        directory = str(directory)
        if self.embedder:
            embedder_class, arguments = self.embedder
            embedder_class(backbone=self.backbone, preprocessor=self.preprocessor, **arguments).save_to_preset(
                directory
            )
        else:
            self.backbone.save_to_preset(directory)
            self.preprocessor.save_to_preset(directory)


def _load(source: str) -> tuple[keras.Model, keras.Layer, tuple[type[keras.Model], dict[str, Any]] | None]:
    """Backbone, preprocessor and embedder of a KerasNLP preset; in float32 whatever the global policy."""
    with opened(source) as place:
        try:
            model = keras_nlp.models.TextEmbedder.from_preset(place, dtype="float32")
        except ValueError as error:
            if "subclass" not in str(error):
                raise
            backbone = keras_nlp.models.Backbone.from_preset(place, dtype="float32")
            preprocessor, embedder = keras_nlp.models.TextClassifierPreprocessor.from_preset(place), None
        else:
            if not hasattr(model, "pooling_mode"):
                raise ValueError(f"it is a {type(model).__name__}, which pools in a way of its own")
            backbone, preprocessor = model.backbone, model.preprocessor
            embedder = (type(model), {"pooling_mode": model.pooling_mode, "normalize": model.normalize})
        _strip_accents_where_the_original_does(preprocessor.tokenizer, Path(place) / "tokenizer_config.json")
    return backbone, preprocessor, embedder


def _strip_accents_where_the_original_does(tokenizer: Any, config_file: Path) -> None:
    """Completes KerasNLP's conversion of Hugging Face directories, which forwards `lowercase` alone."""
    if hasattr(tokenizer, "strip_accents") and config_file.is_file():
        setting = read_json(config_file).get("strip_accents")
        tokenizer.strip_accents = tokenizer.lowercase if setting is None else bool(setting)


def _sequence(output: Any) -> Any:
    return output["sequence_output"] if isinstance(output, dict) else output


def _normalized(embeddings: Any) -> Any:
    """Embeddings with a root mean square of 1."""
    mean_square = ops.mean(ops.square(embeddings), axis=-1, keepdims=True)
    return embeddings * ops.rsqrt(ops.maximum(mean_square, 1e-12))


def _pool(tokens: Any, mask: Any, pooling: str) -> Any:
    if pooling == "cls":
        return tokens[:, 0]
    if pooling == "max":
        return ops.max(tokens - 1e9 * (1.0 - mask), axis=1)
    return ops.sum(tokens * mask, axis=1) / ops.maximum(ops.sum(mask, axis=1), 1e-9)
