"""Prompts as every way of drawing takes them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["check_prompts"]


def check_prompts(prompts: str | Sequence[str], num_images: int) -> list[str]:
    """Prompts as a list; raises `ValueError` where there is none, or no image of them is asked for."""
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not prompts or num_images < 1:
        raise ValueError(f"Nothing to generate: {len(prompts)} captions with `num_images={num_images}`.")
    return prompts
