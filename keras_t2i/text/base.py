"""What everything has in common that captions can be given to: in a graph, eagerly, or as a long list."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track

from keras_t2i.core.backend import is_jax, jitted

__all__ = ["CaptionEncoder", "assets_of", "check_sequence_length", "clean", "config_of"]

_CHUNK = 16
"""Captions in one call of the network: fixed, so that an embedding cannot depend on the captions beside it."""

_LONG_LIST = 2000
_TOKENIZED = 8192
"""Captions in one call of the tokenizer alone."""


class CaptionEncoder(keras.Layer):
    """Base class of what turns captions into the numbers that both networks are conditioned on; it is never trained.

    Tokenization always runs in TensorFlow's graph, also when called eagerly: KerasNLP's eager path is another program,
    which differs on rare characters. Control characters and bytes that are not UTF-8 count as spaces.

    Args:
        preprocessor: A KerasNLP preprocessor, with its tokenizer.
        sequence_length: Tokens a caption is padded or cut to, the special ones included.
        embedding_dim: Length of the sentence embeddings, D.

    Call arguments:
        captions: Strings, a tensor of shape `(B,)` or a list; eagerly or in a graph.

    Returns:
        A dictionary with `sentence_embeddings`, float32, shape `(B, D)`, at least.
    """

    vocabulary_size: int | None = None
    """Number of different tokens where the sentence embeddings are token numbers: see `TokenIds`."""
    is_unconditional = False
    """Whether all captions are the same to it."""
    packaged_name: str | None = None
    """Its name, where it is one of those that travel inside the package."""
    max_sequence_length = 512
    """Tokens that a caption can be padded or cut to, at most."""

    def __init__(self, preprocessor: Any, sequence_length: int, embedding_dim: int) -> None:
        super().__init__(name="text_encoder", dtype="float32", trainable=False)
        preprocessor.sequence_length = sequence_length
        # One segment is cut the same way by both rules; this one runs in every release of TF Serving.
        preprocessor.truncate = "waterfall"
        self.preprocessor = preprocessor
        self.sequence_length = sequence_length
        self.embedding_dim = embedding_dim
        strings = tf.TensorSpec((None,), tf.string)
        self._traced = tf.function(self._encode_strings, input_signature=[strings], autograph=False)
        self._traced_token_ids = tf.function(self._token_ids, input_signature=[strings], autograph=False)
        self._traced_pieces = tf.function(self._pieces, input_signature=[strings], autograph=False)
        self.built = True
        if is_jax():
            self._read = jitted(lambda *arrays: self.embed(*arrays), lambda: self.variables)
            self._traced_token_ids(tf.constant([""]))  # Builds the tokenizer: Keras would call the whole model for it.

    @property
    def trainable(self) -> bool:
        return False

    @trainable.setter
    def trainable(self, value: bool) -> None:
        """Ignores `value`: a model that sets its layers trainable must not reach the encoder."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides an embedding."""
        raise NotImplementedError

    def embed(self, token_ids: Any, padding_mask: Any) -> dict[str, Any]:
        """The part after the tokenizer, in `keras.ops` alone: what `__call__` returns, from token numbers."""
        raise NotImplementedError

    def save_to_preset(self, directory: str | Path) -> None:
        """Writes a directory that `TextEncoder.from_preset` can read."""
        raise NotImplementedError

    def __call__(self, captions: Any, **kwargs: Any) -> dict[str, Any]:
        strings = _to_strings(captions)
        if not is_jax():
            return super().__call__(strings, **kwargs)
        # The tokenizer is TensorFlow's in any case, and JAX has no strings.
        token_ids = self._traced_token_ids(strings).numpy()
        return self._read(token_ids, token_ids != self._padding)

    def call(self, captions: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._traced(captions) if tf.executing_eagerly() else self._encode_strings(captions)

    def token_ids(self, captions: Any) -> tf.Tensor:
        """Token numbers of captions, int32, shape `(B, sequence_length)`, by the tokenizer that `__call__` uses."""
        captions = _to_strings(captions)
        return self._traced_token_ids(captions) if tf.executing_eagerly() else self._token_ids(captions)

    @property
    def trackables(self) -> list[Any]:
        """What holds the tables of its tokenizers, for a graph that is written."""
        return [self.preprocessor.tokenizer]

    @property
    def numbers(self) -> Mapping[str, int]:
        """Its vocabulary: tokens, and their numbers."""
        tokenizer = self.preprocessor.tokenizer
        known = getattr(tokenizer, "vocabulary", None)
        if isinstance(known, Mapping):
            return known
        return {piece: number for number, piece in enumerate(tokenizer.get_vocabulary())}

    @cached_property
    def framing(self) -> int:
        """Tokens that frame a caption, as start and end do."""
        return int(np.sum(np.asarray(self._token_ids(_to_strings([""]))) != self._padding))

    def pieces(self, captions: Sequence[str]) -> list[np.ndarray]:
        """Token numbers of each caption before it is cut and framed, int32."""
        starts = range(0, len(captions), _TOKENIZED)
        found = (self._traced_pieces(_to_strings(captions[start : start + _TOKENIZED])) for start in starts)
        return [row for ragged in found for row in np.split(ragged.values.numpy(), ragged.row_splits.numpy()[1:-1])]

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Sentence embeddings of many captions, float32, shape `(len(captions), D)`.

        Each distinct caption is computed once, and does not depend on the others.
        """
        captions = list(captions)
        numbers = {caption: number for number, caption in enumerate(dict.fromkeys(captions))}
        chunks = [np.zeros((0, self.embedding_dim), np.float32), *self.encode_chunks(list(numbers))]
        return np.concatenate(chunks)[[numbers[caption] for caption in captions]]

    def encode_chunks(self, captions: Sequence[str]) -> Iterator[np.ndarray]:
        """Yields the sentence embeddings of captions in order, some at a time; long lists report to stderr."""
        starts = range(0, len(captions), _CHUNK)
        console, silent = Console(stderr=True), len(captions) < _LONG_LIST
        for start in track(starts, "Encoding captions", console=console, disable=silent):
            chunk = list(captions[start : start + _CHUNK])
            padded = _to_strings(chunk + [""] * (_CHUNK - len(chunk)))
            yield np.array(self(padded)["sentence_embeddings"][: len(chunk)])

    def _encode_strings(self, captions: tf.Tensor) -> dict[str, tf.Tensor]:
        token_ids = self._token_ids(captions)
        return self.embed(token_ids, tf.not_equal(token_ids, self._padding))

    @property
    def _padding(self) -> int:
        """The number of the token that captions are padded with."""
        return self.preprocessor.tokenizer.pad_token_id

    def _token_ids(self, captions: tf.Tensor) -> tf.Tensor:
        token_ids = self.preprocessor(clean(captions))["token_ids"]
        return tf.ensure_shape(tf.cast(token_ids, tf.int32), (None, self.sequence_length))

    def _pieces(self, captions: tf.Tensor) -> tf.RaggedTensor:
        pieces = self.preprocessor.tokenizer(clean(captions))
        if not isinstance(pieces, tf.RaggedTensor):  # Lists, where TensorFlow is told to run its functions eagerly.
            pieces = tf.ragged.constant(pieces, ragged_rank=1)
        return tf.cast(pieces, tf.int32)


def check_sequence_length(sequence_length: int, limit: int) -> int:
    """Returns `sequence_length`, or raises `ValueError` where it is below 4 or above `limit`."""
    if not 4 <= sequence_length <= limit:
        raise ValueError(f"`sequence_length` must be from 4 to {limit} for this encoder; got {sequence_length}.")
    return sequence_length


def config_of(layer: keras.Layer) -> dict[str, Any]:
    """A layer's configuration without what does not change its results."""
    return {name: value for name, value in layer.get_config().items() if name not in ("name", "trainable")}


def assets_of(tokenizer: Any) -> bytes:
    """Names and contents of a tokenizer's files, its vocabulary above all."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_assets(folder)
        return b"".join(path.name.encode() + path.read_bytes() for path in sorted(Path(folder).iterdir()))


def clean(captions: tf.Tensor) -> tf.Tensor:
    """Captions without control characters, and without bytes that are not UTF-8: spaces in their place."""
    # Without this, TensorFlow Text would drop all that follows a NUL, and stop at bytes that are not UTF-8.
    return tf.strings.unicode_transcode(
        captions, "UTF-8", "UTF-8", errors="replace", replacement_char=0x20, replace_control_characters=True
    )


def _to_strings(captions: Any) -> Any:
    """A string tensor from a list of captions; tensors pass unchanged. Half surrogate pairs become question marks."""
    if tf.is_tensor(captions):
        return captions
    encoded = [
        caption if isinstance(caption, bytes) else str(caption).encode("utf-8", "replace") for caption in captions
    ]
    return tf.constant(encoded, tf.string, shape=(len(encoded),))
