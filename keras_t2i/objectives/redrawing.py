"""Redrawing: what teaches a generator of two stages to enlarge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_t2i.core.pixels import resize
from keras_t2i.objectives.losses import perceptual_loss

__all__ = ["Redrawing", "fine_maps"]

_SEEN_FINE = 3
"""Frozen features are compared at so many scales, from the finest: what is coarser is there before."""


def fine_maps(discriminator: Any) -> Callable[[Any], Sequence[Any]] | None:
    """The finest feature maps of a discriminator's frozen network, as a function of images; `None` if it has none."""
    if getattr(discriminator, "backbone", None) is None:
        return None
    return lambda images: discriminator.maps(images)[:_SEEN_FINE]


class Redrawing:
    """A term for the loss of an `UpscaledGenerator`: that real images, reduced and enlarged again, are themselves.

    With it, the first half of what is judged in a step of training are such images, and the second half is drawn from
    noise: what is learned on the one is at hand for the other.

    Args:
        maps: What makes of images in [-1, 1] the feature maps that they are compared in, or `None` for pixels alone.
        pixel_weight: Weight of the mean absolute difference.
        feature_weight: Weight of `perceptual_loss`.

    Call arguments:
        generated: Images of which `draw` has made the first half, in [-1, 1], float32, shape `(B, H, W, 3)`.
        batch: Its `"images"` are the real images, of the same shape.

    Returns:
        A scalar.

    Raises:
        ValueError: if a weight is negative.
    """

    compares_with_real = True

    def __init__(
        self,
        maps: Callable[[Any], Sequence[Any]] | None = None,
        pixel_weight: float = 10.0,
        feature_weight: float = 1.0,
    ) -> None:
        if pixel_weight < 0 or feature_weight < 0:
            raise ValueError(
                f"`pixel_weight` and `feature_weight` must be at least 0; got {pixel_weight} and {feature_weight}."
            )
        self.maps, self.pixel_weight, self.feature_weight = maps, pixel_weight, feature_weight

    def draw(self, generator: Any, images: Any, latents: Any, sentence_embeddings: Any, seed: Any) -> tuple[Any, Any]:
        """Images of the captions of a batch, the first half of them the real ones, redrawn; and the real ones.

        Args:
            generator: A `keras_t2i.networks.UpscaledGenerator`.
            images: The real images, shape `(B, H, W, 3)`.
            latents: Noise, shape `(B, Z)`.
            sentence_embeddings: As the generator reads them, `B` rows.
            seed: Not looked at.
        """
        first = ops.shape(images)[0] // 2
        reduced = resize(images[:first], generator.source.image_size)
        drawn = generator.source(latents[first:], sentence_embeddings[first:], training=True)
        return generator.upscaler(ops.concatenate([reduced, drawn]), training=True), images

    def __call__(self, generated: Any, batch: dict[str, Any]) -> Any:
        first = ops.shape(generated)[0] // 2
        return self.off(generated[:first], batch["images"][:first])

    def off(self, redrawn: Any, real: Any) -> Any:
        """By how much images are off the real ones, in pixels and features, a scalar."""
        loss = self.pixel_weight * ops.mean(ops.abs(redrawn - real))
        if self.maps is not None and self.feature_weight:
            features = [ops.stop_gradient(each) for each in self.maps(real)]
            loss += self.feature_weight * perceptual_loss(self.maps(redrawn), features)
        return loss
