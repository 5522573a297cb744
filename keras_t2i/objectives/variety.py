"""Variety: what makes a generator draw more than one picture of a caption."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_t2i.core import replicas

__all__ = ["Variety", "in_pairs", "layout_distance"]

_CELLS = 8


def layout_distance(first: Any, second: Any) -> Any:
    """How far apart two images are in what lies where: the mean absolute difference of 8 x 8 cells of their colors.

    The mean color of each image is taken away first: lighter and darker ones of the same layout do not differ.

    Args:
        first: Images in [-1, 1], shape `(N, H, W, 3)`.
        second: Their counterparts, of the same shape.

    Returns:
        Distances, shape `(N,)`.
    """
    return ops.mean(ops.abs(_layout(first) - _layout(second)), axis=(1, 2, 3))


def _layout(images: Any) -> Any:
    size = images.shape[1] // _CELLS
    cells = ops.average_pool(images, size, size)
    return cells - ops.mean(cells, axis=(1, 2), keepdims=True)


@keras.saving.register_keras_serializable("keras_t2i")
class Variety:
    """A term for the generator's loss: how much less two images of a caption differ than two real ones do.

    A discriminator that sees one image at a time does not notice that each caption has one picture, as long as captions
    have different ones. With this term, `TextToImageGAN` draws half of a batch's captions, each from two noises, at no
    further cost.

    Reference:
        Mode Seeking Generative Adversarial Networks (Mao et al., 2019), arXiv:1903.05628. Differs: no more is asked
        than real images have; and by layout, not by pixels or features, which can differ without being seen to.

    Args:
        distance: The mean `layout_distance` of pairs of real images that one caption could have described.
        weight: Factor on the share of it that is missing.

    Call arguments:
        generated: Images in [-1, 1], of which rows 2k and 2k + 1 are of one caption, shape `(B, H, W, 3)`.

    Returns:
        A scalar, from 0 where they differ as much as real ones to `weight` where they are alike.

    Raises:
        ValueError: if `distance` is not positive or `weight` negative.
    """

    def __init__(self, distance: float, weight: float = 1.0) -> None:
        if not distance > 0 or weight < 0:
            raise ValueError(f"`distance` must be positive and `weight` at least 0; got {distance} and {weight}.")
        self.distance = float(distance)
        self.weight = float(weight)

    def __call__(self, generated: Any) -> Any:
        pairs = ops.shape(generated)[0] // 2
        images = ops.cast(generated[: 2 * pairs], "float32")
        (found,) = replicas.mean([ops.mean(layout_distance(images[::2], images[1::2]))])
        return self.weight * ops.relu(1.0 - found / self.distance)

    def get_config(self) -> dict[str, Any]:
        return {"distance": self.distance, "weight": self.weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Variety:
        return cls(**config)


def in_pairs(rows: Any) -> Any:
    """Rows of which each with an odd number is that before it."""
    return ops.take(rows, 2 * (ops.arange(ops.shape(rows)[0]) // 2), axis=0)
