"""Terms of the generator's loss that are measured in frozen image features of the whole data set."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["FeatureMatching", "TextImageAgreement"]

_CHUNK = 64
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Penalties to choose from, in units of the mean eigenvalue of the features' covariance."""


class FeatureMatching:
    """Draws what generated images are on average, to a frozen network, to what the real ones are.

    Two moments of each feature map are compared: the mean at each position, and the correlations of the channels over
    all positions. The real ones are computed once, by `adapt`. One batch says little about the generated ones: the
    difference is averaged over steps, and pulls at the images of each step. The step's own images are not yet in the
    average, so that they are not drawn together.

    Reference:
        Learning Implicit Generative Models by Matching Perceptual Features (dos Santos et al., 2019), arXiv:1904.02762.
        Differs: correlations in place of variances, a plain moving average, and beside a discriminator.

    Args:
        features: An object whose `maps(images)` returns the feature maps of images in [-1, 1], as those of
            `keras_t2i.ImageFeatures` does.
        weight: Factor on the term.
        decay: Share of the averaged difference that is kept at each step.

    Call arguments:
        generated: Images in [-1, 1], float32, shape `(B, H, W, 3)`.
        batch: Not looked at.

    Returns:
        A scalar, near the squared difference of the moments where real features have unit variance, and 0 at the first
        step.

    Raises:
        ValueError: if `weight` is negative or `decay` not in [0, 1), or, called, before `adapt`.
    """

    def __init__(self, features: Any, weight: float = 1.0, decay: float = 0.95) -> None:
        if weight < 0 or not 0 <= decay < 1:
            raise ValueError(f"`weight` must be at least 0 and `decay` in [0, 1); got {weight} and {decay}.")
        self.features = features
        self.weight = weight
        self.decay = decay
        self.step = _fixed(())
        self.taps = [_Moments(maps.shape) for maps in features.maps(_blank(features))]
        self.adapted = False

    def adapt(self, images: np.ndarray) -> None:
        """Computes the moments of real images; call it before training.

        Args:
            images: The training images, uint8, shape `(N, H, W, 3)`; mirrored ones too, where training mirrors.
        """
        sums: list[Any] = [0] * len(self.taps)
        for chunk in _chunks(images):
            found = [_raw_moments(maps) for maps in self.features.maps(chunk)]
            sums = [_added(total, moments, len(chunk)) for total, moments in zip(sums, found, strict=True)]
        for tap, (mean, product) in zip(self.taps, sums, strict=True):
            tap.set_real(mean / len(images), product / len(images))
        self.adapted = True

    def __call__(self, generated: Any, batch: dict[str, Any]) -> Any:
        if not self.adapted:
            raise ValueError("`FeatureMatching` knows no real images yet; call its `adapt` before training.")
        decay = ops.minimum(self.decay, self.step / (self.step + 1.0))
        terms = [tap.pull(maps, decay) for tap, maps in zip(self.taps, self.features.maps(generated), strict=True)]
        self.step.assign(self.step + 1.0)
        return self.weight * sum(terms) / len(terms)


