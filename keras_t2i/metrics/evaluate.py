"""One set of numbers about a trained model and its held-out captions, and about any two sets of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_t2i.core.pixels import from_bytes
from keras_t2i.metrics.attributes import AttributeJudge, attribute_accuracy
from keras_t2i.metrics.colors import color_accuracy
from keras_t2i.metrics.diversity import pairwise_distance
from keras_t2i.metrics.frechet import frechet_distance
from keras_t2i.metrics.kernel import kernel_distance
from keras_t2i.metrics.manifold import manifold_metrics
from keras_t2i.metrics.neighbors import Memorization, memorization
from keras_t2i.metrics.perceptual import diversity_within_caption
from keras_t2i.metrics.text_image import evaluate_text_image

__all__ = ["Evaluation", "compare_images", "evaluate_model", "warnings_for"]

_COLLAPSED, _OVERFITTED, _COPYING = 0.5, 0.5, 0.25
_MIN_COMPARED = 3  # Fewer say nothing about a distribution.
_MAX_TRAINING_IMAGES = 5000
_NUM_JUDGED = 512


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate_model` finds, and the images that it found it on.

    Args:
        numbers: Everything measured, by name.
        captions: The captions drawn.
        generated: uint8, shape `(num_captions, num_images, H, W, 3)`.
        real: The held-out images of these captions, uint8, shape `(num_captions, H, W, 3)`.
        nearest: The nearest training image of each first image of a caption, or `None`.
        training: The training images that `nearest` counts in, uint8.
    """

    numbers: dict[str, Any]
    captions: tuple[str, ...]
    generated: np.ndarray
    real: np.ndarray
    nearest: Memorization | None = None
    training: np.ndarray | None = None


def compare_images(generated: np.ndarray, real: np.ndarray, features: Any) -> dict[str, Any]:
    """Measures how far generated images are, as a set, from real ones.

    Distances depend on the features and, all but the kernel distance, on the numbers of images: compare only what was
    measured with the same of both.

    Args:
        generated: uint8, shape `(N, H, W, 3)`.
        real: uint8, shape `(M, H, W, 3)`.
        features: A `keras_t2i.ImageFeatures`.

    Returns:
        `features` (their name), `num_images`, `num_real`, `frechet_distance`, `kernel_distance` with the ends of its
        95 % interval, `kernel_distance_low` and `_high`, `precision`, `recall`, `density` and `coverage`.
    """
    of_real, of_generated = features(real), features(generated)
    kernel = kernel_distance(of_real, of_generated)
    result = {
        "features": features.name,
        "num_images": len(generated),
        "num_real": len(real),
        "frechet_distance": frechet_distance(of_real, of_generated),
        "kernel_distance": kernel.value,
        "kernel_distance_low": kernel.low,
        "kernel_distance_high": kernel.high,
    }
    neighbors = min(5, len(real) - 1, len(generated) - 1)
    return {**result, **manifold_metrics(of_real, of_generated, num_neighbors=neighbors)}


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
        The evaluation. Its numbers: `num_captions`, `num_images`, `diversity` (distance between pairs of generated
        images, divided by that of real ones), `discriminator_gap` (how surely the discriminator tells training images
        from held-out ones: 0 not at all, 1 always); with features those of `compare_images`,
        `diversity_within_caption` and `memorization`; with `text_image` those of `evaluate_text_image`; with
        `attributes` the share of images with `all_attributes` right, that of each, and `judge_on_real`; where captions
        name one color, `color_accuracy` and `color_accuracy_on_real`.

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
    captions = [split.captions[position] for position in split.caption_of_each()[numbers]]
    generated = gan.generate(captions, num_images=num_images, seed=seed)
    by_caption = generated.reshape(len(captions), num_images, *generated.shape[1:])
    real = split.pixels(numbers)
    repeated = [caption for caption in captions for _ in range(num_images)]
    result: dict[str, Any] = {"num_captions": len(captions), "num_images": len(generated)}
    if len(real) > 1:
        result["diversity"] = pairwise_distance(generated) / max(pairwise_distance(real), 1e-12)
    nearest = training = None
    if features is not None and min(len(real), len(generated)) >= _MIN_COMPARED:
        result |= compare_images(generated, real, features)
        if num_images > 1:
            result["diversity_within_caption"] = diversity_within_caption(features, by_caption[:_NUM_JUDGED])
        if split is not dataset.train_split:
            training = dataset.train_split.pixels(_some(dataset.train_split.num_images, _MAX_TRAINING_IMAGES, seed))
            nearest = memorization(features(by_caption[:, 0]), features(training), features(real))
            result["memorization"] = nearest.share
    if text_image is not None and len(set(captions)) > 1:
        result |= evaluate_text_image(text_image, generated, repeated, real, captions)
    if attributes is not None and split.labels is not None:
        names, labels = list(attributes.attributes), split.labels[numbers]
        result |= attribute_accuracy(attributes.predict(generated), np.repeat(labels, num_images, axis=0), names)
        result["judge_on_real"] = attribute_accuracy(attributes.predict(real), labels, names)["all_attributes"]
    else:
        result |= _colors(generated, repeated, real, captions)
    if split is not dataset.train_split:
        result["discriminator_gap"] = _discriminator_gap(gan, dataset, seed)
    return Evaluation(result, tuple(captions), by_caption, real, nearest, training)


