"""Captions to embeddings."""

from keras_t2i.text.cache import CachedTextEncoder
from keras_t2i.text.encoder import TextEncoder

__all__ = ["CachedTextEncoder", "TextEncoder"]
