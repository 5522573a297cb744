"""A small reader of token numbers that is trained with the network it is part of."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_t2i.networks.blocks import Block

__all__ = ["TextTower"]


class TextTower(Block):
    """Reads captions from scratch: token vectors, a convolution over three tokens, the maximum over the caption.

    Args:
        vocabulary_size: Number of different tokens, padding included.

    Call arguments:
        token_ids: Token numbers, 0 at padding, any numeric type, shape `(B, T)`.

    Returns:
        Caption features, shape `(B, 128)`.
    """

    def __init__(self, vocabulary_size: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.to_vectors = layers.Embedding(vocabulary_size, 64, keras.initializers.RandomNormal(stddev=1.0))
        self.convolution = layers.Conv1D(128, 3, padding="same", activation="relu", kernel_initializer="he_normal")
        self.to_features = layers.Dense(128, name="features")

    def call(self, token_ids: Any) -> Any:
        token_ids = ops.cast(token_ids, "int32")
        present = ops.cast(token_ids > 0, self.compute_dtype)[:, :, None]
        # Features are not negative, so that a caption of padding alone has zeros, and padding adds nothing elsewhere.
        features = self.convolution(self.to_vectors(token_ids) * present) * present
        return self.to_features(ops.max(features, axis=1))
