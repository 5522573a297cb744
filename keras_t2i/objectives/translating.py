"""Translating: what teaches a generator to make of what it draws the real images of the same captions."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_t2i.networks.outlines import moved
from keras_t2i.objectives.redrawing import Redrawing

__all__ = ["Translating"]


class Translating(Redrawing):
    """A term for the loss of a `TranslatedGenerator`: that drawings, translated, are the real images of their captions.

    Drawing and image are moved at random, both alike: of a few images many pairs are made, and what is learned is how
    the ones differ from the others, and not where something is.

    Args:
        maps: As of `Redrawing`.
        pixel_weight: Likewise.
        feature_weight: Likewise.

    Call arguments:
        generated: What `draw` has made, in [-1, 1] nearly, float32, shape `(B, H, W, 3)`.
        batch: Its `"images"` are the real images, moved as `draw` has moved them.

    Returns:
        A scalar.

    Raises:
        ValueError: if a weight is negative.
    """

    def draw(self, generator: Any, images: Any, latents: Any, sentence_embeddings: Any, seed: Any) -> tuple[Any, Any]:
        """Translated drawings of the captions of a batch, and its images, moved alike.

        Args:
            generator: A `keras_t2i.networks.TranslatedGenerator`.
            images: The real images, shape `(B, H, W, 3)`.
            latents: Noise, shape `(B, Z)`.
            sentence_embeddings: As the generator reads them, `B` rows.
            seed: Of the moves, a `keras.random.SeedGenerator` or an integer.
        """
        drawn = ops.stop_gradient(generator.source(latents, sentence_embeddings, training=False))
        pairs = moved(ops.concatenate([drawn, images], axis=-1), seed)
        return generator.translator(pairs[..., :3], training=True), pairs[..., 3:]

    def __call__(self, generated: Any, batch: dict[str, Any]) -> Any:
        return self.off(generated, batch["images"])
