"""Captions of images that have labels only."""

from __future__ import annotations

import re

__all__ = ["check_caption_template", "label_caption"]


def check_caption_template(template: str) -> None:
    """Raises `ValueError` where a template has no place for the label."""
    if "{label}" not in template:
        raise ValueError(f"`caption_template` needs {{label}} where the label goes; got {template!r}.")


def label_caption(template: str, label: str) -> str:
    """The caption that a template makes of a label, without the numbers and underscores that labels are written with.

    `001.Black_footed_Albatross` becomes `Black footed Albatross`.
    """
    return template.replace("{label}", re.sub(r"^\d+[._](?=.)", "", label).replace("_", " "))
