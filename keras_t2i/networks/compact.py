"""The default family: a small generator modulated by the caption at every scale, and a projection discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from keras_t2i.core.tables import Table
from keras_t2i.networks.attention import SelfAttention, attention_size
from keras_t2i.networks.base import Generator, check_depth, check_image_size
from keras_t2i.networks.blocks import Block, as_it_is, convolution, convolve_doubled, unit_rms
from keras_t2i.networks.families import ACTIVATIONS, Family
from keras_t2i.networks.projection import ProjectionDiscriminator
from keras_t2i.networks.residual import DownBlock, UpBlock

__all__ = ["CompactDiscriminator", "CompactGenerator", "wider_generator"]

_PACKAGE = "keras_t2i"
_WIDTHS = Table("widths", {"narrow": (128, 96, 64, 32, 24, 16), "wide": (256, 192, 96, 32, 24, 16)})
"""Channels from 4x4 on. The wide ones are so where maps are small: forms are made there, and multiply-adds are few."""
_DECIDED = 8.0
"""Of the noise that chooses among modes: the greatest number has nearly all."""
_DISCRIMINATOR_WIDTHS = {
    32: (48, 96, 128),
    64: (24, 48, 96, 128),
    128: (16, 32, 64, 96, 128),
    256: (12, 24, 48, 64, 96, 128),
}


@keras.saving.register_keras_serializable(_PACKAGE)
class CompactGenerator(Generator):
    """Generates an image from noise, modulated by noise and caption at every scale.

    The family to begin with: the best quality for the compute on a small machine.

    Reference:
        Ours. Residual blocks modulated by the caption as in DF-GAN (arXiv:2008.05865), with few channels at full size.

    Args:
        image_size: Output height and width in pixels: 32, 64, 128 or 256.
        latent_dim: Length of the noise vector, Z.
        text_width: Length of the caption features read from the sentence embedding, and of the style vector.
        widths: Channels at `start_size`, twice that, ... up to half of `image_size`; or `"narrow"`, the first of 128,
            96, 64, 32, 24, 16; or `"wide"`, the first of 256, 192, 96, 32, 24, 16, for photographs of many kinds. Half
            the last number is what the last layer but one has at full size.
        attention_at: Resolution in pixels at which self-attention is inserted, at most half of `image_size`; none by
            default.
        activation: A name in `keras_t2i.networks.ACTIVATIONS`.
        start_size: Height and width of the maps that are read from noise and caption at once: 4 or 8. From 8 on, many
            different forms are learned sooner, as of drawings of named things, with more weights at the same speed.
        text_depth: Layers that the sentence embedding passes before it meets the noise. More of them learn many named
            things sooner, at next to no cost a step.
        modes: Pictures that a caption may have, such as drawings in so many styles: which of as many of the noise's
            first numbers is the greatest chooses one of as many shifts of what is read of the caption (a mixture in the
            noise: DeLiGAN, Gurumurthy et al., 2017, arXiv:1706.02071). For sets with few images of each caption; 0
            leaves all to the noise.
        normalized: Whether features are brought to a root mean square of 1 at each position before they are modulated:
            against a strong discriminator, images then do not run into black or white.
        interpolation: `"bilinear"` or `"nearest"`: how maps grow. The second has sharp drawings sooner, the first no
            mosaic in photographs.
        mirrored: Whether noise whose last number is negative draws mirror images: see `mirror`.
        noise_first: Whether the first maps are read from the noise alone, without a bias, so that captions act by
            modulation alone (as in DF-GAN): images of a caption then differ in form, and not in light and texture only.

    Call arguments:
        latents: Standard normal noise, float32, shape `(B, Z)`.
        sentence_embeddings: Pooled caption features of unit root mean square, float32, shape `(B, D)`.
        adjust: A function of the maps of each scale, from the coarsest up, to what takes their place; none is mirrored.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.

    Raises:
        ValueError: if `image_size` is not one of those, or `widths` does not fit it.
    """

    inherited = (
        "text_width",
        "widths",
        "normalized",
        "interpolation",
        "start_size",
        "text_depth",
        "modes",
        "mirrored",
        "noise_first",
    )

    def __init__(
        self,
        image_size: int = 64,
        latent_dim: int = 64,
        text_width: int = 128,
        widths: Sequence[int] | str = "narrow",
        attention_at: int | None = None,
        activation: str = "leaky",
        normalized: bool = False,
        interpolation: str = "nearest",
        start_size: int = 4,
        text_depth: int = 1,
        modes: int = 0,
        mirrored: bool = False,
        noise_first: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(check_image_size(image_size), latent_dim, **kwargs)
        if start_size not in (4, 8):
            raise ValueError(f"`start_size` must be 4 or 8; got {start_size}.")
        self.text_depth = check_depth(text_depth, "text_depth")
        if not 0 <= modes <= latent_dim:
            raise ValueError(f"`modes` must be at least 0 and at most `latent_dim`, {latent_dim}; got {modes}.")
        self.modes, self.mirrored, self.noise_first = modes, mirrored, noise_first
        num_scales = (image_size // start_size).bit_length() - 1
        self.start_size = start_size
        self.text_width = text_width
        self.widths = tuple(_WIDTHS[widths][:num_scales] if isinstance(widths, str) else widths)
        self.attention_at = attention_size(attention_at, image_size)
        if len(self.widths) != num_scales:
            raise ValueError(f"Images of {image_size} pixels need {num_scales} `widths`; got {self.widths}.")
        self.activation = activation
        self.activate = ACTIVATIONS[activation]
        self.normalized, self.interpolation = normalized, interpolation
        self.normalize = unit_rms if normalized else as_it_is
        self.to_text = layers.Dense(text_width, name="text")
        self.to_mode = layers.Dense(text_width, use_bias=False, name="mode") if modes else None
        self.deeper_text = TextLayers(text_width, text_depth - 1, activation, name="deeper_text")
        self.to_style = layers.Dense(text_width, name="style")
        self.to_features = layers.Dense(start_size**2 * self.widths[0], use_bias=not noise_first, name="features")
        form = (activation, normalized, interpolation)
        self.blocks = [UpBlock(filters, *form, name=f"block_{i}") for i, filters in enumerate(self.widths[1:])]
        self.attention = SelfAttention(name="attention") if self.attention_at else None
        self.full_size = convolution(max(1, self.widths[-1] // 2), name="full_size")
        self.to_image = convolution(3, scale=1.0, name="to_image")

    def features(
        self, latents: Any, sentence_embeddings: Any, training: bool | None = None, adjust: Any = None
    ) -> list[Any]:
        adjust = adjust or as_it_is
        text = self.to_text(self.standardized(sentence_embeddings))
        if self.to_mode is not None:
            text += self.to_mode(ops.softmax(_DECIDED * ops.cast(latents[:, : self.modes], text.dtype)))
        text = self.deeper_text(self.activate(text))
        noise = ops.cast(latents, text.dtype)
        joined = ops.concatenate([noise, text], axis=-1)
        style = self.activate(self.to_style(joined))
        first = self.to_features(noise if self.noise_first else joined)
        first = ops.reshape(first, (-1, self.start_size, self.start_size, self.widths[0]))
        maps = [adjust(first)]
        for block in self.blocks:
            features = block(maps[-1], style, training=training)
            if self.attention is not None and features.shape[1] == self.attention_at:
                features = self.attention(features)
            maps.append(adjust(features))
        return maps

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None, adjust: Any = None) -> Any:
        features = self.features(latents, sentence_embeddings, training=training, adjust=adjust)[-1]
        features = self.activate(self.normalize(features))
        features = (adjust or as_it_is)(convolve_doubled(self.full_size, features, self.interpolation, training))
        images = self.to_image(self.activate(self.normalize(features)))
        images = ops.tanh(ops.cast(images, "float32"))
        return images if adjust is not None else self.unmirrored(images, latents)

    @property
    def adjustable(self) -> list[tuple[int, int]]:
        channels = (*self.widths, max(1, self.widths[-1] // 2))
        return [(self.start_size << scale, count) for scale, count in enumerate(channels)]

    def mirror(self, mirrored: bool) -> None:
        self.mirrored = mirrored

    def unmirrored(self, images: Any, latents: Any) -> Any:
        if not self.mirrored:
            return images
        return ops.where(latents[:, -1:, None, None] < 0.0, ops.flip(images, axis=2), images)  # Undoes itself.

    def get_config(self) -> dict[str, Any]:
        names = (*self.inherited, "attention_at", "activation")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(_PACKAGE)
class CompactDiscriminator(ProjectionDiscriminator):
    """Judges images, and how well they fit each caption of a batch.

    The logit is the sum of how real the image looks and of the inner product of image and caption in a common space;
    the same products, of every image with every caption, feed the contrastive term.

    Reference:
        cGANs with Projection Discriminator (Miyato and Koyama, 2018), arXiv:1802.05637. Differs: residual blocks
        without normalisation, regularised by a gradient penalty.

    Args:
        image_size: Height and width in pixels: 32, 64, 128 or 256.
        match_dim: Length of image and caption in the common space.
        widths: Channels at half of `image_size`, a quarter, ... down to 4x4.
        head_width: Channels of the last convolution.
        attention_at: Resolution in pixels at which self-attention is inserted, at most half of `image_size`; none by
            default.
        activation: A name in `keras_t2i.networks.ACTIVATIONS`.
        depth: Convolutions in each block beside the one that halves the resolution.

    Call arguments:
        images: Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
        sentence_embeddings: Pooled caption features of unit root mean square, float32, shape `(B, D)`.

    Returns:
        Logits, float32, shape `(B,)`.

    Raises:
        ValueError: if `image_size` is not one of those, or `widths` does not fit it.
    """

    def __init__(
        self,
        image_size: int = 64,
        match_dim: int = 128,
        widths: Sequence[int] | None = None,
        head_width: int = 192,
        attention_at: int | None = None,
        activation: str = "leaky",
        depth: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(check_image_size(image_size), **kwargs)
        num_scales = image_size.bit_length() - 3
        self.widths = tuple(widths or _DISCRIMINATOR_WIDTHS[image_size])
        self.head_width = head_width
        self.attention_at = attention_size(attention_at, image_size)
        if len(self.widths) != num_scales:
            raise ValueError(f"Images of {image_size} pixels need {num_scales} `widths`; got {self.widths}.")
        self.activation, self.depth = activation, check_depth(depth)
        self.activate = ACTIVATIONS[activation]
        self.stem = convolution(self.widths[0], 4, strides=2, name="stem")
        self.blocks = [
            DownBlock(filters, activation, depth, name=f"block_{i}") for i, filters in enumerate(self.widths[1:])
        ]
        self.attention = SelfAttention(name="attention") if self.attention_at else None
        self.head = convolution(head_width, name="head")
        self.flatten = layers.Flatten()
        self.to_realness = layers.Dense(
            1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), name="realness"
        )
        self._project_to(match_dim)

    def extract(self, images: Any, training: bool | None = None) -> Any:
        return self.summary(self.maps(images))

    def maps(self, images: Any) -> list[Any]:
        """What the blocks make of images, from half of their size down to 4x4, shapes `(B, H, W, widths[i])`."""
        maps = [self._attended(self.stem(images))]
        for block in self.blocks:
            maps.append(self._attended(block(maps[-1])))
        return maps

    def summary(self, maps: list[Any]) -> Any:
        """The features that are judged, from `maps`, shape `(B, 16 * head_width)`."""
        return self.flatten(self.activate(self.head(self.activate(maps[-1]))))

    def _attended(self, features: Any) -> Any:
        if self.attention is None or features.shape[1] != self.attention_at:
            return features
        return self.attention(features)

    def seen(self, features: Any) -> tuple[Any, Any]:
        return self.to_realness(features)[:, 0], features

    def get_config(self) -> dict[str, Any]:
        names = ("widths", "head_width", "attention_at", "activation", "depth")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class TextLayers(Block):
    """Further layers for what was read from the caption; none where `depth` is 0."""

    def __init__(self, width: int, depth: int, activation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activate = ACTIVATIONS[activation]
        self.layers = [layers.Dense(width, name=f"layer_{number}") for number in range(depth)]

    def call(self, text: Any) -> Any:
        for layer in self.layers:
            text = self.activate(layer(text))
        return text


def _tiny(image_size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    num_scales = image_size.bit_length() - 3
    return {"widths": (8,) * num_scales}, {"widths": (6,) * num_scales, "head_width": 8}


def wider_generator(image_size: int, times: int, widths: str = "narrow", text_width: int = 128) -> dict[str, Any]:
    """Settings of the generator with so many times the channels of `widths`, and of `text_width`."""
    channels = _WIDTHS[widths][: image_size.bit_length() - 3]
    return {"widths": [times * width for width in channels], "text_width": times * text_width}


def _wider(image_size: int, times: int) -> tuple[dict[str, Any], dict[str, Any]]:
    widths = [times * width for width in _DISCRIMINATOR_WIDTHS[image_size]]
    return wider_generator(image_size, times), {"widths": widths, "head_width": 192 * times}


COMPACT = Family(
    CompactGenerator,
    CompactDiscriminator,
    loss="non_saturating",
    penalty="r1",
    learning_rates=(6e-4, 6e-4),
    betas=(0.0, 0.9),
    reference="keras_t2i",
    label="Compact (ours)",
    description="Modulated residual generator, projection discriminator, contrastive term over the batch; frozen "
    "pretrained text encoder.",
    tiny=_tiny,
    wider=_wider,
)
