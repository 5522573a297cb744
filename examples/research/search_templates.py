"""A search for the template of captions that serves a goal. Not measured at length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keras_t2i.text.prompts import checked_templates

__all__ = ["RankedTemplate", "search_templates"]

Score = Callable[[np.ndarray, Sequence[str]], float]
"""How well images, uint8, shape `(N, H, W, 3)`, show what N captions say; higher is better."""


class SupportsGenerate(Protocol):
    """What `search_templates` needs of a model."""

    def generate(self, prompts: Sequence[str], num_images: int = 1, seed: int = 0) -> np.ndarray: ...


@dataclass(frozen=True)
class RankedTemplate:
    """A template and what the images drawn with it scored."""

    template: str
    score: float


def search_templates(
    gan: SupportsGenerate,
    templates: Sequence[str],
    concepts: str | Sequence[str],
    score: Score,
    num_images: int = 4,
    seed: int = 0,
) -> list[RankedTemplate]:
    """Draws the same concepts with the same noise through each template, and ranks the templates by a goal.

    With few images the best of many templates is partly luck: judge the winner again with another `seed`.

    Args:
        gan: A `keras_t2i.TextToImageGAN` with a text encoder.
        templates: Captions with `{}` in the place of the concept.
        concepts: What to draw, or several.
        score: A function of the images of one template, uint8, shape `(N, H, W, 3)`, and of what each is to show, N of
            the concepts; for instance the accuracy of an attribute judge, or a text-image score.
        num_images: Images of each concept.
        seed: Seed of the noise.

    Returns:
        The templates, best first; those with equal scores in the order given.

    Raises:
        ValueError: if there is no concept or template, a template has not exactly one `{}`, or a score is no number.
    """
    concepts, templates = checked_templates(concepts, templates)
    shown = [concept for concept in concepts for _ in range(num_images)]
    ranked = []
    for template in templates:
        prompts = [template.replace("{}", concept) for concept in concepts]
        value = float(score(gan.generate(prompts, num_images=num_images, seed=seed), shown))
        if np.isnan(value):
            raise ValueError(f"`score` is not a number for the template {template!r}; it has to be for each.")
        ranked.append(RankedTemplate(template, value))
    return sorted(ranked, key=lambda entry: -entry.score)
