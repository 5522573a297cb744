"""Projected GAN: a discriminator that looks at images through a frozen pretrained network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_t2i.core.pixels import resize
from keras_t2i.networks.base import check_depth, check_image_size
from keras_t2i.networks.blocks import Block, unit_rms
from keras_t2i.networks.compact import CompactGenerator, wider_generator
from keras_t2i.networks.families import ACTIVATIONS, Family
from keras_t2i.networks.mobilenet_v2 import build_mobilenet_v2
from keras_t2i.networks.projection import ProjectionDiscriminator
from keras_t2i.networks.spectral import SpectralConv2D

__all__ = ["ProjectedDiscriminator"]

_PACKAGE = "keras_t2i"
_TAPS = {"stride_4": 6.0, "stride_8": 5.0, "stride_16": 4.0, "stride_32": 1.5}
"""What is looked at, and the standard deviation it has on photographs, so that no scale drowns the others."""

_LAYOUT_SIZE, _DEVIATION = 64, 4.0
"""Pixels at which layouts are looked at, and the standard deviation of what is seen in each of 4 x 4 cells."""
_CELLS, _FLAT = 8, 1e-3
"""Cells by which forms are compared, in height and width; variance of brightness below which there are next to none."""


@keras.saving.register_keras_serializable(_PACKAGE)
class ProjectedDiscriminator(ProjectionDiscriminator):
    """Judges images by what a frozen pretrained network, MobileNetV2, sees in them at four scales.

    Only the heads are trained, one a scale; below them, features are mixed across channels and, from coarse to fine,
    across scales, by projections that are random and fixed, so that no feature can be left out. A further head may see
    the pixels themselves. The logit is the mean of how real the image looks to the heads, plus the inner product of
    what they see and the caption in a common space.

    The frozen part is built with random weights: give it the pretrained ones by `initialize_backbone` before training.
    They are saved with the others. Setting `trainable` reaches the heads alone.

    Reference:
        Projected GANs Converge Faster (Sauer et al., 2021), arXiv:2111.01007. Differs: MobileNetV2 for EfficientNet,
        no batch normalisation; the heads' logits are averaged, and they share one projection of the caption; pixels.

    Args:
        image_size: Height and width in pixels: 32, 64, 128 or 256.
        input_size: Height and width, a multiple of 32, to which images are brought for the frozen network; by default
            their own, but at least 128: it does not see the finest detail of what it gets. It was trained at 224; the
            cost grows with the square.
        widths: Channels at strides 4, 8, 16 and 32 after mixing.
        head_width: Channels of the heads.
        match_dim: Length of image and caption in the common space.
        activation: A name in `keras_t2i.networks.ACTIVATIONS`, of the heads.
        depth: Convolutions of each head at its last resolution.
        pixel_width: Channels of a head that sees the pixels, 0 for none: captions that name colors are obeyed better.
        forms: Weight in `layout` of where images are bright and dark, beside what the frozen network sees; 0 for none.

    Call arguments:
        images: Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
        sentence_embeddings: Pooled caption features of unit root mean square, float32, shape `(B, D)`.

    Returns:
        Logits, float32, shape `(B,)`.

    Raises:
        ValueError: if `image_size` is not one of those, `input_size` is no multiple of 32, or `widths` are not four.
    """

    inherited = ("input_size", "pixel_width", "forms")

    def __init__(
        self,
        image_size: int = 64,
        input_size: int | None = None,
        widths: Sequence[int] = (32, 48, 64, 128),
        head_width: int = 64,
        match_dim: int = 128,
        activation: str = "leaky",
        depth: int = 1,
        pixel_width: int = 0,
        forms: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(check_image_size(image_size), **kwargs)
        input_size = max(128, image_size) if input_size is None else input_size
        if input_size < 32 or input_size % 32:
            raise ValueError(f"`input_size` must be a positive multiple of 32; got {input_size}.")
        if len(widths) != len(_TAPS):
            raise ValueError(f"`widths` must be {len(_TAPS)} numbers, one a scale; got {tuple(widths)}.")
        self.input_size = input_size
        self.widths = tuple(widths)
        self.head_width = head_width
        self.activation, self.depth = activation, check_depth(depth)
        self.backbone = build_mobilenet_v2(None, None, _TAPS, name="backbone")
        fixed: dict[str, Any] = {"kernel_size": 1, "use_bias": False, "dtype": "float32"}
        self.mix_channels = [
            layers.Conv2D(width, name=f"channels_{i}", kernel_initializer=_random(1.0 / deviation), **fixed)
            for i, (width, deviation) in enumerate(zip(widths, _TAPS.values(), strict=True))
        ]
        self.mix_scales = [
            layers.Conv2D(width, name=f"scales_{i}", kernel_initializer=_random(1.0), **fixed)
            for i, width in enumerate(widths[:-1])
        ]
        sizes = [input_size // stride for stride in (4, 8, 16, 32)]
        self.heads = [Head(head_width, size, activation, depth, name=f"head_{i}") for i, size in enumerate(sizes)]
        self.pixel_width, self.forms = pixel_width, forms
        if forms:
            self.num_layout_numbers = 2 * ProjectionDiscriminator.num_layout_numbers  # Half of them are of forms.
        if pixel_width:
            self.heads.append(Head(pixel_width, image_size, activation, depth, name="pixel_head"))
        self._project_to(match_dim)
        self._freeze()

    @property
    def trainable(self) -> bool:
        return keras.Model.trainable.fget(self)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        keras.Model.trainable.fset(self, value)
        self._freeze()

    def _freeze(self) -> None:
        for layer in (self.backbone, *self.mix_channels, *self.mix_scales):
            layer.trainable = False

    def initialize_backbone(self, weights: Sequence[np.ndarray]) -> None:
        """Gives the frozen network its pretrained weights.

        Args:
            weights: Kernel and bias of each convolution of MobileNetV2, in order, batch normalization folded in, as
                `keras_t2i.ImageFeatures.from_preset("mobilenet_v2").network.get_weights()` returns them. The last pair,
                of the layer behind all that is looked at, is not needed.

        Raises:
            ValueError: if their number or shapes are others.
        """
        own = self.backbone.weights
        found = [tuple(array.shape) for array in weights[: len(own)]]
        if found != [tuple(weight.shape) for weight in own]:
            raise ValueError(
                f"The frozen network takes the {len(own)} kernels and biases of MobileNetV2; these are not they: pass "
                "the weights of ImageFeatures.from_preset('mobilenet_v2') or of a file of them."
            )
        self.backbone.set_weights(list(weights[: len(own)]))

    def check_ready(self) -> None:
        if not any(ops.convert_to_numpy(weight).any() for weight in self.backbone.weights[1::2]):
            raise ValueError(
                "The frozen network of the discriminator has no pretrained weights yet; call `initialize_backbone`, or "
                "load a preset, before training."
            )

    def maps(self, images: Any) -> list[Any]:
        """What the frozen network sees in images, at strides 4, 8, 16 and 32, shapes `(B, h, w, C)`."""
        return self.backbone(resize(images, self.input_size), training=False)

    def layout(self, images: Any) -> Any:
        """What the frozen network sees in 4 x 4 cells of images, at strides 8 and 16 of 64 pixels; and their forms."""
        images = resize(images, _LAYOUT_SIZE)
        _, *maps, _ = self.backbone(images, training=False)
        cells = [ops.reshape(resize(each, 4), (-1, 16 * each.shape[-1])) for each in maps]
        told = [each / (_DEVIATION * each.shape[-1] ** 0.5) for each in cells]
        return ops.concatenate([*told, self.forms * _forms(images)] if self.forms else told, axis=-1)

    def extract(self, images: Any, training: bool | None = None) -> list[Any]:
        taps = self.maps(images)
        mixed = [mix(tap) for mix, tap in zip(self.mix_channels, taps, strict=True)]
        for i in reversed(range(len(self.mix_scales))):
            mixed[i] = (mixed[i] + resize(self.mix_scales[i](mixed[i + 1]), mixed[i].shape[1])) / 2**0.5
        seen = [*mixed, images] if self.pixel_width else mixed
        found = [head(maps, training=training) for head, maps in zip(self.heads, seen, strict=True)]
        realness = sum(ops.mean(each, axis=(1, 2, 3)) for each, _ in found) / len(found)
        return [realness, ops.concatenate([ops.mean(maps, axis=(1, 2)) for _, maps in found], axis=-1)]

    def seen(self, features: Any) -> tuple[Any, Any]:
        realness, maps = features
        return realness, maps

    def get_config(self) -> dict[str, Any]:
        names = ("input_size", "widths", "head_width", "activation", "depth", "pixel_width", "forms")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class Head(Block):
    """A trained part: convolutions down to 4x4 or less, and at each position how real it looks."""

    def __init__(self, width: int, size: int, activation: str = "leaky", depth: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activate = ACTIVATIONS[activation]
        self.downs: list[SpectralConv2D] = []
        while size > 4:
            self.downs.append(SpectralConv2D(width, 4, strides=2, padding="same", name=f"down_{len(self.downs)}"))
            size = -(-size // 2)
        self.last = SpectralConv2D(width, 3, padding="same", name="last")
        self.more = [SpectralConv2D(width, 3, padding="same", name=f"more_{i}") for i in range(depth - 1)]
        self.to_realness = SpectralConv2D(1, 1, name="realness")

    def call(self, maps: Any, training: bool | None = None) -> tuple[Any, Any]:
        for conv in (*self.downs, self.last, *self.more):
            maps = self.activate(conv(maps, training=training))
        return self.to_realness(maps, training=training), maps


def _forms(images: Any) -> Any:
    """Where images of 64 pixels are bright and dark, shape `(B, 64)`: in 8 x 8 cells, light and contrast taken away."""
    side = _LAYOUT_SIZE // _CELLS
    brightness = ops.mean(ops.cast(images, "float32"), axis=-1)
    cells = ops.mean(ops.reshape(brightness, (-1, _CELLS, side, _CELLS, side)), axis=(2, 4))
    cells = ops.reshape(cells, (-1, _CELLS**2))
    cells -= ops.mean(cells, axis=-1, keepdims=True)
    return unit_rms(cells, _FLAT)


def _random(scale: float) -> keras.initializers.Initializer:
    """Makes of inputs with the standard deviation `1 / scale` outputs with about 1."""
    return keras.initializers.VarianceScaling(scale**2, "fan_in", "untruncated_normal")


_WIDE: dict[str, Any] = {"widths": "wide", "text_width": 256}
"""Of the generator: photographs have many forms, and a step through the frozen network costs more than they do."""

# Its frozen network gets its weights by `initialize_backbone`.
PROJECTED = Family(
    partial(CompactGenerator, normalized=True, interpolation="bilinear", noise_first=True, **_WIDE),
    partial(ProjectedDiscriminator, pixel_width=32, forms=0.12),
    loss="hinge",
    penalty=None,
    learning_rates=(6e-4, 6e-4),
    betas=(0.0, 0.9),
    reference="Sauer et al. 2021, arXiv:2111.01007",
    label="Projected GAN",
    description="The compact generator, judged by heads on a frozen pretrained image network and on pixels.",
    tiny=lambda image_size: (
        {"widths": (8,) * (image_size.bit_length() - 3)},
        {"input_size": 32, "widths": (4, 4, 6, 6), "head_width": 8, "pixel_width": 4},
    ),
    wider=lambda image_size, times: (
        wider_generator(image_size, times, **_WIDE),
        {"head_width": 64 * times, "pixel_width": 32 * times},
    ),
)
