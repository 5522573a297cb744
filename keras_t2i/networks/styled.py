"""A generator whose drawings are drawn again in a style."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from keras_t2i.networks.base import Generator
from keras_t2i.networks.nested import RedrawingGenerator
from keras_t2i.networks.stylizing import StylizingNetwork

__all__ = ["StyledGenerator"]


@keras.saving.register_keras_serializable("keras_t2i")
class StyledGenerator(RedrawingGenerator):
    """Draws with a trained generator, and draws that again in the style of one picture.

    What captions say is left to the generator, which knows it, and brush strokes to a network that has nothing else to
    learn. `keras_t2i.transfer.style` makes one and trains it.

    Reference:
        Perceptual Losses for Real-Time Style Transfer and Super-Resolution (Johnson et al., 2016), arXiv:1603.08155.
        Differs: see `StylizingNetwork`; the pictures are a generator's.

    Args:
        source: The trained generator.
        width: Channels of the second network at full size.
        depth: Its residual blocks.
        enlarged: How many times as large drawings are while they are drawn again: small ones have no room for strokes.

    Call arguments:
        latents: As of `source`.
        sentence_embeddings: Likewise.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.

    Raises:
        ValueError: if `width` or `depth` is not positive, or `enlarged` not 1, 2 or 4.
    """

    def __init__(self, source: Generator, width: int = 16, depth: int = 4, enlarged: int = 1, **kwargs: Any) -> None:
        super().__init__(source, width, depth, **kwargs)
        if enlarged not in (1, 2, 4):
            raise ValueError(f"Drawings are enlarged 1, 2 or 4 times; got {enlarged!r}.")
        self.enlarged = enlarged
        self.enlarge = layers.UpSampling2D(enlarged, interpolation="bilinear")
        self.stylizer = StylizingNetwork(width, depth, name="stylizer")

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        drawn = self.source(latents, sentence_embeddings, training=False)
        if self.enlarged == 1:
            return self.stylizer(drawn, training=training)
        stylized = self.stylizer(self.enlarge(drawn), training=training)
        return ops.average_pool(stylized, self.enlarged)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "enlarged": self.enlarged}
