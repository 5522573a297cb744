"""Captions to embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_t2i.core.lazy import lazy

if TYPE_CHECKING:
    from keras_t2i.text.base import CaptionEncoder
    from keras_t2i.text.cache import CachedTextEncoder
    from keras_t2i.text.denoiser import CaptionDenoiser
    from keras_t2i.text.encoder import PACKAGED_ENCODERS, TextEncoder
    from keras_t2i.text.new_words import with_words
    from keras_t2i.text.prompts import PROMPT_TEMPLATES, prompt_ensemble
    from keras_t2i.text.reading import Reading, reading_of
    from keras_t2i.text.stable_diffusion import StableDiffusion3TextEncoder
    from keras_t2i.text.tokens import TokenIds
    from keras_t2i.text.unconditional import Unconditional

__all__ = [
    "PACKAGED_ENCODERS",
    "PROMPT_TEMPLATES",
    "CachedTextEncoder",
    "CaptionDenoiser",
    "CaptionEncoder",
    "Reading",
    "StableDiffusion3TextEncoder",
    "TextEncoder",
    "TokenIds",
    "Unconditional",
    "prompt_ensemble",
    "reading_of",
    "with_words",
]

__getattr__ = lazy(
    "keras_t2i.text",
    {
        "base": ["CaptionEncoder"],
        "cache": ["CachedTextEncoder"],
        "denoiser": ["CaptionDenoiser"],
        "encoder": ["PACKAGED_ENCODERS", "TextEncoder"],
        "new_words": ["with_words"],
        "prompts": ["PROMPT_TEMPLATES", "prompt_ensemble"],
        "reading": ["Reading", "reading_of"],
        "stable_diffusion": ["StableDiffusion3TextEncoder"],
        "tokens": ["TokenIds"],
        "unconditional": ["Unconditional"],
    },
)
