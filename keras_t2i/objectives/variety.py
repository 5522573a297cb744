"""Variety: what makes a generator draw more than one picture of a caption."""

from __future__ import annotations

from typing import Any, Self

import keras
import numpy as np
from keras import ops

__all__ = ["Variety"]

_RIDGES = (0.01, 0.03, 0.1, 0.3, 1.0)
_ROUNDS = 4
"""Of the search for directions of the largest variance; each makes smaller ones so many orders smaller."""
_LEAST = 1e-4
"""Of the largest variance: along directions of less, images do not differ."""
_SPARE = 16
"""Further directions that are searched for, so that those wanted are exact."""


@keras.saving.register_keras_serializable("keras_t2i")
class Variety:
    """A term for the generator's loss: how far some numbers of the noise are from what is read of them in the drawing.

    A discriminator that sees one image at a time does not notice that each caption has one picture, as long as captions
    have different ones. Here some numbers of the noise are to say in which of the ways in which real images of a
    caption differ most a drawing differs, and how far: two noises are then two pictures. What is read is linear: what a
    discriminator tells layouts by, less what the caption lets expect, in directions of the largest variance among real
    images. Of these it is uncorrelated with unit variance, so that standard normal noise has what they have.

    Reference:
        InfoGAN (Chen et al., 2016), arXiv:1606.03657. Differs: what is read is known from real images beforehand and
        not learned, so that it means what differs in those, and there is something to follow from the first step on.

    Args:
        weights: From what a discriminator tells layouts by to the numbers, float32, shape `(F, K)`.
        text_weights: From sentence embeddings to what is expected of the numbers, float32, shape `(D, K)`.
        offset: What is subtracted too, shape `(K,)`.
        share: How far images are to differ, in parts of how far real ones do.
        weight: Factor on the mean squared difference.

    Call arguments:
        layouts: What a discriminator tells layouts by in drawings, shape `(B, F)`.
        latents: Their noise, shape `(B, Z)`: the `K` numbers before the last are meant, since the last may mirror.
        sentence_embeddings: Those of their captions, shape `(B, D)`.

    Returns:
        A scalar, `weight` times `share` squared where drawings are what their captions let expect, whatever the noise.

    Raises:
        ValueError: if `share` is not positive or `weight` negative.
    """

    def __init__(self, weights: Any, text_weights: Any, offset: Any, share: float = 1.0, weight: float = 2.0) -> None:
        if not share > 0 or weight < 0:
            raise ValueError(f"`share` must be positive and `weight` at least 0; got {share} and {weight}.")
        arrays = (weights, text_weights, offset)
        self.weights, self.text_weights, self.offset = (np.asarray(array, np.float32) for array in arrays)
        self.share, self.weight = float(share), float(weight)

    @classmethod
    def of(cls, layouts: np.ndarray, sentence_embeddings: np.ndarray, most: int = 16, **options: Any) -> Self:
        """The term for what real images of a caption differ in.

        Args:
            layouts: What a discriminator tells layouts by in real images, float32, shape `(N, F)`.
            sentence_embeddings: Of a caption of each, shape `(N, D)`; zeros where they are not to be looked at.
            most: Numbers at most, fewer than the noise has.
            **options: `share` and `weight`.
        """
        layouts, texts = layouts.astype(np.float32), sentence_embeddings.astype(np.float64)
        mean, text_mean = layouts.mean(axis=0), texts.mean(axis=0)
        expecting, left = _expectation(texts - text_mean, layouts - mean)
        directions, deviations = _largest(left, min(most, *(size - 1 for size in left.shape)))
        weights = directions / deviations
        text_weights = expecting @ weights
        return cls(weights, text_weights, mean @ weights - text_mean @ text_weights, **options)

    @property
    def num_numbers(self) -> int:
        """How many numbers of the noise it is about, `K`; 0 where the images of each caption are all the same."""
        return len(self.offset)

    def read(self, layouts: Any, sentence_embeddings: Any) -> Any:
        """The numbers that images show, shape `(B, K)`; arguments as those of a call."""
        embeddings = ops.cast(sentence_embeddings, "float32")
        return ops.matmul(layouts, self.weights) - ops.matmul(embeddings, self.text_weights) - self.offset

    def __call__(self, layouts: Any, latents: Any, sentence_embeddings: Any) -> Any:
        wanted = self.share * ops.cast(latents[:, -1 - self.num_numbers : -1], "float32")
        return self.weight * ops.mean(ops.square(self.read(layouts, sentence_embeddings) - wanted))

    def get_config(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name).tolist() for name in ("weights", "text_weights", "offset")}
        return {**arrays, "share": self.share, "weight": self.weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def _expectation(texts: np.ndarray, layouts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What centered texts let expect of centered layouts, by ridge regression, and what is then left of each layout.

    Each is expected from all others, without which texts that are as many as their numbers would explain everything;
    the ridge is that which leaves least so.
    """
    left, scales, right = np.linalg.svd(texts, full_matrices=False)
    left = left.astype(np.float32)
    common = left.T @ layouts
    found: list[tuple[float, np.ndarray, np.ndarray]] = []
    for ridge in _RIDGES:
        factors = scales / np.maximum(scales**2 + ridge * np.mean(scales**2), 1e-12)
        kept = (scales * factors).astype(np.float32)
        rest = (layouts - (left * kept) @ common) / (1.0 - np.square(left) @ kept)[:, None]
        found.append((float(np.mean(np.square(rest))), factors, rest))
    _, factors, rest = min(found, key=lambda each: each[0])
    return right.T @ (factors[:, None] * common), rest


def _largest(rows: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions of the largest variance of rows, shape `(F, K)`, and the deviations along them; `number` at most.

    Reference:
        Finding structure with randomness (Halko et al., 2011), arXiv:0909.4061.
    """
    width = min(number + _SPARE, rows.shape[1])
    sketch = np.random.default_rng(0).normal(size=(rows.shape[1], width)).astype(np.float32)
    for _ in range(_ROUNDS):
        sketch, _ = np.linalg.qr(rows.T @ (rows @ sketch))
    variances, turned = np.linalg.eigh(np.cov(rows @ sketch, rowvar=False))
    chosen = [place for place in np.argsort(variances)[::-1][:number] if variances[place] > _LEAST * variances.max()]
    return sketch @ turned[:, chosen], np.sqrt(variances[chosen])
