"""The discriminator's gap: does it know its training images by heart?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_t2i.core.pixels import from_bytes
from keras_t2i.data import Split
from keras_t2i.metrics.measure import Examined, Measure, some

__all__ = ["DISCRIMINATOR_GAP", "discriminator_gap"]

_OVERFITTED = 0.5
_CHANCE = 2.33
"""Standard deviations that a normal number exceeds in one of a hundred cases."""
_NUM_JUDGED = 512
_AT_ONCE = 64


def discriminator_gap(gan: Any, train: Split, held_out: Split, seed: int = 0) -> float:
    """Returns how surely the discriminator tells training images from held-out ones.

    Args:
        gan: A `TextToImageGAN` with a text encoder.
        train: Images that it was trained on; at most 512 of them are looked at.
        held_out: Images that it was not trained on, likewise.
        seed: Draws them where there are more.

    Returns:
        Somers' D of its logits: 0 not at all, 1 always.
    """

    def logits(split: Split) -> np.ndarray:
        numbers = some(split.num_images, _NUM_JUDGED, seed)
        captions = [split.captions[position] for position in split.caption_of_each(numbers)]
        images = from_bytes(split.pixels(numbers).astype(np.float32))
        text = gan.text_encoder.encode(captions)
        batches = [slice(start, start + _AT_ONCE) for start in range(0, len(numbers), _AT_ONCE)]
        return np.concatenate(
            [np.asarray(gan.discriminator(images[rows], text[rows], training=False)).ravel() for rows in batches]
        )

    return float(np.sign(logits(train)[:, None] - logits(held_out)[None, :]).mean())


def _by_chance(train: Split, held_out: Split) -> float:
    """The gap that a discriminator which knows no image exceeds once in a hundred times, by the rank-sum statistic."""
    n, m = (min(split.num_images, _NUM_JUDGED) for split in (train, held_out))
    return _CHANCE * math.sqrt((n + m + 1) / (3 * n * m))


def _gap(examined: Examined) -> dict[str, float]:
    if examined.dataset is None or not examined.held_out or "discriminator" not in examined.model.parts():
        return {}
    train = examined.dataset.train_split
    gap = discriminator_gap(examined.model, train, examined.split, examined.seed)
    return {"discriminator_gap": gap, "discriminator_gap_by_chance": _by_chance(train, examined.split)}


def _alarm(numbers: Mapping[str, Any]) -> str | None:
    if numbers["discriminator_gap"] > max(_OVERFITTED, numbers.get("discriminator_gap_by_chance", 0.0)):
        return (
            "Overfitting: the discriminator tells training images from held-out ones (gap "
            f"{numbers['discriminator_gap']:.2f} of 1). Try --augment, or more images."
        )
    return None


DISCRIMINATOR_GAP = Measure(
    _gap,
    "Discriminator's gap",
    "lower",
    "number",
    "How surely the discriminator tells training images from held-out ones: 0 not at all, 1 always.",
    alarm=_alarm,
)
