"""Numbers about generated images as Keras metrics, for `compile(metrics=[...])` of a `TextToImageGAN`.

They gather features batch by batch, on the host, and are computed once, when the last batch is in: none of them is a
mean over batches, so none depends on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_t2i.core.backend import need_tensorflow
from keras_t2i.core.pixels import rounded
from keras_t2i.metrics.attributes import AttributeJudge, attribute_accuracy
from keras_t2i.metrics.frechet import frechet_distance
from keras_t2i.metrics.kernel import kernel_distance
from keras_t2i.metrics.perceptual import SupportsMaps, diversity_within_caption
from keras_t2i.metrics.spectrum import spectral_difference
from keras_t2i.metrics.text_image import r_precision, text_image_score

__all__ = [
    "AttributeAccuracy",
    "FrechetDistance",
    "GenerationMetric",
    "KernelDistance",
    "RPrecision",
    "TextImageScore",
    "Texture",
    "Variety",
]


class _Gathered:
    """Arrays of each batch so far. A class of its own, so that Keras does not track the list in it."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, ...]] = []

    def columns(self) -> list[np.ndarray]:
        return [np.concatenate(column) for column in zip(*self.parts, strict=True)]


class GenerationMetric(keras.metrics.Metric):
    """Base class: subclasses say what they gather of a batch, and what they make of all that was gathered.

    Args:
        name: Name of the number in the logs.

    Raises:
        ValueError: where Keras runs on anything but TensorFlow.

    Call arguments of `update_state`:
        batch: The batch as the model got it, a dictionary with `"images"` and whatever else the data set gives
            (`CaptionedImages.validation` gives `"captions"`, and `"labels"` where it has them).
        generated: What the model made of it, float32 in [-1, 1], shape `(B, H, W, 3)`.

    `result` is NaN inside a compiled step and before the first batch; `evaluate` and `fit` read it after the last one.
    """

    needs: tuple[str, ...] = ("images",)

    def __init__(self, name: str) -> None:
        need_tensorflow("Images are measured in `fit`")
        super().__init__(name=name)
        self._gathered = _Gathered()

    def gather(self, generated: np.ndarray, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Arrays to keep of a batch, one row an image each; `generated` and `batch["images"]` are uint8."""
        raise NotImplementedError

    def compute(self, *gathered: np.ndarray) -> float:
        """The number, from the arrays of all batches."""
        raise NotImplementedError

    def update_state(self, batch: dict[str, tf.Tensor], generated: tf.Tensor) -> None:
        missing = [name for name in self.needs if name not in batch]
        if missing:
            raise ValueError(f"The metric {self.name!r} needs {missing[0]!r} in each batch; got {sorted(batch)}.")
        if "images" in self.needs:
            batch = {**batch, "images": rounded(batch["images"])}
        tf.py_function(self._keep, [rounded(generated), *(batch[name] for name in self.needs)], [])

    def _keep(self, generated: tf.Tensor, *values: tf.Tensor) -> None:
        batch = {name: value.numpy() for name, value in zip(self.needs, values, strict=True)}
        self._gathered.parts.append(self.gather(generated.numpy(), batch))

    def result(self) -> Any:
        if not tf.executing_eagerly() or not self._gathered.parts:
            return tf.constant(float("nan"))
        return self.compute(*self._gathered.columns())

    def reset_state(self) -> None:
        self._gathered.parts.clear()


class _FeatureMetric(GenerationMetric):
    """Gathers features of real and generated images."""

    def __init__(self, features: Callable[[np.ndarray], np.ndarray], name: str) -> None:
        super().__init__(name)
        self.features = features

    def gather(self, generated: np.ndarray, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return self.features(batch["images"]), self.features(generated)


class FrechetDistance(_FeatureMetric):
    """`keras_t2i.metrics.frechet_distance` between real and generated images.

    Args:
        features: A `keras_t2i.ImageFeatures`, or any function of uint8 images, shape `(N, H, W, 3)`, to `(N, D)`.
        name: Name of the number in the logs.
    """

    def __init__(self, features: Callable[[np.ndarray], np.ndarray], name: str = "frechet_distance") -> None:
        super().__init__(features, name)

    def compute(self, *gathered: np.ndarray) -> float:
        return frechet_distance(*gathered)


class KernelDistance(_FeatureMetric):
    """`keras_t2i.metrics.kernel_distance` between real and generated images; arguments as `FrechetDistance`."""

    def __init__(self, features: Callable[[np.ndarray], np.ndarray], name: str = "kernel_distance") -> None:
        super().__init__(features, name)

    def compute(self, *gathered: np.ndarray) -> float:
        return kernel_distance(*gathered).value


class _JudgeMetric(GenerationMetric):
    """Gathers what a judge makes of generated images and their captions."""

    needs = ("captions",)

    def __init__(self, judge: Any, name: str) -> None:
        super().__init__(name)
        self.judge = judge

    def gather(self, generated: np.ndarray, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        captions = [caption.decode("utf-8") for caption in batch["captions"].tolist()]
        return (
            self.judge.image_embeddings(generated),
            self.judge.text_embeddings(captions),
            np.asarray(captions, object),
        )


class TextImageScore(_JudgeMetric):
    """`keras_t2i.metrics.text_image_score` of generated images and their captions.

    Args:
        judge: A `keras_t2i.metrics.Retriever` or `CLIPJudge`.
        name: Name of the number in the logs.
    """

    def __init__(self, judge: Any, name: str = "text_image_score") -> None:
        super().__init__(judge, name)

    def compute(self, *gathered: np.ndarray) -> float:
        return text_image_score(*gathered[:2])


class RPrecision(_JudgeMetric):
    """`keras_t2i.metrics.r_precision` of generated images and their captions; arguments as `TextImageScore`."""

    def __init__(self, judge: Any, name: str = "r_precision") -> None:
        super().__init__(judge, name)

    def compute(self, *gathered: np.ndarray) -> float:
        images, texts, captions = gathered
        return r_precision(images, texts, captions.tolist()).share


class AttributeAccuracy(GenerationMetric):
    """Share of generated images with every attribute right, for data sets with `labels`.

    Args:
        judge: A `keras_t2i.metrics.AttributeJudge` of these attributes.
        name: Name of the number in the logs.
    """

    needs = ("labels",)

    def __init__(self, judge: AttributeJudge, name: str = "all_attributes") -> None:
        super().__init__(name)
        self.judge = judge

    def gather(self, generated: np.ndarray, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return self.judge.predict(generated), batch["labels"]

    def compute(self, *gathered: np.ndarray) -> float:
        predictions, labels = gathered
        return attribute_accuracy(predictions, labels, list(self.judge.attributes))["all_attributes"]


class Texture(GenerationMetric):
    """How far the power of detail is from that of real images, in decibels, in the band where it is farthest.

    The greatest of the numbers of `keras_t2i.metrics.spectral_difference`, with its sign: below 0 detail is missing.
    """

    def __init__(self, name: str = "texture") -> None:
        super().__init__(name)

    def gather(self, generated: np.ndarray, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return generated, batch["images"]

    def compute(self, *gathered: np.ndarray) -> float:
        return max(spectral_difference(*gathered).values(), key=abs)


class Variety(GenerationMetric):
    """Perceptual distance between images of one caption, divided by that between real images of the same caption.

    It takes captions that come at least twice; NaN where none does.

    Args:
        features: A `keras_t2i.ImageFeatures` with maps.
        name: Name of the number in the logs.
    """

    needs = ("images", "captions")

    def __init__(self, features: SupportsMaps, name: str = "variety") -> None:
        super().__init__(name)
        self.features = features

    def gather(self, generated: np.ndarray, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return generated, batch["images"], batch["captions"]

    def compute(self, *gathered: np.ndarray) -> float:
        generated, real, captions = gathered
        order = np.argsort(captions, kind="stable")
        same = np.flatnonzero(captions[order][1:] == captions[order][:-1])
        if not len(same):
            return float("nan")
        pairs = np.stack([order[same], order[same + 1]], axis=1)
        of_generated, of_real = (diversity_within_caption(self.features, images[pairs]) for images in (generated, real))
        return of_generated / max(of_real, 1e-12)
