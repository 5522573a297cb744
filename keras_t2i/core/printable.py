"""Texts of strangers, made fit to be shown: a terminal obeys control characters."""

from __future__ import annotations

import unicodedata

__all__ = ["escaped", "spaced"]

_CONTROLS = ("Cc", "Cs")
_BREAKS = ("Zl", "Zp")
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def escaped(text: str) -> str:
    """A text as one line that does nothing to a terminal: what would, and halves of pairs, as Python writes them."""
    if text.isprintable():
        return text
    return "".join(
        ascii(character)[1:-1]
        if unicodedata.category(character) in (*_CONTROLS, *_BREAKS) or character in _DIRECTIONS
        else character
        for character in text
    )


def spaced(text: str) -> str:
    """A text with spaces for control characters, and for halves of pairs."""
    if text.isprintable():
        return text
    return "".join(" " if unicodedata.category(character) in _CONTROLS else character for character in text)
