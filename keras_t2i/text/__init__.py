"""Captions to embeddings."""

from keras_t2i.text.base import CaptionEncoder
from keras_t2i.text.cache import CachedTextEncoder
from keras_t2i.text.encoder import TextEncoder
from keras_t2i.text.tokens import TokenIds
from keras_t2i.text.unconditional import Unconditional

__all__ = ["CachedTextEncoder", "CaptionEncoder", "TextEncoder", "TokenIds", "Unconditional"]
