"""Noise that follows from a seed and a number alone."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

__all__ = ["latents_for"]


def latents_for(seed: int, num_images: int, latent_dim: int, truncation: float = 1.0) -> np.ndarray:
    """Returns the noise of images 0, 1, ... of a seed, float32, shape `(num_images, latent_dim)`.

    Row `i` follows from `(seed, i)` alone: normal numbers by TensorFlow's counter-based Philox generator, with a
    standard deviation of `truncation`.

    Raises:
        ValueError: if `truncation` is negative or not finite.
    """
    if not 0 <= truncation < float("inf"):
        raise ValueError(f"`truncation` must be a number of at least 0; got {truncation}.")
    rows = [tf.random.stateless_normal((latent_dim,), seed=(seed, i), alg="philox") for i in range(num_images)]
    return np.stack([row.numpy() for row in rows]) * truncation
