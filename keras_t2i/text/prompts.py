"""Prompts for a trained model: templates, ensembles of them, and a search for those that serve a goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["PROMPT_TEMPLATES", "RankedTemplate", "prompt_ensemble", "search_templates"]

PROMPT_TEMPLATES = ("{}", "a picture of {}", "an image of {}", "a drawing of {}", "there is {}")
"""Frames that most captions fit into."""

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


def prompt_ensemble(
    text_encoder: Any, concepts: str | Sequence[str], templates: Sequence[str] = PROMPT_TEMPLATES
) -> np.ndarray:
    """Sentence embeddings of concepts, each the mean over several templates: what their wordings have in common.

    Pass them to `TextToImageGAN.generate_from_embeddings`, each repeated as often as images of it are wanted.

    Reference:
        Learning Transferable Visual Models From Natural Language Supervision (Radford et al., 2021), arXiv:2103.00020,
        section 3.1.4. Differs: to generate, not to classify.

    Args:
        text_encoder: A `keras_t2i.text.TextEncoder`.
        concepts: What to draw, for instance `"a red star"`, or several.
        templates: Captions with `{}` in the place of the concept.

    Returns:
        float32, shape `(len(concepts), D)`, with unit root mean square as the encoder's own.

    Raises:
        ValueError: if there is no concept or template, a template has not exactly one `{}`, or the encoder gives token
            numbers, which have no mean.
    """
    concepts, templates = _checked(concepts, templates)
    if text_encoder.vocabulary_size is not None:
        raise ValueError("This model reads token numbers, which have no mean: an ensemble needs a pretrained encoder.")
    prompts = [template.replace("{}", concept) for concept in concepts for template in templates]
    embeddings = text_encoder.encode(prompts).reshape(len(concepts), len(templates), -1).mean(axis=1)
    rms = np.sqrt(np.mean(np.square(embeddings), axis=-1, keepdims=True))
    return (embeddings / np.maximum(rms, 1e-6)).astype(np.float32)


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
    concepts, templates = _checked(concepts, templates)
    shown = [concept for concept in concepts for _ in range(num_images)]
    ranked = []
    for template in templates:
        prompts = [template.replace("{}", concept) for concept in concepts]
        value = float(score(gan.generate(prompts, num_images=num_images, seed=seed), shown))
        if np.isnan(value):
            raise ValueError(f"`score` is not a number for the template {template!r}; it has to be for each.")
        ranked.append(RankedTemplate(template, value))
    return sorted(ranked, key=lambda entry: -entry.score)


def _checked(concepts: str | Sequence[str], templates: Sequence[str]) -> tuple[list[str], list[str]]:
    concepts = [concepts] if isinstance(concepts, str) else list(concepts)
    templates = [templates] if isinstance(templates, str) else list(templates)
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates or not concepts:
        raise ValueError(
            f"Templates need exactly one {{}} where the concept goes, and there must be a concept: got {len(concepts)} "
            f"concepts and {wrong or templates}."
        )
    return concepts, templates
