"""How much of captions a text encoder reads: which words it knows, and how far."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["Reader", "Reading", "reading_of"]

_UNKNOWN = ("[UNK]", "<unk>")
_CONTINUES = "##"
_LOST = 0.5
"""Share of unknown words from which on a caption is unread: among 400 captions of a data set (shapes, flowers, emoji,
photographs), the embedding of one that lost a fifth of its words is still closest to its own in 75 to 99 of 100 cases,
that of one that lost half in 18 to 70."""
_SHOWN = 60


class Reader(Protocol):
    """What splits captions into tokens: `keras_t2i.text.CaptionEncoder`, and `keras_t2i.export.wordpiece.WordPiece`."""

    @property
    def sequence_length(self) -> int:
        """Tokens that a caption is cut to, with those that frame it."""

    @property
    def numbers(self) -> Mapping[str, int]:
        """Its vocabulary: tokens, and their numbers."""

    @property
    def framing(self) -> int:
        """Tokens that frame a caption, as start and end do."""

    def pieces(self, captions: Sequence[str]) -> Sequence[np.ndarray]:
        """The token numbers of each caption, neither cut nor framed, int32."""


@dataclass(frozen=True)
class Reading:
    """How much of captions a text encoder reads; captions that differ in capitals alone are meant to read the same.

    Args:
        num_captions: Distinct captions.
        num_words: Words in them (where the tokenizer has no words: tokens), punctuation left out.
        num_unknown_words: Those of them that are unknown, and thus all the same to it.
        num_unread: Captions of whose words half or more are unknown, or that read the same as another because of
            unknown words.
        num_alike_unread: Those of them that read the same as another.
        num_cut: Captions of more tokens than are read.
        num_alike_cut: Captions that read the same as another because of that.
        longest: Tokens of the longest caption, framed: the `sequence_length` that reads all.
        unread: The first caption that is unread, if there is one.
        cut: The first caption that is cut, likewise.
    """

    num_captions: int
    num_words: int
    num_unknown_words: int
    num_unread: int
    num_alike_unread: int
    num_cut: int
    num_alike_cut: int
    longest: int
    unread: str | None
    cut: str | None

    @property
    def unread_share(self) -> float:
        """Share of the captions that are unread."""
        return self.num_unread / max(1, self.num_captions)

    def unknown_words(self) -> str | None:
        """What is lost to unknown words, in a sentence; `None` where nothing is."""
        if not self.num_unknown_words:
            return None
        told = f"The text encoder does not know {self.num_unknown_words:,} of {self.num_words:,} words"
        if self.unread is not None:
            told += f": {self.num_unread:,} of {self.num_captions:,} captions cannot be read, such as {self.unread!r}"
        return told + _alike(self.num_alike_unread)

    def cut_captions(self) -> str | None:
        """What is lost beyond the sequence length, in a sentence; `None` where nothing is."""
        if self.cut is None:
            return None
        told = f"{self.num_cut:,} of {self.num_captions:,} captions are longer than what is read, such as {self.cut!r}"
        return f"{told} (up to {self.longest:,} tokens)" + _alike(self.num_alike_cut)


def reading_of(reader: Reader, captions: Sequence[str]) -> Reading | None:
    """Counts what a text encoder reads of captions; only its tokenizer is asked.

    Args:
        reader: A `keras_t2i.text.TextEncoder`, or what splits captions as one does.
        captions: Any captions; each distinct one counts once.

    Returns:
        The counts; `None` where captions are not read at all (`keras_t2i.text.Unconditional`).
    """
    if getattr(reader, "is_unconditional", False):
        return None
    captions = list(dict.fromkeys(captions))
    rows, room = reader.pieces(captions), reader.sequence_length - reader.framing
    size = max(reader.numbers.values()) + 1
    is_unknown, is_word = np.zeros(size, bool), np.zeros(size, bool)
    for piece, number in reader.numbers.items():
        is_unknown[number] = piece in _UNKNOWN
        is_word[number] = is_unknown[number] or (not piece.startswith(_CONTINUES) and any(map(str.isalnum, piece)))
    words = np.array([is_word[row].sum() for row in rows], int)
    unknown = np.array([is_unknown[row].sum() for row in rows], int)
    lengths = np.array([len(row) for row in rows], int)
    full, read = ([row[:end].tobytes() for row in rows] for end in (None, room))
    alike_unread = _groups(full, [caption.casefold() for caption in captions]) & (unknown > 0)
    unread = alike_unread | ((unknown > 0) & (unknown >= _LOST * words))
    is_cut = lengths > room
    return Reading(
        num_captions=len(captions),
        num_words=int(words.sum()),
        num_unknown_words=int(unknown.sum()),
        num_unread=int(unread.sum()),
        num_alike_unread=int(alike_unread.sum()),
        num_cut=int(is_cut.sum()),
        num_alike_cut=int(_groups(read, full).sum()),
        longest=int(lengths.max(initial=0)) + reader.framing,
        unread=next(_shown(captions, unread), None),
        cut=next(_shown(captions, is_cut), None),
    )


def _groups(read: Sequence[object], meant: Sequence[object]) -> np.ndarray:
    """Which of them read the same as one that is meant otherwise, bool."""
    meanings: dict[object, set[object]] = {}
    for this, that in zip(read, meant, strict=True):
        meanings.setdefault(this, set()).add(that)
    return np.array([len(meanings[this]) > 1 for this in read], bool)


def _shown(captions: Sequence[str], chosen: np.ndarray) -> Iterator[str]:
    for caption in itertools.compress(captions, chosen):
        yield caption if len(caption) <= _SHOWN else f"{caption[: _SHOWN - 3]}..."


def _alike(count: int) -> str:
    return f", and {count:,} read the same as another." if count else "."
