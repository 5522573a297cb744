"""One dictionary of numbers about a trained model and its held-out captions."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_t2i.metrics.attributes import AttributeJudge, attribute_accuracy
from keras_t2i.metrics.diversity import pairwise_distance

__all__ = ["evaluate_model"]

_MAX_IMAGES = 2000


def evaluate_model(
    gan: Any, dataset: Any, judge: AttributeJudge | None = None, num_images: int = 2, seed: int = 0
) -> dict[str, Any]:
    """Generates images from held-out captions and measures them.

    Args:
        gan: A `TextToImageGAN` with a text encoder.
        dataset: The `CaptionedImages` that it was trained on, or another. Without held-out images, the training
            captions are used.
        judge: Judges the attributes of images, where the data set has labels.
        num_images: Images of each held-out caption; at most 2,000 in all.
        seed: Seed of the noise.

    Returns:
        `num_captions`, `num_images`, `diversity` (mean distance between pairs of generated images, divided by that of
        real ones, where there are two) and, with a judge, `all_attributes`, the share of each attribute, and
        `judge_on_real`, the judge's own accuracy on real images.

    Raises:
        ValueError: if `num_images` is below 1.
    """
    if num_images < 1:
        raise ValueError(f"`num_images` must be at least 1; got {num_images}.")
    split = dataset.validation_split or dataset.train_split
    numbers = np.arange(split.num_images)
    if len(numbers) * num_images > _MAX_IMAGES:
        numbers = np.random.default_rng(seed).permutation(numbers)[: max(1, _MAX_IMAGES // num_images)]
    captions = [
        split.captions[split.caption_ids[number][number % len(split.caption_ids[number])]] for number in numbers
    ]
    generated = gan.generate(captions, num_images=num_images, seed=seed)
    seeds = np.stack([np.full_like(numbers, 10**6), numbers], axis=1)
    chunks = np.array_split(np.arange(len(numbers)), max(1, len(numbers) // 64))
    real = np.concatenate([np.asarray(split.load_images(numbers[chunk], seeds[chunk])) for chunk in chunks])
    real = np.clip(np.rint((real + 1.0) * 127.5), 0, 255).astype(np.uint8)
    result: dict[str, Any] = {
        "num_captions": len(captions),
        "num_images": len(generated),
    }
    if len(real) > 1:
        result["diversity"] = pairwise_distance(generated) / max(pairwise_distance(real), 1e-12)
    if judge is not None and split.labels is not None:
        names, labels = list(judge.attributes), split.labels[numbers]
        result |= attribute_accuracy(judge.predict(generated), np.repeat(labels, num_images, axis=0), names)
        result["judge_on_real"] = attribute_accuracy(judge.predict(real), labels, names)["all_attributes"]
    return result
