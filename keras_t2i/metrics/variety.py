"""Variety: whether images of one caption differ as much as real images of one caption do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_t2i.data.pairs import NEAREST, real_pairs
from keras_t2i.metrics.measure import Examined, Measure
from keras_t2i.metrics.perceptual import diversity_within_caption, perceptual_distances

__all__ = ["VARIETY_OF_FORMS", "VARIETY_WITHIN_CAPTION", "forms_within_caption"]

_MAX_CAPTIONS = 256
_LOW = 0.5
_CELLS = 8
"""Height and width of the grid by which forms are compared."""
_FLAT = 1.0
"""Standard deviation of brightness, of 255, below which a picture has next to no form."""
_ALIKE = 0.25
"""Real images whose forms differ less have captions that say their form: drawings need not differ."""


def forms_within_caption(images: np.ndarray) -> float:
    """How unlike forms of images of one caption are: where they are bright and dark, whatever their light and color.

    An image is its brightness in 8 x 8 cells, less the mean, divided by the standard deviation; two images are as
    unlike as one less the correlation of theirs. Mirror images differ; the same picture in another light does not.

    Args:
        images: `n` images of each caption, two at least, uint8, shape `(captions, n, H, W, 3)`, `H` and `W` of 8 pixels
            at least.

    Returns:
        The mean over captions and pairs of different images: 0 where the images of each caption have one form, 1 where
        their forms have nothing to do with each other.

    Raises:
        ValueError: if the shape is another.
    """
    images = np.asarray(images)
    if images.ndim != 5 or images.shape[1] < 2 or min(images.shape[2:4]) < _CELLS:
        raise ValueError(
            "Forms are compared among at least 2 images of each caption, of 8 pixels and more, shape "
            f"(captions, n, H, W, 3); got {images.shape}."
        )
    rows, columns = (np.linspace(0, size, _CELLS + 1).astype(int) for size in images.shape[2:4])
    brightness = images.mean(axis=-1, dtype=np.float32)
    sums = np.add.reduceat(np.add.reduceat(brightness, rows[:-1], axis=2), columns[:-1], axis=3)
    maps = sums / np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    maps = maps.reshape(*images.shape[:2], -1)
    maps -= maps.mean(axis=-1, keepdims=True)
    maps /= np.maximum(maps.std(axis=-1, keepdims=True), _FLAT)
    # Half of the mean square of the differences of all pairs is the variance.
    return float(maps.var(axis=1, ddof=1).mean())


def _variety(examined: Examined) -> dict[str, Any]:
    if examined.num_images < 2:
        return {}
    features, encoder = examined.features, getattr(examined.model, "text_encoder", None)
    captions, images = examined.captions[:_MAX_CAPTIONS], examined.by_caption[:_MAX_CAPTIONS]
    labels = None if examined.labels is None else examined.labels[:_MAX_CAPTIONS]
    embed = None if features is None else getattr(encoder, "encode", None)
    pairs = real_pairs(examined.split, captions, labels, embed, examined.seed)
    if pairs is None:
        return {} if features is None else {"diversity_within_caption": diversity_within_caption(features, images)}
    drawn, real = images[pairs.captions], pairs.pixels(examined.split)
    found: dict[str, Any] = {"variety_real_pairs": pairs.alike}
    if pairs.alike != NEAREST:  # Other things have other forms.
        found |= _forms(drawn, np.stack(real, axis=1))
    if features is None:
        return found
    of_real = float(perceptual_distances(features, *real).mean())
    differ = diversity_within_caption(features, drawn)
    return {
        "variety_within_caption": differ / max(of_real, 1e-12),
        "diversity_within_caption": differ,
        "diversity_within_caption_on_real": of_real,
        **found,
    }


def _forms(drawn: np.ndarray, real: np.ndarray) -> dict[str, float]:
    if min(drawn.shape[2:4]) < _CELLS:
        return {}
    differ, of_real = forms_within_caption(drawn), forms_within_caption(real)
    ratio = {} if of_real < _ALIKE else {"variety_of_forms": differ / of_real}
    return {**ratio, "forms_within_caption": differ, "forms_within_caption_on_real": of_real}


def _alarm(numbers: Mapping[str, Any]) -> str | None:
    if numbers["variety_within_caption"] >= _LOW:
        return None
    return (
        f"One caption, one picture: images of a caption differ {numbers['variety_within_caption']:.2f} times as much "
        f"as real ones of {numbers['variety_real_pairs']}. Train with `--variety 1`, or longer; `truncation` above 1 "
        "draws more various, and worse, images."
    )


VARIETY_WITHIN_CAPTION = Measure(
    _variety,
    "Variety in a caption",
    None,
    "number",
    "Mean perceptual distance between images drawn from one caption, divided by that between real images of one "
    "caption, of one set of attributes, or, where there are no such, of nearest captions: 1 is right.",
    alarm=_alarm,
)


def _alarm_of_forms(numbers: Mapping[str, Any]) -> str | None:
    if numbers["variety_of_forms"] >= _LOW or numbers.get("variety_within_caption", 1.0) < _LOW:
        return None
    return (
        f"One caption, one form: forms of a caption differ {numbers['variety_of_forms']:.2f} times as much as those of "
        f"real images of {numbers['variety_real_pairs']}; what else differs is light and color. Train longer: forms "
        "come last."
    )


VARIETY_OF_FORMS = Measure(
    _variety,
    "Variety of forms",
    None,
    "number",
    "How unlike images drawn from one caption are in where they are bright and dark, whatever their light and color, "
    "divided by the same of real images that share a caption or attributes: 1 is right.",
    alarm=_alarm_of_forms,
)
