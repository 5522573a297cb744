"""Self-attention between the positions of a feature map."""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from keras_t2i.networks.spectral import SpectralConv2D

__all__ = ["SelfAttention", "attention_size"]


class SelfAttention(layers.Layer):
    """Adds to every position what it looks up at all others; it starts as the identity.

    Reference:
        Self-Attention Generative Adversarial Networks (Zhang et al., 2019), arXiv:1805.08318. As there: queries and
        keys of an eighth of the channels, values of half, keys and values pooled 2x2, a learned share from zero.

    Args:
        spectral_normalization: Whether its convolutions are spectrally normalised.

    Call arguments:
        features: Shape `(B, H, W, C)`, height and width static and even.

    Returns:
        Features of the same shape.
    """

    def __init__(self, spectral_normalization: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spectral_normalization = spectral_normalization
        self.pool = layers.MaxPooling2D(2)

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        convolution = SpectralConv2D if self.spectral_normalization else layers.Conv2D
        self.query, self.key = (convolution(max(1, channels // 8), 1, use_bias=False) for _ in range(2))
        self.value = convolution(max(1, channels // 2), 1, use_bias=False)
        self.join = convolution(channels, 1, use_bias=False)
        for layer in (self.query, self.key, self.value):
            layer.build(input_shape)
        self.join.build((*input_shape[:-1], self.value.filters))
        self.share = self.add_weight((), "zeros", name="share")

    def call(self, features: Any, training: bool | None = None) -> Any:
        def tokens(features: Any) -> Any:
            _, height, width, channels = features.shape
            return ops.reshape(features, (-1, height * width, channels))

        _, height, width, _ = features.shape
        query = tokens(self.query(features, training=training))
        key = tokens(self.pool(self.key(features, training=training)))
        value = tokens(self.pool(self.value(features, training=training)))
        attention = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 2, 1))), axis=-1)
        found = ops.reshape(ops.matmul(attention, value), (-1, height, width, value.shape[-1]))
        found = self.join(found, training=training)
        return features + self.share * found


def attention_size(attention_at: int | None, image_size: int) -> int | None:
    """The resolution that self-attention is inserted at: `attention_at`, or half of `image_size` if that is less.

    Raises:
        ValueError: if `attention_at` is not a power of two from 8.
    """
    if attention_at is None:
        return None
    if not isinstance(attention_at, int) or attention_at < 8 or attention_at & (attention_at - 1):
        raise ValueError(f"`attention_at` must be a power of two from 8, in pixels, or None; got {attention_at!r}.")
    return min(attention_at, image_size // 2)
