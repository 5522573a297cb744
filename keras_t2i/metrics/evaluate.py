"""One set of numbers about a trained model and its held-out captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_t2i.data import Split
from keras_t2i.metrics.attributes import AttributeJudge
from keras_t2i.metrics.glossary import MEASURES, TRAINING_CAPTIONS
from keras_t2i.metrics.measure import Examined
from keras_t2i.metrics.neighbors import Memorization
from keras_t2i.models.completion import imitations

__all__ = ["Evaluation", "evaluate_model", "measured"]

_MIN_COMPARED = 3  # Fewer say nothing about a distribution.


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate_model` finds, and the images that it found it on.

    Args:
        numbers: Everything measured, by name.
        captions: The captions drawn.
        generated: uint8, shape `(num_captions, num_images, H, W, 3)`.
        real: The real images of these captions, held out where any are, uint8, shape `(num_captions, H, W, 3)`.
        nearest: The nearest training image of each first image of a caption, or `None`.
        training: The training images that `nearest` counts in, uint8.
    """

    numbers: dict[str, Any]
    captions: tuple[str, ...]
    generated: np.ndarray
    real: np.ndarray
    nearest: Memorization | None = None
    training: np.ndarray | None = None


def evaluate_model(
    gan: Any,
    dataset: Any,
    *,
    attributes: AttributeJudge | None = None,
    features: Any = None,
    text_image: Any = None,
    num_images: int = 2,
    max_images: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Generates images from held-out captions and measures them with all the instruments that are given.

    Args:
        gan: A `TextToImageGAN` with a text encoder.
        dataset: The `CaptionedImages` that it was trained on, or another. Without held-out images, the training
            captions are used.
        attributes: Judges the attributes of images, where the data set has labels.
        features: A `keras_t2i.ImageFeatures`, for distances and for the nearest training images.
        text_image: A judge of how well images fit captions: `Retriever` or `CLIPJudge`.
        num_images: Images of each held-out caption.
        max_images: Images generated at most; captions are drawn by the seed where there are more.
        seed: Seed of the noise.

    Returns:
        The evaluation. Its numbers: `num_captions`, `num_images`, `measured_on` (whose captions these are),
        `completed_from` (what of the real images a model was given that completes images), and those of all `MEASURES`
        that apply. These are `diversity` (distance between pairs of generated images, divided by that
        of real ones), `discriminator_gap` (how surely the discriminator tells training images from held-out ones: 0 not
        at all, 1 always), `spectrum_worst` and what each band of `keras_t2i.metrics.spectral_difference` is,
        `variety_of_forms` (how unlike the forms of images of a caption are, divided by the same of real ones); with
        features those of `compare_images`, `memorization`, and `variety_within_caption` (distance between images of a
        caption, divided by that between real ones); with `text_image` those of `evaluate_text_image`; with `attributes`
        the share of images with `all_attributes` right, that of each, and `judge_on_real`; where captions name one
        color, `color_accuracy` and `color_accuracy_on_real`.

    Raises:
        ValueError: if `num_images` or `max_images` is below 1.
    """
    if num_images < 1 or max_images < 1:
        raise ValueError(
            f"`num_images` and `max_images` must be at least 1; got {num_images} and {max_images}. Raise them."
        )
    split = dataset.validation_split or dataset.train_split
    numbers = np.arange(split.num_images)
    if len(numbers) * num_images > max_images:
        numbers = np.random.default_rng(seed).permutation(numbers)[: max(1, max_images // num_images)]
    captions = [split.captions[position] for position in split.caption_of_each(numbers)]
    real = split.pixels(numbers)
    generated = imitations(gan, real, captions, num_images, seed)
    examined = Examined(
        split,
        tuple(captions),
        generated,
        real,
        num_images=num_images,
        labels=None if split.labels is None else split.labels[numbers],
        features=features if min(len(real), len(generated)) >= _MIN_COMPARED else None,
        text_image=text_image,
        attributes=attributes,
        model=gan,
        dataset=dataset,
        seed=seed,
    )
    found = {
        "num_captions": len(captions),
        "num_images": len(generated),
        "measured_on": _whose(captions, split, dataset.train_split),
        **_guided_by(gan),
        **measured(examined),
    }
    return Evaluation(found, tuple(captions), examined.by_caption, real, examined.nearest, examined.training)


def _guided_by(gan: Any) -> dict[str, str]:
    """What of the real images a model was given, where it completes images: `completed_from`."""
    name = getattr(getattr(gan, "drawer", None), "image_input", None)
    return {} if name is None else {"completed_from": name}


def _whose(captions: Sequence[str], split: Split, train: Split) -> str:
    """What the captions of a split are to a model that was trained on another."""
    if split is train:
        return TRAINING_CAPTIONS
    return "held-out captions" if set(train.captions).isdisjoint(captions) else "captions of held-out images"


def measured(examined: Examined, in_curves: bool = False) -> dict[str, Any]:
    """The numbers of all `MEASURES` that apply to what was drawn.

    Args:
        examined: The images and what to judge them with.
        in_curves: Whether to take only those that say of themselves that curves show them.
    """
    functions = [measure.measure for measure in MEASURES.values() if measure.in_curves or not in_curves]
    numbers: dict[str, Any] = {}
    for function in dict.fromkeys(functions):
        numbers |= function(examined)
    return numbers
