"""WordPiece without TensorFlow: captions to the token numbers that the text encoder was trained on.

It follows `bundle.json` and `vocab.txt` of a LiteRT bundle, and needs nothing but Python: what an app has to port. The
numbers are those of TensorFlow Text, as KerasNLP uses it, and of `tokenizer.json`, which is the same written down for
tokenizers in Hugging Face's format.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["WordPiece", "hugging_face_tokenizer"]

_MAX_BYTES = 100  # Of a word in UTF-8: longer ones are unknown.
_CJK = (
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F)),
)
_IGNORABLE = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x115F, 0x1160), (0x2065, 0x2065), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF)),
)
"""Characters without a shape that are no format characters, at which words are split."""


class WordPiece:
    """Splits captions into the pieces of a vocabulary.

    Args:
        vocabulary: All pieces; a piece's number is its place.
        rules: The part `tokenizer` of `bundle.json`.
    """

    framing = 2
    """Tokens that frame a caption: start and end."""

    def __init__(self, vocabulary: Sequence[str], rules: dict[str, Any]) -> None:
        self.numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self.rules = rules

    def __call__(self, captions: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Token numbers and padding mask, int32, both of shape `(len(captions), sequence_length)`."""
        length, rules = self.sequence_length, self.rules
        token_ids = np.full((len(captions), length), rules["padding_token_id"], np.int32)
        for row, caption in zip(token_ids, captions, strict=True):
            pieces = self._pieces_of(caption)
            numbers = [rules["start_token_id"], *pieces[: length - self.framing], rules["end_token_id"]]
            row[: len(numbers)] = numbers
        return token_ids, (token_ids != rules["padding_token_id"]).astype(np.int32)

    def pieces(self, captions: Sequence[str]) -> list[np.ndarray]:
        """Token numbers of each caption before it is cut and framed, int32."""
        return [np.array(self._pieces_of(caption), np.int32) for caption in captions]

    @property
    def sequence_length(self) -> int:
        return self.rules["sequence_length"]

    def _pieces_of(self, caption: str) -> list[int]:
        return [piece for word in self._words(caption) for piece in self._pieces(word)]

    def _words(self, caption: str) -> Iterator[str]:
        """Words and punctuation marks, with case folded and accents off as the rules say."""
        # As TensorFlow gets it: half a surrogate pair, which has no UTF-8, as a question mark.
        text = "".join(" " if c < " " else c for c in caption.encode(errors="replace").decode())
        if self.rules["strip_accents"]:
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        word = ""
        for character in text:
            alone = _is_punctuation(character) or (self.rules["split_on_cjk"] and _in(character, _CJK))
            if alone or character == " " or unicodedata.category(character) in ("Cc", "Cf"):
                yield from self._folded(word)
                yield from self._folded(character if alone else "")
                word = ""
            else:
                word += character
        yield from self._folded(word)

    def _folded(self, word: str) -> Iterator[str]:
        """The word by Unicode's NFKC_Casefold. After splitting: what folds to a mark or a space is no border."""
        if self.rules["lowercase"]:
            word = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
            word = "".join(character for character in word if not _in(character, _IGNORABLE))
        if word:
            yield word

    def _pieces(self, word: str) -> list[int]:
        """The longest pieces from left to right, or one unknown token."""
        unknown = [self.rules["unknown_token_id"]]
        if len(word.encode()) > _MAX_BYTES:
            return unknown
        found, start = [], 0
        while start < len(word):
            prefix = self.rules["suffix_indicator"] if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.numbers)
            end = next(ends, None)
            if end is None:
                return unknown
            found.append(self.numbers[prefix + word[start:end]])
            start = end
        return found


def _in(character: str, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


def _is_punctuation(character: str) -> bool:
    """As in the first BERT: Unicode's punctuation, and of ASCII what is neither letter, digit, space nor control."""
    printable = "!" <= character <= "~" and not character.isalnum()
    return printable or unicodedata.category(character).startswith("P")


def hugging_face_tokenizer(vocabulary: Sequence[str], rules: dict[str, Any]) -> dict[str, Any]:
    """The same as Hugging Face's `tokenizer.json`, for `@huggingface/tokenizers` in JavaScript.

    All the work is in the normalizer, because case is folded after the split into words. Line feeds mark borders: by
    then control characters are spaces, so that a caption has none. Words of more than 100 bytes, but not more than
    100 characters, are the exception: an unknown token in TensorFlow, pieces here.

    Args:
        vocabulary: All pieces.
        rules: The part `tokenizer` of `bundle.json`.
    """

    def replace(pattern: str, content: str) -> dict[str, Any]:
        return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}

    def ranges(of: Sequence[tuple[int, int]]) -> str:
        return "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in of)

    alone = r"!-/:-@\[-`{-~\p{P}" + (ranges(_CJK) if rules["split_on_cjk"] else "")
    steps = [replace(r"[\x00-\x1F]", " ")]
    if rules["strip_accents"]:
        steps += [{"type": "NFD"}, replace(r"\p{Mn}", "")]
    steps += [replace(r"[ \p{Cc}\p{Cf}]+", "\n"), replace(f"(?=[{alone}])|(?<=[{alone}])", "\n")]
    if rules["lowercase"]:
        # Lower case is not folded case in three letters.
        folds = [
            replace(letter, folded)
            for letter, folded in (("ß", "ss"), ("ς", "\N{GREEK SMALL LETTER SIGMA}"), ("և", "եւ"))
        ]
        steps += [
            replace(f"[{ranges(_IGNORABLE)}]", ""),
            {"type": "NFKC"},
            {"type": "Lowercase"},
            *folds,
            {"type": "NFKC"},
        ]
    start, end = vocabulary[rules["start_token_id"]], vocabulary[rules["end_token_id"]]
    around = {token: {"id": token, "ids": [vocabulary.index(token)], "tokens": [token]} for token in (start, end)}
    first = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": end, "type_id": 0}}]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": end, "type_id": 1}}]
    single = [{"SpecialToken": {"id": start, "type_id": 0}}, *first]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],  # They would be found in captions, where "[CLS]" is text.
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\n+"}, "behavior": "Removed", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, *second],
            "special_tokens": around,
        },
        "decoder": {"type": "WordPiece", "prefix": rules["suffix_indicator"], "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": vocabulary[rules["unknown_token_id"]],
            "continuing_subword_prefix": rules["suffix_indicator"],
            "max_input_chars_per_word": _MAX_BYTES,
            "vocab": {piece: number for number, piece in enumerate(vocabulary)},
        },
    }
