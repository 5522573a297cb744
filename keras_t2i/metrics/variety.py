"""Variety: whether images of one caption differ as much as real images of one caption do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_t2i.data.pairs import real_pairs
from keras_t2i.metrics.measure import Examined, Measure
from keras_t2i.metrics.perceptual import diversity_within_caption, perceptual_distances

__all__ = ["VARIETY_WITHIN_CAPTION"]

_MAX_CAPTIONS = 256
_LOW = 0.5


def _variety(examined: Examined) -> dict[str, Any]:
    if examined.features is None or examined.num_images < 2:
        return {}
    encoder = getattr(examined.model, "text_encoder", None)
    captions, images = examined.captions[:_MAX_CAPTIONS], examined.by_caption[:_MAX_CAPTIONS]
    labels = None if examined.labels is None else examined.labels[:_MAX_CAPTIONS]
    pairs = real_pairs(examined.split, captions, labels, getattr(encoder, "encode", None), examined.seed)
    if pairs is None:
        return {"diversity_within_caption": diversity_within_caption(examined.features, images)}
    of_real = float(perceptual_distances(examined.features, *pairs.pixels(examined.split)).mean())
    drawn = diversity_within_caption(examined.features, images[pairs.captions])
    return {
        "variety_within_caption": drawn / max(of_real, 1e-12),
        "diversity_within_caption": drawn,
        "diversity_within_caption_on_real": of_real,
        "variety_real_pairs": pairs.alike,
    }


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
