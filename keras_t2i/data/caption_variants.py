"""Further captions for the same images, to train on: words left out, frames around them, synonyms in their place.

Embeddings are computed once for each distinct caption, so variety in the captions costs nothing while training. Each
function here returns another that `CaptionedImages.with_captions` takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

__all__ = ["Variants", "synonyms", "templates", "word_dropout"]

Variants = Callable[[str, np.random.Generator], Sequence[str]]
"""From a caption and a source of chance to further captions that are true of the same image."""


def word_dropout(share: float = 0.2, count: int = 1) -> Variants:
    """Leaves words out, each with the same chance; at least one word stays.

    Args:
        share: Chance of each word, above 0 and at most 1.
        count: Captions to draw from each.

    Raises:
        ValueError: if `share` is not above 0 and at most 1, or `count` is below 1.
    """
    _check(share, count)

    def variants(caption: str, random: np.random.Generator) -> list[str]:
        words = caption.split()
        drawn = []
        for _ in range(count if words else 0):
            stays = random.random(len(words)) >= share
            stays[random.integers(len(words))] = True
            drawn.append(" ".join(word for word, kept in zip(words, stays, strict=True) if kept))
        return drawn

    return variants


def templates(frames: Sequence[str]) -> Variants:
    """Puts a caption into frames such as `"a picture of {}"`, one further caption each.

    Raises:
        ValueError: if there is no frame, or one without exactly one `{}`.
    """
    frames = list(frames)
    wrong = [frame for frame in frames if frame.count("{}") != 1]
    if wrong or not frames:
        raise ValueError(f"Every template needs exactly one {{}} where the caption goes; got {wrong or frames}.")
    return lambda caption, random: [frame.replace("{}", caption) for frame in frames]


def synonyms(table: Mapping[str, Sequence[str]], share: float = 0.5, count: int = 1) -> Variants:
    """Puts other words in the place of those that have some; `a` and `an` follow the word after them.

    Args:
        table: Words or phrases, found whole and in lower case, and what may stand in their place.
        share: Chance of each word found to be replaced, above 0 and at most 1.
        count: Captions to draw from each.

    Raises:
        ValueError: if `share` is not above 0 and at most 1, `count` is below 1, or a word has no synonym.
    """
    _check(share, count)
    empty = [word for word, others in table.items() if not others or isinstance(others, str)]
    if empty or not table:
        raise ValueError(f"Every word of `table` needs a list of synonyms; {empty or 'an empty table'} has none.")
    longest_first = sorted(table, key=len, reverse=True)
    found = re.compile(rf"(?<!\w)(?:(an?) )?({'|'.join(map(re.escape, longest_first))})(?!\w)")

    def variants(caption: str, random: np.random.Generator) -> list[str]:
        def other(match: re.Match[str]) -> str:
            if random.random() >= share:
                return match[0]
            words = table[match[2]]
            word = words[int(random.integers(len(words)))]
            article = "" if match[1] is None else "an " if word[0] in "aeiou" else "a "
            return article + word

        return [found.sub(other, caption) for _ in range(count)]

    return variants


def _check(share: float, count: int) -> None:
    if not 0 < share <= 1 or count < 1:
        raise ValueError(f"`share` must be above 0 and at most 1, and `count` at least 1; got {share} and {count}.")
