"""Completing pictures with a generator that images do not guide: noise is looked for that draws what is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_t2i.core.backend import input_gradients, jitted
from keras_t2i.core.pixels import rounded
from keras_t2i.models.sampling import in_chunks
from keras_t2i.networks.image_inputs import hide, with_known

__all__ = ["completed_by_search"]

_STEPS = 100
_RATE = 0.1
_MOMENTUM, _SQUARES = 0.9, 0.99  # Of Adam.


def completed_by_search(
    generator: Any, latents: np.ndarray, sentence_embeddings: np.ndarray, pictures: np.ndarray, masks: np.ndarray
) -> np.ndarray:
    """Images drawn from noise that was moved, by gradients, to where the known part is drawn as it is.

    The noise stays as long as it was, for the generator knows no other.

    Reference:
        Semantic Image Inpainting with Deep Generative Models (Yeh et al., 2017), arXiv:1607.07539. Differs: squares of
        all known pixels alike are compared, the discriminator is not asked, and the seam is not blended by Poisson's
        equation but as `with_known` does.

    Args:
        generator: Draws in one pass.
        latents: Where to begin, float32, shape `(N, Z)`.
        sentence_embeddings: float32, shape `(N, D)`.
        pictures: In [-1, 1], float32, shape `(N, H, W, 3)`.
        masks: 1 in the hole and 0 elsewhere, float32, shape `(N, H, W, 1)`.

    Returns:
        uint8, shape `(N, H, W, 3)`, with the known part in its place.
    """
    from keras import ops

    def slope(noise: Any, text: Any, images: Any, hidden: Any) -> Any:
        def off(noise: Any) -> Any:
            return ops.sum(ops.square((generator(noise, text, training=False) - images) * (1.0 - hidden)))

        return input_gradients(off, [noise])[0]

    def finished(noise: Any, text: Any, images: Any, hidden: Any) -> Any:
        return rounded(with_known(generator(noise, text, training=False), hide(images, hidden)))

    given = sentence_embeddings, pictures, masks
    gradients = jitted(slope, lambda: generator.variables)
    length = np.linalg.norm(latents, axis=1, keepdims=True)
    mean, square = np.zeros_like(latents), np.zeros_like(latents)
    for step in range(1, _STEPS + 1):
        gradient = in_chunks(gradients, latents, *given)
        mean += (1 - _MOMENTUM) * (gradient - mean)
        square += (1 - _SQUARES) * (gradient**2 - square)
        size = np.sqrt(square / (1 - _SQUARES**step)) + 1e-8
        latents = latents - _RATE * mean / (1 - _MOMENTUM**step) / size
        latents = (latents * length / np.linalg.norm(latents, axis=1, keepdims=True)).astype(np.float32)
    return in_chunks(jitted(finished, lambda: generator.variables), latents, *given)
