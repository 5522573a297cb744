"""New words for a frozen text encoder: one more row in its table of token vectors, everything else as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_t2i.text.base import config_of

if TYPE_CHECKING:
    from keras_t2i.text.encoder import TextEncoder

__all__ = ["token_table", "vector_of", "with_words"]

_WORD = re.compile(r"[a-z][a-z0-9]*")


def with_words(encoder: Any, vectors: Mapping[str, np.ndarray]) -> TextEncoder:
    """Returns an encoder that reads these words as single tokens with these vectors.

    The given encoder stays as it is. The new one embeds captions without the words to the same bits, and is one like
    any other: it can be saved, cached, exported, and given further words.

    Args:
        encoder: A `keras_t2i.text.TextEncoder` with word-piece tokens, as those of the BERT family have.
        vectors: New words, each with its vector in the table of token embeddings, float32, shape `(H,)`.

    Raises:
        ValueError: if the encoder has no word pieces; for words that are not lower-case letters and digits or that are
            single tokens already; for vectors of another length.
    """
    table = token_table(encoder)
    tokenizer = encoder.preprocessor.tokenizer
    for word, vector in vectors.items():
        if _WORD.fullmatch(word) is None:
            raise ValueError(f"A new word is made of lower-case letters and digits, such as 'mystar'; got {word!r}.")
        if word in tokenizer.get_vocabulary():
            raise ValueError(f"{word!r} is a token of this encoder already; choose another word.")
        if np.shape(vector) != (table.shape[1],):
            raise ValueError(
                f"{word!r} needs a vector of {table.shape[1]} numbers for this encoder; got shape {np.shape(vector)}."
            )
    vocabulary = [*tokenizer.get_vocabulary(), *vectors]
    backbone = type(encoder.backbone).from_config({**encoder.backbone.get_config(), "vocabulary_size": len(vocabulary)})
    rows = np.concatenate([ops.convert_to_numpy(table), *(np.asarray(vector)[None] for vector in vectors.values())])
    for ours, theirs in zip(encoder.backbone.weights, backbone.weights, strict=True):
        theirs.assign(rows if ours is table else ours)
    wider = type(tokenizer).from_config({**config_of(tokenizer), "vocabulary": vocabulary})
    preprocessor = type(encoder.preprocessor)(wider, sequence_length=encoder.sequence_length)
    return type(encoder)(backbone, preprocessor, encoder.sequence_length, encoder.embedder)


def token_table(encoder: Any) -> keras.Variable:
    """The table of token vectors, shape `(V, H)`, of an encoder with word-piece tokens.

    Raises:
        ValueError: if the encoder has none, or other tokens.
    """
    tokenizer = getattr(getattr(encoder, "preprocessor", None), "tokenizer", None)
    embedding = getattr(getattr(encoder, "backbone", None), "token_embedding", None)
    if tokenizer is None or embedding is None or not hasattr(tokenizer, "suffix_indicator"):
        kind = type(tokenizer or encoder).__name__
        raise ValueError(f"New words need a pretrained encoder of the BERT family with word pieces; this has {kind}.")
    if embedding.embeddings.shape[0] != tokenizer.vocabulary_size():
        raise ValueError("New words need a table of token vectors as long as the vocabulary; this encoder's is not.")
    return embedding.embeddings


def vector_of(encoder: Any, word: str) -> np.ndarray:
    """The vector of a known word, float32, shape `(H,)`; the mean over its pieces where it has several.

    Raises:
        ValueError: if the word has no piece that the encoder knows.
    """
    table = ops.convert_to_numpy(token_table(encoder))
    tokenizer = encoder.preprocessor.tokenizer
    special = {tokenizer.token_to_id(token) for token in (*tokenizer.special_tokens, tokenizer.oov_token)}
    pieces = [int(number) for number in np.asarray(encoder.token_ids([word]))[0] if int(number) not in special]
    if not pieces:
        raise ValueError(f"The encoder knows no piece of {word!r}; choose another word to start from.")
    return table[pieces].mean(axis=0).astype(np.float32)
