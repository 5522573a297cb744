"""Outlines of what is drawn, as distances to them."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["ellipse"]


def ellipse(x: tf.Tensor, y: tf.Tensor, across: tf.Tensor | float, down: tf.Tensor | float) -> tf.Tensor:
    """Distance to the outline of an ellipse around 0, nearly: negative inside, as all distances in drawings.

    Args:
        x: Coordinates of the pixels, shape `(B, H, W)`.
        y: Likewise.
        across: Half of its width, a number or of shape `(B, 1, 1)`.
        down: Half of its height, likewise.
    """
    return (tf.sqrt((x / across) ** 2 + (y / down) ** 2 + 1e-12) - 1.0) * tf.minimum(across, down)