class _Moments:
    """The real moments of one feature map, and how far the generated ones have been from them lately."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        height, width, channels = shape[1:]
        self.center, self.scale = _fixed((channels,)), _fixed((channels,))
        self.mean, self.correlation = _fixed((height, width, channels)), _fixed((channels, channels))
        self.mean_gap, self.correlation_gap = _fixed((height, width, channels)), _fixed((channels, channels))

    def set_real(self, mean: np.ndarray, product: np.ndarray) -> None:
        """From the mean at each position, `(h, w, C)`, and the mean product of channels, `(C, C)`."""
        center = mean.mean(axis=(0, 1))
        covariance = product - np.outer(center, center)
        # A channel that never moves in real images says only that it should not in generated ones.
        deviation = np.sqrt(np.maximum(np.diag(covariance), 1e-4 * np.diag(covariance).mean() + 1e-12))
        self.center.assign(center)
        self.scale.assign(1.0 / deviation)
        self.mean.assign((mean - center) / deviation)
        self.correlation.assign(covariance / np.outer(deviation, deviation))

    def pull(self, maps: Any, decay: Any) -> Any:
        """The averaged gaps times the present ones, the mean over their entries."""
        standardized = (maps - self.center) * self.scale
        flat = ops.reshape(standardized, (-1, standardized.shape[-1]))
        count = ops.cast(ops.shape(flat)[0], flat.dtype)
        mean_gap = ops.mean(standardized, axis=0) - self.mean
        correlation_gap = ops.matmul(ops.transpose(flat), flat) / count - self.correlation
        pairs = ((self.mean_gap, mean_gap), (self.correlation_gap, correlation_gap))
        value = sum(ops.mean(ops.convert_to_tensor(average) * gap) for average, gap in pairs)
        for average, gap in pairs:
            average.assign(decay * average + (1.0 - decay) * ops.stop_gradient(gap))
        return value


class TextImageAgreement:
    """Draws generated images to look, to a frozen network, as their captions say.

    `adapt` finds the linear map from image features to the sentence embedding that fits the real pairs best. Generated
    images then lose what their mapped features lack in similarity to the caption, up to the similarity that real images
    have to theirs: beyond it nothing is gained.

    Reference:
        Ours; the similarity term of GALIP (Tao et al., 2023), arXiv:2301.12959, without a text-image network.

    Args:
        features: An object whose `embed(images)` returns feature vectors of images in [-1, 1], as that of
            `keras_t2i.ImageFeatures` does.
        weight: Factor on the term.

    Attributes:
        agreement: Mean cosine similarity of real images and their captions that were not used for the map.

    Call arguments:
        generated: Images in [-1, 1], float32, shape `(B, H, W, 3)`.
        batch: Its `"sentence_embeddings"` belong to the images, float32, shape `(B, D)`.

    Returns:
        A scalar, from 0 to about 1 (times `weight`).

    Raises:
        ValueError: if `weight` is negative, or, called, before `adapt`.
    """

    def __init__(self, features: Any, weight: float = 1.0) -> None:
        if weight < 0:
            raise ValueError(f"`weight` must be at least 0; got {weight}.")
        self.features = features
        self.weight = weight
        self.agreement = 0.0
        self._map: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def adapt(self, images: np.ndarray, sentence_embeddings: np.ndarray, seed: int = 0) -> None:
        """Fits the map; call it before training.

        Args:
            images: The training images, uint8, shape `(N, H, W, 3)`, N >= 20.
            sentence_embeddings: One caption's of each, float32, shape `(N, D)`.
            seed: Seed of the tenth of the pairs that the strength of the fit is chosen on.

        Raises:
            ValueError: if there are fewer than 20 pairs, or not as many images as captions.
        """
        if len(images) != len(sentence_embeddings) or len(images) < 20:
            counts = f"{len(images)} images and {len(sentence_embeddings)} captions"
            raise ValueError(f"At least 20 images are needed, each with a caption; got {counts}.")
        x = np.concatenate([ops.convert_to_numpy(self.features.embed(chunk)) for chunk in _chunks(images)])
        y = np.asarray(sentence_embeddings, np.float32) - np.mean(sentence_embeddings, axis=0, dtype=np.float32)
        order = np.random.default_rng(seed).permutation(len(x))
        held_out, rest = order[: len(x) // 10], order[len(x) // 10 :]
        center, deviation = x.mean(axis=0), x.std(axis=0) + 1e-6
        x = (x - center) / deviation
        values, vectors = np.linalg.eigh(x[rest].T @ x[rest] / len(rest))
        projected = vectors.T @ (x[rest].T @ y[rest] / len(rest))
        best: tuple[float, np.ndarray] | None = None
        for ridge in _RIDGES:
            matrix = vectors @ (projected / (values + ridge)[:, None])
            agreement = float(np.mean(np.sum(_unit(x[held_out] @ matrix) * _unit(y[held_out]), axis=1)))
            if best is None or agreement > best[0]:
                best = (agreement, matrix)
        assert best is not None  # There are several ridges.
        self.agreement = best[0]
        matrix = best[1] / deviation[:, None]
        self._map = (matrix, -center @ matrix, np.asarray(sentence_embeddings, np.float32).mean(axis=0))

    def __call__(self, generated: Any, batch: dict[str, Any]) -> Any:
        if self._map is None:
            raise ValueError("`TextImageAgreement` knows no captioned images yet; call its `adapt` before training.")
        matrix, offset, center = self._map
        said = ops.normalize(ops.cast(batch["sentence_embeddings"], "float32") - center, axis=-1)
        shown = ops.normalize(ops.matmul(self.features.embed(generated), matrix) + offset, axis=-1)
        return self.weight * ops.mean(ops.relu(self.agreement - ops.sum(said * shown, axis=-1)))


def _fixed(shape: tuple[int, ...]) -> keras.Variable:
    return keras.Variable(np.zeros(shape, np.float32), trainable=False, dtype="float32", aggregation="mean")


def _blank(features: Any) -> np.ndarray:
    return np.zeros((1, features.image_size, features.image_size, 3), np.float32)


def _chunks(images: np.ndarray) -> Any:
    for start in range(0, len(images), _CHUNK):
        yield images[start : start + _CHUNK].astype(np.float32) / 127.5 - 1.0


def _raw_moments(maps: Any) -> tuple[np.ndarray, np.ndarray]:
    maps = ops.convert_to_numpy(maps).astype(np.float64)
    flat = maps.reshape(-1, maps.shape[-1])
    return maps.mean(axis=0), flat.T @ flat / len(flat)


def _added(total: Any, moments: tuple[np.ndarray, np.ndarray], count: int) -> list[Any]:
    return [count * new + (0 if total == 0 else old) for new, old in zip(moments, total or (0, 0), strict=True)]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
