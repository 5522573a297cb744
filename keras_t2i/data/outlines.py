"""What drawings are made of: the numbers of words, and outlines as distances to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

__all__ = ["ellipse", "numbers_of"]


def numbers_of(words: Mapping[str, Sequence[float]], labels: tf.Tensor) -> list[tf.Tensor]:
    """The numbers of each image's word, one tensor `(B, 1, 1)` a column.

    Args:
        words: As many numbers for each word.
        labels: Positions in `words`, int64, shape `(B,)`.
    """
    return tf.unstack(tf.gather(np.asarray(list(words.values()), np.float32), labels)[:, :, None, None], axis=1)


def ellipse(x: tf.Tensor, y: tf.Tensor, across: tf.Tensor | float, down: tf.Tensor | float) -> tf.Tensor:
    """Distance to the outline of an ellipse around 0, nearly: negative inside, as all distances in drawings.

    Args:
        x: Coordinates of the pixels, shape `(B, H, W)`.
        y: Likewise.
        across: Half of its width, a number or of shape `(B, 1, 1)`.
        down: Half of its height, likewise.
    """
    return (tf.sqrt((x / across) ** 2 + (y / down) ** 2 + 1e-12) - 1.0) * tf.minimum(across, down)
