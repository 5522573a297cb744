"""Consistency: what teaches a generator that completes images to keep to what it was given of them."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_t2i.networks.image_inputs import IMAGE_INPUTS

__all__ = ["Consistency"]


class Consistency:
    """A term for the loss of a `GuidedGenerator`: that what the input determines of an image is so in its drawing.

    Of a picture with a hole that is all outside of the hole, which is compared before the known part takes its place;
    of a grey picture, brightness; of edges, edges; of a sketch, all, and blurred outlines; of a reduced picture, all.

    Args:
        image_input: A name in `keras_t2i.networks.IMAGE_INPUTS`.
        weight: Weight of the mean absolute difference.

    Call arguments:
        generated: Not looked at.
        batch: Its `"drawing"` is what the generator drew, in [-1, 1], float32, shape `(B, H, W, 3)`; its `"images"`
            what the `"image_input"` was made of.

    Returns:
        A scalar.

    Raises:
        ValueError: if the weight is negative, or there is no such image input.
    """

    compares_with_real = True

    def __init__(self, image_input: str, weight: float = 10.0) -> None:
        if weight < 0:
            raise ValueError(f"`weight` must be at least 0; got {weight}.")
        self.image_input, self.weight = image_input, weight
        self._known = IMAGE_INPUTS[image_input].known

    def __call__(self, generated: Any, batch: dict[str, Any]) -> Any:
        given = batch["image_input"]
        off = self._known(batch["drawing"], given) - self._known(batch["images"], given)
        return self.weight * ops.mean(ops.abs(off))
