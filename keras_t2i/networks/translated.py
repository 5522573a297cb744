"""A generator whose drawings are translated: what draws, and what has learned how other pictures differ from that."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_t2i.networks.base import Generator
from keras_t2i.networks.blocks import Block, leaky, upsample
from keras_t2i.networks.nested import RedrawingGenerator
from keras_t2i.networks.stylizing import Extended

__all__ = ["TranslatedGenerator", "Translator"]


@keras.saving.register_keras_serializable("keras_t2i")
class TranslatedGenerator(RedrawingGenerator):
    """Draws with a trained generator, and makes of its drawing what other pictures of such captions look like.

    What there is to draw is left to the generator, which knows more captions than the pictures are; how they look is
    learned from few of them. `keras_t2i.transfer.translate` makes one and trains it.

    Reference:
        Image-to-Image Translation with Conditional Adversarial Networks (Isola et al., 2017), arXiv:1611.07004.
        Differs: what is translated is drawn by a generator, from the caption of the picture that it is to become.

    Args:
        source: The trained generator.
        width: Channels of the second network at full size.
        depth: Its convolutions at an eighth of the size.

    Call arguments:
        latents: As of `source`.
        sentence_embeddings: Likewise.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.

    Raises:
        ValueError: if `width` or `depth` is not positive.
    """

    def __init__(self, source: Generator, width: int = 16, depth: int = 3, **kwargs: Any) -> None:
        super().__init__(source, width, depth, **kwargs)
        if width < 1 or depth < 1:
            raise ValueError(f"`width` and `depth` must be at least 1; got {width} and {depth}.")
        self.translator = Translator(width, depth, name="translator")

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        drawn = self.source(latents, sentence_embeddings, training=False)
        return self.translator(drawn, training=training)


class Translator(Block):
    """Draws images again: convolutions down to an eighth of the size and up again, each size beside what it was.

    Reference:
        U-Net (Ronneberger et al., 2015), arXiv:1505.04597. Differs: maps are added and not concatenated.

    Args:
        width: Channels at full size; two, three and four times as many at each half of it.
        depth: Convolutions at the smallest size, each beside a shortcut.

    Call arguments:
        images: Images in [-1, 1], float32, shape `(B, H, W, 3)` with static multiples of 8.

    Returns:
        Images of the same shape, float32: in [-1, 1], but not clipped to it in training, for what is beyond white could
        not learn to come back.
    """

    def __init__(self, width: int = 16, depth: int = 3, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # Images stay as fine as they are; convolutions cast what they take.
        widths = [width * times for times in (1, 2, 3, 4)]
        self.stem = Extended(width, 5)
        self.reduced = [Extended(channels, strides=2) for channels in widths[1:]]
        self.blocks = [Extended(widths[-1], scale=0.5) for _ in range(depth)]
        self.beside = [layers.Conv2D(channels, 1) for channels in widths[:0:-1]]
        self.grown = [Extended(channels) for channels in widths[-2::-1]]
        self.to_image = Extended(3, scale=0.5)

    def call(self, images: Any, training: bool | None = None) -> Any:
        features = leaky(self.stem(images))
        skipped = []
        for layer in self.reduced:
            skipped.append(features)
            features = leaky(layer(features))
        for layer in self.blocks:
            features = features + leaky(layer(features))
        for beside, layer in zip(self.beside, self.grown, strict=True):
            features = leaky(layer(upsample(features, "bilinear") + beside(skipped.pop())))
        images = ops.cast(self.to_image(features), "float32")
        return images if training else ops.clip(images, -1.0, 1.0)
