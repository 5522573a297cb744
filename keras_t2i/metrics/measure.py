"""What a measure is: how it is called and read, and the function that takes it from the images that were drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_t2i.data import CaptionedImages, Split
from keras_t2i.metrics.neighbors import Memorization, memorization

__all__ = ["Examined", "Measure", "some"]

_MAX_TRAINING_IMAGES = 5000


@dataclass(frozen=True, eq=False)
class Examined:
    """What measures look at: images drawn from captions, the real ones, and what there is to judge them with.

    Args:
        split: The images that the captions are from: the held-out ones, where there are any.
        captions: The captions drawn.
        generated: `num_images` of each caption, one caption after the other, uint8, shape `(N, H, W, 3)`.
        real: The real image of each caption, uint8, shape `(len(captions), H, W, 3)`.
        num_images: Images drawn of each caption.
        labels: Attributes of the real images, shape `(len(captions), num_attributes)`, or `None`.
        features: A `keras_t2i.ImageFeatures`; `None` also where there are too few images to compare.
        text_image: Judge of how well images fit captions, or `None`.
        attributes: Judge of attributes, or `None`.
        model: What drew the images; `None` for the curves of a comparison, which are measured when training is over.
        dataset: The data that the model was trained on; `None` likewise.
        seed: Of whatever a measure draws.
    """

    split: Split
    captions: tuple[str, ...]
    generated: np.ndarray
    real: np.ndarray
    num_images: int = 1
    labels: np.ndarray | None = None
    features: Any = None
    text_image: Any = None
    attributes: Any = None
    model: Any = None
    dataset: CaptionedImages | None = None
    seed: int = 0

    @property
    def by_caption(self) -> np.ndarray:
        """The generated images, shape `(len(captions), num_images, H, W, 3)`."""
        return self.generated.reshape(len(self.captions), self.num_images, *self.generated.shape[1:])

    @property
    def repeated(self) -> list[str]:
        """The caption of each generated image."""
        return [caption for caption in self.captions for _ in range(self.num_images)]

    @property
    def held_out(self) -> bool:
        """Whether the captions are held out of a training set that is there to be compared with."""
        return self.dataset is not None and self.split is not self.dataset.train_split

    @cached_property
    def training(self) -> np.ndarray | None:
        """Training images, uint8, 5,000 at most, drawn by the seed; `None` where nothing is held out or no features."""
        if self.dataset is None or not self.held_out or self.features is None:
            return None
        split = self.dataset.train_split
        return split.pixels(some(split.num_images, _MAX_TRAINING_IMAGES, self.seed))

    @cached_property
    def nearest(self) -> Memorization | None:
        """The training image nearest to the first image of each caption; a measure reads it, and so do pages."""
        if self.training is None:
            return None
        first = self.by_caption[:, 0]
        return memorization(self.features(first), self.features(self.training), self.features(self.real))


@dataclass(frozen=True)
class Measure:
    """A number about generated images, as an entry of `keras_t2i.metrics.MEASURES`.

    Args:
        measure: A function of an `Examined` that returns numbers, or texts about them, by name: that of the entry and
            any others; `{}` where it does not apply. Several entries may share one function, which is then called once.
        label: What tables and charts call the number.
        better: `"higher"`, `"lower"`, or `None` where neither is.
        unit: `"share"`, `"number"`, or another of `keras_t2i.report`.
        help: A sentence: what it is.
        on_real: Name of the number that says the same of real images, where there is one.
        alarm: A function of all numbers that returns what a user should look at, in a sentence, or `None`. It is called
            where the number was measured.
        in_curves: Whether comparisons measure it at moments of training too. Its function is then also given what has
            neither model, data set nor judge of captions.
    """

    measure: Callable[[Examined], Mapping[str, Any]]
    label: str
    better: str | None
    unit: str
    help: str
    on_real: str | None = None
    alarm: Callable[[Mapping[str, Any]], str | None] | None = None
    in_curves: bool = False


def some(count: int, most: int, seed: int) -> np.ndarray:
    """All numbers below `count`, or `most` of them drawn by the seed."""
    return np.arange(count) if count <= most else np.random.default_rng(seed).permutation(count)[:most]
