"""A generator with a second stage: what draws small images, and what makes them larger and sharper."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_t2i.networks.base import Generator, check_image_size
from keras_t2i.networks.blocks import Block, as_it_is, convolution, leaky, upsample
from keras_t2i.networks.nested import NestedGenerator

__all__ = ["UpscaledGenerator", "Upscaler"]


@keras.saving.register_keras_serializable("keras_t2i")
class UpscaledGenerator(NestedGenerator):
    """Draws with a trained generator, and enlarges what it drew.

    What costs most, forms and what captions say, is learned at the size of the first stage; the second one, a few
    convolutions, learns edges and texture within minutes. `keras_t2i.transfer.upscale` makes one and trains it.

    Reference:
        StackGAN (Zhang et al., 2017), arXiv:1612.03242, for the two stages. Differs: the second one neither reads the
        caption nor draws noise, and is trained on reduced real images too.

    Args:
        source: The trained generator of the first stage.
        image_size: Height and width of the enlarged images in pixels: 2 or 4 times those of `source`.
        width: Channels of the second stage at the size of the first.
        depth: Residual blocks of the second stage.

    Call arguments:
        latents: As of `source`.
        sentence_embeddings: Likewise.
        adjust: Likewise, where `source` takes it; the maps of the second stage follow those of the first.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.

    Raises:
        ValueError: if `image_size` is not 2 or 4 times that of `source`, or not one that networks draw.
    """

    def __init__(
        self, source: Generator, image_size: int = 128, width: int = 32, depth: int = 4, **kwargs: Any
    ) -> None:
        super().__init__(source, check_image_size(image_size), **kwargs)
        factor = image_size // source.image_size
        if factor not in (2, 4):
            raise ValueError(
                f"Images of {source.image_size} pixels are enlarged 2 or 4 times, not to {image_size} pixels."
            )
        self.width, self.depth = width, depth
        self.upscaler = Upscaler(factor, width, depth, name="upscaler")

    @property
    def adjustable(self) -> list[tuple[int, int]]:
        of_source = self.source.adjustable
        return of_source and [*of_source, *self.upscaler.adjustable(self.source.image_size)]

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None, adjust: Any = None) -> Any:
        how = {"training": training} if adjust is None else {"training": training, "adjust": adjust}
        return self.upscaler(self.source(latents, sentence_embeddings, **how), **how)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "depth": self.depth}


class Upscaler(Block):
    """Makes images larger and draws what is missing: residual blocks at their own size, a convolution at each larger.

    Args:
        factor: How many times larger, a power of two.
        width: Channels at the size of the images that come in; half of them after the first doubling.
        depth: Residual blocks.

    Call arguments:
        images: Images in [-1, 1], float32, shape `(B, H, W, 3)`.
        adjust: A function of the maps of each size, from the first on, to what takes their place.

    Returns:
        Larger ones, float32, shape `(B, factor * H, factor * W, 3)`: in [-1, 1], but not clipped to it in training, for
        what is beyond white could not learn to come back.
    """

    def __init__(self, factor: int, width: int = 32, depth: int = 4, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # Images stay as fine as they are; convolutions cast what they take.
        doublings = factor.bit_length() - 1
        self.stem = convolution(width)
        self.blocks = [Residual(width) for _ in range(depth)]
        self.grown = [convolution(max(8, width >> (i + 1))) for i in range(doublings)]
        self.to_image = convolution(3, scale=0.02)

    def adjustable(self, size: int) -> list[tuple[int, int]]:
        """Size and channels of the maps that are handed to `adjust`, where images of a size come in."""
        return [(size << doubling, conv.filters) for doubling, conv in enumerate((self.stem, *self.grown))]

    def call(self, images: Any, training: bool | None = None, adjust: Any = None) -> Any:
        adjust = adjust or as_it_is
        features = adjust(self.stem(images))
        for block in self.blocks:
            features = block(features)
        for conv in self.grown:
            images = upsample(images, "bilinear")
            features = adjust(conv(upsample(leaky(features), "bilinear")))
        images = images + ops.cast(self.to_image(leaky(features)), "float32")
        return images if training else ops.clip(images, -1.0, 1.0)


class Residual(Block):
    """Two convolutions beside a shortcut, which they start near."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv_in = convolution(width)
        self.conv_out = convolution(width, scale=0.02)

    def call(self, features: Any) -> Any:
        return features + self.conv_out(leaky(self.conv_in(leaky(features))))
