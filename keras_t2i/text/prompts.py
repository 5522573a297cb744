"""Prompts for a trained model: templates, and ensembles of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["PROMPT_TEMPLATES", "checked_templates", "prompt_ensemble"]

PROMPT_TEMPLATES = ("{}", "a picture of {}", "an image of {}", "a drawing of {}", "there is {}")
"""Frames that most captions fit into."""


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
    concepts, templates = checked_templates(concepts, templates)
    if text_encoder.vocabulary_size is not None:
        raise ValueError("This model reads token numbers, which have no mean: an ensemble needs a pretrained encoder.")
    prompts = [template.replace("{}", concept) for concept in concepts for template in templates]
    embeddings = text_encoder.encode(prompts).reshape(len(concepts), len(templates), -1).mean(axis=1)
    rms = np.sqrt(np.mean(np.square(embeddings), axis=-1, keepdims=True))
    return (embeddings / np.maximum(rms, 1e-6)).astype(np.float32)


def checked_templates(concepts: str | Sequence[str], templates: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both as lists; `ValueError` where there is none, or a template has not exactly one `{}`."""
    concepts = [concepts] if isinstance(concepts, str) else list(concepts)
    templates = [templates] if isinstance(templates, str) else list(templates)
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong or not templates or not concepts:
        raise ValueError(
            f"Templates need exactly one {{}} where the concept goes, and there must be a concept: got {len(concepts)} "
            f"concepts and {wrong or templates}."
        )
    return concepts, templates
