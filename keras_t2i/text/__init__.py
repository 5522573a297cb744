"""Captions to embeddings."""

from keras_t2i.text.base import CaptionEncoder
from keras_t2i.text.cache import CachedTextEncoder
from keras_t2i.text.denoiser import CaptionDenoiser
from keras_t2i.text.encoder import PACKAGED_ENCODERS, TextEncoder
from keras_t2i.text.new_words import with_words
from keras_t2i.text.prompts import PROMPT_TEMPLATES, prompt_ensemble
from keras_t2i.text.tokens import TokenIds
from keras_t2i.text.unconditional import Unconditional

__all__ = [
    "PACKAGED_ENCODERS",
    "PROMPT_TEMPLATES",
    "CachedTextEncoder",
    "CaptionDenoiser",
    "CaptionEncoder",
    "TextEncoder",
    "TokenIds",
    "Unconditional",
    "prompt_ensemble",
    "with_words",
]
