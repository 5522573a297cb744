"""Convolutions with batch normalisation, the caption joined once on either side: the classic text-to-image GAN."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
from keras import layers, ops

from keras_t2i.core import replicas
from keras_t2i.networks.attention import SelfAttention, attention_size
from keras_t2i.networks.base import Discriminator, Generator, check_image_size
from keras_t2i.networks.blocks import convolve_doubled, leaky, tile_text, upsample
from keras_t2i.networks.families import Family
from keras_t2i.networks.spectral import SpectralConv2D, SpectralDense

__all__ = ["DCGANDiscriminator", "DCGANGenerator"]

_PACKAGE = "keras_t2i"
_WIDEST = 16
"""Channels stop doubling at so many times the width of the finest scale."""

_NORMALIZATIONS = ("batch", "spectral", "none")


def _conv(
    filters: int,
    size: int,
    strides: int = 1,
    padding: str = "same",
    spectral: bool = False,
    initializer: str | None = None,
    **kwargs: Any,
) -> layers.Conv2D:
    initializer = initializer or keras.initializers.RandomNormal(stddev=0.02)
    convolution = SpectralConv2D if spectral else layers.Conv2D
    return convolution(filters, size, strides, padding, kernel_initializer=initializer, **kwargs)


def _dense(units: int, spectral: bool = False, **kwargs: Any) -> layers.Dense:
    return (SpectralDense if spectral else layers.Dense)(units, **kwargs)


def _normalization(name: str) -> layers.BatchNormalization:
    # Both networks move quickly: averages over about ten steps, not Keras' hundred, describe the current ones.
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name, synchronized=replicas.are_planned())


@keras.saving.register_keras_serializable(_PACKAGE)
class DCGANGenerator(Generator):
    """Generates an image from noise and caption features by convolutions with batch normalisation.

    Choose it as the well-known point of comparison, or where the plainest graph converts best.

    Reference:
        Generative Adversarial Text to Image Synthesis (Reed et al., 2016), arXiv:1605.05396, on the networks of
        Unsupervised Representation Learning with DCGANs (Radford et al., 2015), arXiv:1511.06434. Differs from the
        papers: nearest-neighbour upsampling and 3x3 convolutions in place of transposed convolutions, which leave
        chequerboards and quantise badly on phones; one more convolution at full resolution; fewer channels.

    Args:
        image_size: Output height and width in pixels, one of 32, 64, 128, 256.
        latent_dim: Length of the noise vector, Z.
        text_width: Number of features that the caption is compressed to.
        width: Channels at full resolution; they double towards 4x4, up to 16 times as many.
        spectral_normalization: Whether kernels are spectrally normalised, in addition to the batch normalisation.
        attention_at: Resolution in pixels at which self-attention is inserted, at most half of `image_size`; none by
            default.

    Call arguments:
        latents: Standard normal noise, float32, shape `(B, Z)`.
        sentence_embeddings: Pooled caption features, float32, shape `(B, D)`.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.

    Raises:
        ValueError: if `image_size` is not one of the sizes above.
    """

    def __init__(
        self,
        image_size: int = 64,
        latent_dim: int = 100,
        text_width: int = 128,
        width: int = 16,
        spectral_normalization: bool = False,
        attention_at: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(check_image_size(image_size), latent_dim, **kwargs)
        self.text_width = text_width
        self.width = width
        self.spectral_normalization = spectral = spectral_normalization
        self.attention_at = attention_size(attention_at, image_size)
        sizes = [2**n for n in range(2, image_size.bit_length())]
        widths = [width * min(_WIDEST, image_size // size) for size in sizes]
        self.to_text = _dense(text_width, spectral, name="text")
        self.to_features = _dense(16 * widths[0], spectral, use_bias=False, name="features")
        self.convolutions = [
            _conv(filters, 3, spectral=spectral, use_bias=False, name=f"conv_{size}")
            for size, filters in zip(sizes[1:], widths[1:], strict=True)
        ]
        self.normalizations = [_normalization(f"normalization_{size}") for size in sizes]
        self.attention = SelfAttention(spectral, name="attention") if self.attention_at else None
        self.to_image = _conv(3, 3, spectral=spectral, name="to_image")

    def features(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> list[Any]:
        text = leaky(self.to_text(self.standardized(sentence_embeddings), training=training))
        joined = ops.concatenate([ops.cast(latents, text.dtype), text], axis=-1)
        features = self.to_features(joined, training=training)
        features = ops.reshape(features, (-1, 4, 4, self.to_features.units // 16))
        maps = [ops.relu(self.normalizations[0](features, training=training))]
        for convolution, normalization in zip(self.convolutions, self.normalizations[1:], strict=True):
            if self.spectral_normalization:
                features = convolution(upsample(maps[-1]), training=training)
            else:
                features = convolve_doubled(convolution, maps[-1], training=training)
            features = ops.relu(normalization(features, training=training))
            if self.attention is not None and features.shape[1] == self.attention_at:
                features = self.attention(features, training=training)
            maps.append(features)
        return maps

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        features = self.features(latents, sentence_embeddings, training=training)[-1]
        return ops.cast(ops.tanh(self.to_image(features, training=training)), "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "text_width": self.text_width,
            "width": self.width,
            "spectral_normalization": self.spectral_normalization,
            "attention_at": self.attention_at,
        }


@keras.saving.register_keras_serializable(_PACKAGE)
class DCGANDiscriminator(Discriminator):
    """Judges an image by strided convolutions; the caption is laid over the last 4x4 features.

    The peer of `DCGANGenerator`; meant to be trained with mismatched captions (`matching_weight` in `compile`).

    Reference:
        Generative Adversarial Text to Image Synthesis (Reed et al., 2016), arXiv:1605.05396. Differs from the paper:
        fewer channels.

    Args:
        image_size: Height and width of the images in pixels, one of 32, 64, 128, 256.
        text_width: Number of features that the caption is compressed to.
        width: Half the channels of the first convolution; they double towards 4x4, up to 16 times as many.
        normalization: `"batch"`, `"spectral"` or `"none"`. A penalty on the gradient of each example, such as
            WGAN-GP's, is not defined with the first.
        attention_at: Resolution in pixels at which self-attention is inserted, at most half of `image_size`; none by
            default.

    Call arguments:
        images: Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
        sentence_embeddings: Pooled caption features, float32, shape `(B, D)`.

    Returns:
        Logits, float32, shape `(B,)`.

    Raises:
        ValueError: if `image_size` is not one of the sizes above, or there is no such normalisation.
    """

    def __init__(
        self,
        image_size: int = 64,
        text_width: int = 128,
        width: int = 16,
        normalization: str = "batch",
        attention_at: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(check_image_size(image_size), **kwargs)
        if normalization not in _NORMALIZATIONS:
            raise ValueError(f"`normalization` must be one of {', '.join(_NORMALIZATIONS)}; got {normalization!r}.")
        self.text_width = text_width
        self.width = width
        self.normalization = normalization
        self.attention_at = attention_size(attention_at, image_size)
        sizes = [2**n for n in reversed(range(2, image_size.bit_length() - 1))]
        widths = [width * min(_WIDEST, image_size // size) for size in sizes]
        batch, spectral = normalization == "batch", normalization == "spectral"
        # Without any normalisation, the usual small kernels would let next to nothing through.
        common: dict[str, Any] = {"spectral": spectral, "initializer": "he_normal" if normalization == "none" else None}
        self.stem = _conv(widths[0], 4, strides=2, **common, name=f"conv_{sizes[0]}")
        # No bias where a batch normalisation follows: it would be subtracted again.
        self.convolutions = [
            _conv(filters, 4, strides=2, use_bias=not batch, **common, name=f"conv_{size}")
            for size, filters in zip(sizes[1:], widths[1:], strict=True)
        ]
        self.normalizations = [
            _normalization(f"normalization_{size}") if batch else layers.Identity() for size in sizes[1:]
        ]
        self.attention = SelfAttention(spectral, name="attention") if self.attention_at else None
        self.to_text = _dense(text_width, spectral, name="text")
        self.join = _conv(widths[-1], 1, use_bias=not batch, **common, name="join")
        self.join_normalization = _normalization("join_normalization") if batch else layers.Identity()
        self.to_logit = _conv(1, 4, padding="valid", **common, name="logit")

    def extract(self, images: Any, training: bool | None = None) -> Any:
        features = self._attended(leaky(self.stem(images, training=training)), training)
        for convolution, normalization in zip(self.convolutions, self.normalizations, strict=True):
            features = normalization(convolution(features, training=training), training=training)
            features = self._attended(leaky(features), training)
        return features

    def _attended(self, features: Any, training: bool | None) -> Any:
        if self.attention is None or features.shape[1] != self.attention_at:
            return features
        return self.attention(features, training=training)

    def judge(self, features: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        text = leaky(self.to_text(self.standardized(sentence_embeddings), training=training))
        joined = self.join(tile_text(features, text), training=training)
        joined = leaky(self.join_normalization(joined, training=training))
        return ops.cast(self.to_logit(joined, training=training)[:, 0, 0, 0], "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "text_width": self.text_width,
            "width": self.width,
            "normalization": self.normalization,
            "attention_at": self.attention_at,
        }


def _family(
    generator: dict[str, Any],
    discriminator: dict[str, Any],
    tiny: tuple[dict[str, Any], dict[str, Any]] = ({}, {}),
    **recipe: Any,
) -> Family:
    """A variant of these networks, with settings of both, and further ones where they are tiny."""
    ours = {"text_width": 4, "width": 2}
    sizes = ({**ours, **tiny[0]}, {**ours, **tiny[1]})
    return Family(
        partial(DCGANGenerator, **generator),
        partial(DCGANDiscriminator, **discriminator),
        tiny=lambda _: sizes,
        **recipe,
    )


DCGAN = _family(
    {},
    {},
    loss="non_saturating",
    penalty=None,
    learning_rates=(2e-4, 2e-4),
    betas=(0.5, 0.999),
    reference="Reed et al. 2016, arXiv:1605.05396",
    label="DCGAN",
    description="Convolutions with batch normalization, the caption joined once, and a matching-aware discriminator.",
)
SELF_ATTENTION = _family(
    {"spectral_normalization": True, "attention_at": 32},
    {"normalization": "spectral", "attention_at": 32},
    tiny=({"attention_at": 16}, {"attention_at": 16}),
    loss="hinge",
    penalty=None,
    learning_rates=(1e-4, 4e-4),
    betas=(0.0, 0.9),
    reference="Zhang et al. 2019, arXiv:1805.08318",
    label="Self-attention GAN",
    description="DCGAN networks with a self-attention block and spectral normalization, hinge loss.",
)
# The paper gives the critic five steps a step of the generator; here it has one, four times as long.
WGAN_GP = _family(
    {},
    {"normalization": "none"},
    loss="wasserstein",
    penalty="wgan_gp",
    learning_rates=(1e-4, 4e-4),
    betas=(0.0, 0.9),
    reference="Gulrajani et al. 2017, arXiv:1704.00028",
    label="Wasserstein GAN",
    description="The same networks without normalization in the critic, Wasserstein loss with gradient penalty, one "
    "step of the critic for each of the generator.",
)
