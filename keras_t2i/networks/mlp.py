"""The simplest family: fully connected networks, the floor that convolutions are to be measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from keras_t2i.core import replicas
from keras_t2i.networks.base import Discriminator, Generator, check_image_size
from keras_t2i.networks.blocks import leaky
from keras_t2i.networks.families import Family

__all__ = ["MLPDiscriminator", "MLPGenerator"]

_PACKAGE = "keras_t2i"
_LARGEST = 64
"""At 128 pixels the outermost layer alone would have fifty million weights."""


class SharedDropout(layers.Dropout):
    """Keras' own, which in a step on several devices drops of each row what it would drop on one."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not self.rate:
            return inputs
        return replicas.dropout(inputs, self.rate, self.seed_generator)


@keras.saving.register_keras_serializable(_PACKAGE)
class MLPGenerator(Generator):
    """Generates an image from noise and caption features by three fully connected layers.

    Choose it as a baseline, or to see within seconds that data and captions arrive; its images stay blurred.

    Reference:
        Generative Adversarial Nets (Goodfellow et al., 2014), arXiv:1406.2661. Differs from the paper: leaky ReLU, and
        the caption features are concatenated to the noise, as in Conditional Generative Adversarial Nets (Mirza and
        Osindero, 2014), arXiv:1411.1784.

    Args:
        image_size: Output height and width in pixels, 32 or 64.
        latent_dim: Length of the noise vector, Z.
        text_width: Number of caption features.
        widths: Units of the hidden layers.

    Call arguments:
        latents: Standard normal noise, float32, shape `(B, Z)`.
        sentence_embeddings: Pooled caption features, float32, shape `(B, D)`.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.

    Raises:
        ValueError: if `image_size` is neither 32 nor 64.
    """

    def __init__(
        self,
        image_size: int = 64,
        latent_dim: int = 64,
        text_width: int = 128,
        widths: Sequence[int] = (256, 512, 1024),
        **kwargs: Any,
    ) -> None:
        super().__init__(check_image_size(image_size, largest=_LARGEST), latent_dim, **kwargs)
        self.text_width = text_width
        self.widths = tuple(widths)
        self.to_text = layers.Dense(text_width, name="text")
        self.hidden = [_dense(units, name=f"hidden_{i}") for i, units in enumerate(self.widths)]
        self.to_image = layers.Dense(image_size * image_size * 3, name="to_image")

    def features(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> list[Any]:
        text = leaky(self.to_text(self.standardized(sentence_embeddings)))
        features, found = ops.concatenate([ops.cast(latents, text.dtype), text], axis=-1), []
        for layer in self.hidden:
            features = leaky(layer(features))
            found.append(features)
        return found

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        features = self.features(latents, sentence_embeddings, training=training)[-1]
        images = ops.reshape(self.to_image(features), (-1, self.image_size, self.image_size, 3))
        return ops.cast(ops.tanh(images), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "text_width": self.text_width, "widths": self.widths}


@keras.saving.register_keras_serializable(_PACKAGE)
class MLPDiscriminator(Discriminator):
    """Judges the pixels and the caption by fully connected layers with dropout.

    The peer of `MLPGenerator`. The caption joins after the first layer, so that one pass over the pixels serves
    several captions.

    Reference:
        As `MLPGenerator`. Differs from the papers: leaky ReLU in place of maxout.

    Args:
        image_size: Height and width of the images in pixels, 32 or 64.
        text_width: Number of caption features.
        widths: Units of the hidden layers; the first sees the pixels alone.
        dropout_rate: Share of hidden features dropped in training.

    Call arguments:
        images: Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
        sentence_embeddings: Pooled caption features, float32, shape `(B, D)`.

    Returns:
        Logits, float32, shape `(B,)`.

    Raises:
        ValueError: if `image_size` is neither 32 nor 64.
    """

    def __init__(
        self,
        image_size: int = 64,
        text_width: int = 128,
        widths: Sequence[int] = (1024, 512, 256),
        dropout_rate: float = 0.3,
        **kwargs: Any,
    ) -> None:
        super().__init__(check_image_size(image_size, largest=_LARGEST), **kwargs)
        self.text_width = text_width
        self.widths = tuple(widths)
        self.dropout_rate = dropout_rate
        self.flatten = layers.Flatten()
        self.from_pixels = _dense(self.widths[0], name="from_pixels")
        self.to_text = layers.Dense(text_width, name="text")
        self.hidden = [_dense(units, name=f"hidden_{i}") for i, units in enumerate(self.widths[1:])]
        self.dropout = SharedDropout(dropout_rate, seed=0)
        self.to_logit = layers.Dense(1, name="logit")

    def extract(self, images: Any, training: bool | None = None) -> Any:
        return self.dropout(leaky(self.from_pixels(self.flatten(images))), training=training)

    def judge(self, features: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        text = leaky(self.to_text(self.standardized(sentence_embeddings)))
        features = ops.concatenate([features, text], axis=-1)
        for layer in self.hidden:
            features = self.dropout(leaky(layer(features)), training=training)
        return ops.cast(self.to_logit(features)[:, 0], "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "text_width": self.text_width,
            "widths": self.widths,
            "dropout_rate": self.dropout_rate,
        }


def _dense(units: int, name: str) -> layers.Dense:
    return layers.Dense(units, kernel_initializer="he_normal", name=name)


MLP = Family(
    MLPGenerator,
    MLPDiscriminator,
    loss="non_saturating",
    penalty=None,
    learning_rates=(2e-4, 2e-4),
    betas=(0.5, 0.999),
    reference="Mirza and Osindero 2014, arXiv:1411.1784",
    label="MLP GAN",
    description="Caption and noise into fully connected layers: the floor that convolutions are measured against.",
    tiny=lambda image_size: ({"text_width": 4, "widths": (8, 12)}, {"text_width": 4, "widths": (8, 12, 6)}),
)
