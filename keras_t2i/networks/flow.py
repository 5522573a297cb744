"""A family that draws in several passes: a network that says in which direction noise becomes an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from keras_t2i.networks.base import Generator, check_image_size
from keras_t2i.networks.blocks import Block, Modulation, convolution, silu, unit_rms, upsample
from keras_t2i.networks.families import Family
from keras_t2i.networks.stepping import follow, shifted

__all__ = ["FlowGenerator"]

_PACKAGE = "keras_t2i"
_COARSE = 16
_FREQUENCIES = 32
_LEAST_TIME = 0.05
_LAYOUT = 16
"""Channels of what time and caption say of each place; channels alone would not say where anything is."""


@keras.saving.register_keras_serializable(_PACKAGE)
class FlowGenerator(Generator):
    """Draws by following, from noise to image, the velocity that a U-Net finds at each of a few steps.

    More passes an image than the other families, and more variety: every noise has an image of its own.

    Reference:
        Flow Straight and Fast (Liu et al., 2022), arXiv:2209.03003: rectified flow, on pixels. The layers find the
        image and not the velocity, as in Back to Basics (Li and He, 2025), arXiv:2511.13720. The network is ours: a
        U-Net on patches of pixels, at 16x16 and 8x8, modulated by time and caption.

    Args:
        image_size: Output height and width in pixels: 32, 64, 128 or 256.
        widths: Channels at 16x16 and at 8x8.
        depth: Residual blocks at 8x8; half as many, at least one, on either side at 16x16.
        text_width: Length of what is read from caption and time, by which the blocks are modulated.
        num_steps: Steps from noise to image. More are slower and finer; it can be changed at any time.
        guidance: How far to go from no caption to the caption at each step: 1 arrives there, more goes beyond, at
            twice the time.
        shift: How much sooner than at equal distances the steps begin, and the times of training with them: what is
            drawn is decided under so much noise that a single pixel says next to nothing, the more so the larger
            images are (Esser et al., 2024, arXiv:2403.03206, section 5.3.2).

    Call arguments:
        latents: Standard normal noise, float32, shape `(B, image_size * image_size * 3)`.
        sentence_embeddings: Pooled caption features of unit root mean square, float32, shape `(B, D)`.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.

    Raises:
        ValueError: if `image_size` is not one of those, `widths` are not two, or there is no step.
    """

    def __init__(
        self,
        image_size: int = 64,
        widths: Sequence[int] = (96, 192),
        depth: int = 3,
        text_width: int = 256,
        num_steps: int = 8,
        guidance: float = 1.0,
        shift: float = 4.0,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("latent_dim", None)
        super().__init__(check_image_size(image_size), 3 * image_size**2, **kwargs)
        self.widths = tuple(widths)
        if len(self.widths) != 2:
            raise ValueError(f"`widths` must be two, at 16x16 and at 8x8; got {self.widths}.")
        if num_steps < 1 or depth < 1:
            raise ValueError(f"`num_steps` and `depth` must be at least 1; got {num_steps} and {depth}.")
        if not shift > 0:
            raise ValueError(f"`shift` must be above 0; got {shift:g}.")
        self.depth, self.text_width = depth, text_width
        self.num_steps, self.guidance, self.shift = num_steps, guidance, shift
        self.patch = image_size // _COARSE
        fine, coarse = self.widths
        self.to_text = layers.Dense(text_width, name="text")
        self.to_time = layers.Dense(text_width, name="time")
        self.to_style = layers.Dense(text_width, name="style")
        self.from_patches = convolution(fine, scale=1.0, name="from_patches")
        half = max(1, depth // 2)
        self.blocks = [
            FlowBlock(filters, attends=number == half + depth // 2, name=f"block_{number}")
            for number, filters in enumerate([fine] * half + [coarse] * depth + [fine] * half)
        ]
        self.to_layout = layers.Dense((_COARSE // 2) ** 2 * _LAYOUT, name="layout")
        self.from_layout = convolution(coarse, 1, scale=1.0, use_bias=False, name="from_layout")
        self.halve = convolution(coarse, strides=2, scale=1.0, name="halve")
        self.double = convolution(fine, 1, scale=1.0, name="double")
        self.join = convolution(fine, 1, scale=1.0, name="join")
        self.to_patches = convolution(3 * self.patch**2, scale=0.01, name="to_patches")

    def velocity(self, noisy: Any, times: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        """Where noise lies, as seen from the image: what a step from time to time has to follow.

        Args:
            noisy: Images with noise, float32, shape `(B, image_size, image_size, 3)`.
            times: The share of noise in each, float32, shape `(B,)`: 0 for images, 1 for noise.
            sentence_embeddings: As for `call`.
            training: As in Keras.

        Returns:
            Noise less image, as far as it can be told, float32, shape of `noisy`. What the layers find is the image,
            of which the velocity follows: to pass noise on, which no layer can foresee, would take most of them.
        """
        text = silu(self.to_text(self.standardized(sentence_embeddings)))
        moment = silu(self.to_time(ops.cast(_waves(times), text.dtype)))
        style = silu(self.to_style(text + moment))
        fine = self.from_patches(ops.cast(self._patched(noisy), text.dtype))
        half = max(1, self.depth // 2)
        for block in self.blocks[:half]:
            fine = block(fine, style)
        layout = ops.reshape(self.to_layout(style), (-1, _COARSE // 2, _COARSE // 2, _LAYOUT))
        coarse = self.halve(fine) + self.from_layout(layout)
        for block in self.blocks[half : half + self.depth]:
            coarse = block(coarse, style)
        features = self.join(ops.concatenate([fine, upsample(self.double(coarse))], axis=-1))
        for block in self.blocks[half + self.depth :]:
            features = block(features, style)
        image = self._unpatched(ops.cast(self.to_patches(silu(unit_rms(features))), "float32"))
        return (ops.cast(noisy, "float32") - image) / ops.maximum(times, _LEAST_TIME)[:, None, None, None]

    def shifted(self, times: Any) -> Any:
        """Times from 0 to 1, those of steps and of training, by the `shift`."""
        return shifted(times, self.shift)

    def draw(
        self, latents: Any, sentence_embeddings: Any, num_steps: Any, guidance: Any = None, instead: Any = None
    ) -> Any:
        """Images in [-1, 1] from noise, in so many steps of Euler's method.

        Args:
            latents: As for `call`.
            sentence_embeddings: As for `call`.
            num_steps: How many: an integer, or a tensor of integers, a scalar or one for each image.
            guidance: How far to go from no caption to the caption, a number or a scalar tensor; `None` for the caption
                alone, at half the time.
            instead: Embeddings of what to go away from, shape `(D,)`, instead of no caption.
        """
        noisy = ops.reshape(ops.cast(latents, "float32"), (-1, self.image_size, self.image_size, 3))
        steps = ops.cast(num_steps, "float32") * ops.ones_like(noisy[:, 0, 0, 0])
        most = num_steps if isinstance(num_steps, int) else ops.max(num_steps)

        def times(number: Any) -> Any:
            return self.shifted(ops.maximum(1.0 - number / steps, 0.0))

        if guidance is not None and instead is None:
            instead = self.text_mean
        found = follow(self.velocity, noisy, sentence_embeddings, times, most, guidance, instead)
        return ops.clip(found, -1.0, 1.0)

    @property
    def manner(self) -> tuple[Any, ...]:
        return (self.num_steps, self.guidance, self.shift)

    @property
    def own_guidance(self) -> float | None:
        """The `guidance` that `draw` takes where no other is asked for."""
        return None if self.guidance == 1.0 else self.guidance

    def coarse(self, latents: Any, length: int) -> Any:
        """The noise as an image of few pixels, each the mean of those it stands for: see `Generator.coarse`."""
        cells = max(size for size in (1, 2, 4, 8, 16, 32) if 3 * size**2 <= max(length, 3))
        edge = self.image_size // cells
        blocks = ops.reshape(latents, (-1, cells, edge, cells, edge, 3))
        return ops.reshape(edge * ops.mean(blocks, axis=(2, 4)), (-1, 3 * cells**2))[:, :length]

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        return self.draw(latents, sentence_embeddings, self.num_steps, self.own_guidance)

    def _patched(self, images: Any) -> Any:
        """Images as patches of pixels, shape `(B, 16, 16, 3 * patch**2)`."""
        split = ops.reshape(images, (-1, _COARSE, self.patch, _COARSE, self.patch, 3))
        return ops.reshape(ops.transpose(split, (0, 1, 3, 2, 4, 5)), (-1, _COARSE, _COARSE, 3 * self.patch**2))

    def _unpatched(self, patches: Any) -> Any:
        split = ops.reshape(patches, (-1, _COARSE, _COARSE, self.patch, self.patch, 3))
        return ops.reshape(ops.transpose(split, (0, 1, 3, 2, 4, 5)), (-1, self.image_size, self.image_size, 3))

    def get_config(self) -> dict[str, Any]:
        names = ("widths", "depth", "text_width", "num_steps", "guidance", "shift")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class FlowBlock(Block):
    """A residual pair of convolutions, modulated by time and caption, and attention behind it where it is asked for."""

    def __init__(self, filters: int, attends: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.modulation_in = Modulation()
        self.conv_in = convolution(filters)
        self.modulation_out = Modulation()
        self.conv_out = convolution(filters, scale=0.02)
        self.attention = Attention(name="attention") if attends else None

    def call(self, features: Any, style: Any) -> Any:
        residual = self.conv_in(silu(self.modulation_in(unit_rms(features), style)))
        residual = self.conv_out(silu(self.modulation_out(unit_rms(residual), style)))
        features = features + residual
        return features if self.attention is None else self.attention(features)


class Attention(Block):
    """Adds to every position what four heads look up at all others."""

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.to_parts = layers.Dense(3 * channels, use_bias=False, name="parts")
        self.join = layers.Dense(channels, kernel_initializer="zeros", name="join")

    def call(self, features: Any) -> Any:
        _, height, width, channels = features.shape
        parts = ops.reshape(self.to_parts(unit_rms(features)), (-1, height * width, 3, 4, channels // 4))
        query, key, value = (ops.transpose(parts[:, :, i], (0, 2, 1, 3)) for i in range(3))
        weights = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) * (channels // 4) ** -0.5, axis=-1)
        found = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return features + self.join(ops.reshape(found, (-1, height, width, channels)))


def _waves(times: Any) -> Any:
    """Times as sines and cosines of many frequencies, shape `(B, 64)`."""
    exponents = ops.arange(_FREQUENCIES, dtype="float32") / (_FREQUENCIES - 1)
    angles = ops.cast(times, "float32")[:, None] * ops.exp(exponents * math.log(256.0))[None]
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def _tiny(image_size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"widths": (8, 8), "depth": 1, "text_width": 16, "num_steps": 2}, {}


def _wider(image_size: int, times: int) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"widths": [96 * times, 192 * times], "text_width": 256 * times}, {}


FLOW = Family(
    FlowGenerator,
    None,
    loss=None,
    penalty=None,
    learning_rates=(1e-3,),
    betas=(0.9, 0.99),
    reference="Liu et al., 2022",
    label="Rectified flow",
    description="Noise becomes an image in several passes of a U-Net, trained without a discriminator: one picture for "
    "every noise, longer training, slower drawing.",
    tiny=_tiny,
    wider=_wider,
    caption_dropout=0.1,
)
