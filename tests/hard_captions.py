"""Captions that tokenizers are apt to disagree on."""

from __future__ import annotations

import random

__all__ = ["hard_captions"]

_PIECES = (
    *("red", "Star", "BLUE", "don't", "x-ray", "[CLS]", "##ed", "$1.50", "#", "_", "1,000", "3/4"),
    *("caf\u00e9", "e\u0301", "\u00c5ngstr\u00f6m", "\u0130stanbul", "stra\u00dfe", "\ufb01ne", "\u00bd", "\u2026"),
    *("\u039f\u0394\u039f\u03a3", "\u03c2", "\u0587", "\u017fo", "\u01c5", "\u212a", "\u2126", "\u1e9e"),
    *("\u7ea2\u8272\u7684\u661f", "\uf9d0", "\u8d64\u3044\u661f", "\u3000", "\ud55c\uad6d\uc5b4", "\uff21\uff22"),
    *("\u0645\u0631\u062d\u0628\u0627", "\u05e9\u05c1\u05dc\u05d5\u05dd", "\u202eabc\u202c", "\u200f", "\u0903"),
    *("\U0001f600", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\U00020000", "\u0e44\u0e17\u0e22"),
    *("\0", "\t", "\n", "\r\n", "\x7f", "\x85", "\xa0", "\u200b", "\xad", "\u034f", "\ufeff", "\u2028", "\u2060"),
    *("'", "\u2019", "\u00ab", "\u3001", "\u2014", "\u00b7", "\u20ac", "^", "`", "~", "\u00a9", "x" * 101),
)


def hard_captions(count: int = 1000, seed: int = 0) -> list[str]:
    """Mixtures of accents, ligatures, scripts of many kinds, emoji, control characters; one of 10,000 characters."""
    draw = random.Random(seed)
    mixed = [
        "".join(draw.choice(_PIECES) + draw.choice(("", " ")) for _ in range(draw.randint(1, 10)))
        for _ in range(count - 3)
    ]
    return ["", "a red star " * 1000, "half \ud83d a pair", *mixed]
