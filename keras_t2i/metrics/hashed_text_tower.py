"""HashedTextTower: a small text tower for any language and any word, from hashed character n-grams."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

__all__ = ["HashedTextTower", "hash_captions"]

_NUM_BUCKETS, _GRAM_DIM, _GRAMS = 2**14, 64, (3, 4, 5)
_MAX_WORDS = 64
_TOKEN = re.compile(r"\w{1,16}|[^\w\s]")
_GRAM_DROPOUT, _DROPOUT = 0.2, 0.3


class HashedTextTower(layers.Layer):
    """Captions, as hashed n-grams of their words, to embeddings; in float32 whatever the global policy.

    Call arguments:
        grams: Buckets of the n-grams of each distinct word, 0 where there are no more, int32, shape `(U, G)`.
        words: The place in `grams` of each word of each caption, int32, shape `(B, T)`.

    Args:
        embedding_dim: Length E of an embedding.
        seed: Seed of weights and dropout.

    Returns:
        Embeddings, float32, shape `(B, E)`.
    """

    def __init__(self, embedding_dim: int, seed: int) -> None:
        super().__init__(dtype="float32")
        glorot = keras.initializers.GlorotUniform
        embeddings = keras.initializers.RandomNormal(stddev=0.1, seed=seed)
        self.gram_embedding = layers.Embedding(_NUM_BUCKETS, _GRAM_DIM, embeddings, dtype="float32")
        self.gram_dropout = layers.Dropout(_GRAM_DROPOUT, seed=seed, dtype="float32")
        self.convolution = layers.Conv1D(
            256, 3, padding="same", activation="gelu", kernel_initializer=glorot(seed + 1), dtype="float32"
        )
        self.dropout = layers.Dropout(_DROPOUT, seed=seed, dtype="float32")
        self.projection = layers.Dense(embedding_dim, kernel_initializer=glorot(seed + 2), dtype="float32")

    def call(self, grams: Any, words: Any, training: bool = False) -> Any:
        kept = self.gram_dropout(ops.cast(grams > 0, "float32")[..., None], training=training)
        word_vectors = ops.sum(self.gram_embedding(grams) * kept, axis=1) / ops.maximum(ops.sum(kept, axis=1), 1.0)
        is_word = ops.cast(ops.take(ops.any(grams > 0, axis=1), words, axis=0), "float32")[..., None]
        sequence = ops.take(word_vectors, words, axis=0) * is_word
        read = ops.max(self.convolution(sequence) * is_word - 1e3 * (1.0 - is_word), axis=1)
        average = ops.sum(sequence, axis=1) / ops.sum(is_word, axis=1)
        return self.projection(self.dropout(ops.concatenate([read, average], axis=1), training=training))


def hash_captions(captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads captions as `HashedTextTower` takes them.

    Words are lower-cased; one of more than 16 characters, as in languages written without spaces, is read in pieces.
    Words after the first 64 are not read.

    Args:
        captions: Any texts.

    Returns:
        The buckets of the n-grams of each distinct word, int32, shape `(U, G)`, and the words of each caption, int32,
        shape `(N, T)`. Zeros pad both, and row 0 of the n-grams is that of no word.

    Raises:
        ValueError: if a caption is not a string.
    """
    numbers: dict[str, int] = {}
    lines = []
    for caption in captions:
        if not isinstance(caption, str):
            raise ValueError(f"A caption must be a string; got {caption!r}.")
        tokens = _TOKEN.findall(caption.lower())[:_MAX_WORDS] or [""]
        lines.append([numbers.setdefault(token, len(numbers) + 1) for token in tokens])
    words = np.zeros((len(lines), max(map(len, lines), default=0)), np.int32)
    for row, line in zip(words, lines, strict=True):
        row[: len(line)] = line
    buckets = [[_bucket(gram) for gram in _grams_of(word)] for word in numbers]
    grams = np.zeros((len(buckets) + 1, max(map(len, buckets), default=0)), np.int32)
    for row, own in zip(grams[1:], buckets, strict=True):
        row[: len(own)] = own
    return grams, words


def _grams_of(word: str) -> list[str]:
    """The word itself and its character n-grams, its ends marked."""
    marked = f"<{word}>"
    return [word] + [marked[i : i + size] for size in _GRAMS for i in range(len(marked) - size + 1)]


def _bucket(gram: str) -> int:
    return 1 + zlib.crc32(gram.encode("utf-8", "surrogatepass")) % (_NUM_BUCKETS - 1)