def warnings_for(numbers: dict[str, Any]) -> list[str]:
    """What a user should look at before trusting a model, in sentences, from what `evaluate_model` has measured."""
    found = []
    if numbers.get("diversity", 1.0) < _COLLAPSED:
        found.append(
            f"Collapse: images of different captions lie {numbers['diversity']:.2f} times as far apart as real ones. "
            "Look at the grids; try another loss or penalty, or a lower learning rate."
        )
    if numbers.get("discriminator_gap", 0.0) > _OVERFITTED:
        found.append(
            f"Overfitting: the discriminator tells training images from held-out ones (gap "
            f"{numbers['discriminator_gap']:.2f} of 1). Try --augment, or more images."
        )
    if numbers.get("memorization", 0.0) > _COPYING:
        found.append(
            f"Copies: {numbers['memorization']:.0%} of images lie closer to a training image than nearly all real "
            "held-out ones do. Look at the nearest training images."
        )
    return found


def _some(count: int, most: int, seed: int) -> np.ndarray:
    """All numbers below `count`, or `most` of them drawn by the seed."""
    return np.arange(count) if count <= most else np.random.default_rng(seed).permutation(count)[:most]


def _colors(
    generated: np.ndarray, repeated: Sequence[str], real: np.ndarray, captions: Sequence[str]
) -> dict[str, float]:
    found, on_real = color_accuracy(generated, repeated), color_accuracy(real, captions)
    if not found.num_judged:
        return {}
    return {"color_accuracy": found.share, "color_accuracy_on_real": on_real.share}


def _discriminator_gap(gan: Any, dataset: Any, seed: int) -> float:
    """Somers' D of the discriminator's logits on training images against held-out ones."""

    def logits(split: Any) -> np.ndarray:
        numbers = _some(split.num_images, _NUM_JUDGED, seed)
        captions = [split.captions[position] for position in split.caption_of_each()[numbers]]
        images = from_bytes(split.pixels(numbers).astype(np.float32))
        text = gan.text_encoder.encode(captions)
        starts = range(0, len(numbers), 64)
        return np.concatenate(
            [
                np.asarray(gan.discriminator(images[at : at + 64], text[at : at + 64], training=False)).ravel()
                for at in starts
            ]
        )

    train, held_out = logits(dataset.train_split), logits(dataset.validation_split)
    return float(np.sign(train[:, None] - held_out[None, :]).mean())
