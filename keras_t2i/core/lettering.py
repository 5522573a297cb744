"""Text of any script in pictures: with Pillow's own font, and with those of the system for letters that it lacks."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Lettering", "system_fonts"]

_NOWHERE = "\U0010ffff"  # No font has this one: it shows what a font draws for letters that it lacks.
_STRIKES = (109, 160)  # The sizes at which fonts of colored bitmaps can be loaded, for instance Noto Color Emoji.
_SPECIAL = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "thin", "black", "narrow", "extra")
_FIRST = ("dejavusans", "noto")
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")


@dataclass(frozen=True)
class _Face:
    """A font, and by how much what it draws is to be scaled."""

    font: Any
    scale: float = 1.0

    def has(self, letter: str) -> bool:
        """Whether it has a letter."""
        drawn, lacking = (self.font.getmask(each, "RGBA" if self.scale != 1 else "L") for each in (letter, _NOWHERE))
        return all(drawn.size) and (drawn.size != lacking.size or bytes(drawn) != bytes(lacking))

    def length(self, text: str) -> float:
        """Width of a text in pixels."""
        return float(self.font.getlength(text)) * self.scale

    def draw(self, picture: Image.Image, left: float, baseline: float, text: str, ink: tuple[int, int, int]) -> None:
        """Draws a text to the right of a point on its baseline."""
        if self.scale == 1:
            ImageDraw.Draw(picture).text((left, baseline), text, ink, self.font, anchor="ls")
            return
        box = self.font.getbbox(text, anchor="ls")
        large = Image.new("RGBA", (max(1, int(box[2] - box[0])), max(1, int(box[3] - box[1]))))
        ImageDraw.Draw(large).text((-box[0], -box[1]), text, ink, self.font, anchor="ls", embedded_color=True)
        width, height = (max(1, round(side * self.scale)) for side in large.size)
        small = large.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
        picture.paste(small, (round(left + box[0] * self.scale), round(baseline + box[1] * self.scale)), small)


@dataclass
class _SystemFonts:
    """What the fonts of this system have, looked for letter by letter, and script by script where there is nothing."""

    files: tuple[Path, ...]
    found: dict[int, list[_Face]] = field(default_factory=dict)
    letters: dict[tuple[int, str], _Face | None] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def face_for(self, letter: str, size: int) -> _Face | None:
        """A font that has a letter; where there is none, `None`, and once a script a warning of what brings one."""
        if (size, letter) not in self.letters:
            self.letters[size, letter] = self._look_for(letter, size)
        return self.letters[size, letter]

    def _look_for(self, letter: str, size: int) -> _Face | None:
        found = self.found.setdefault(size, [])
        for known in found:
            if known.has(letter):
                return known
        script = _script(letter)
        if script in self.missing:
            return None
        for file in self.files:
            face = _loaded(file, size)
            if face is not None and face.has(letter):
                found.append(face)
                return face
        self.missing.add(script)
        warnings.warn(
            f"No font on this system has {letter!r} and the like, which are drawn as boxes: install a Noto font, for "
            f"instance {_package(script)} on Debian and Ubuntu.",
            stacklevel=2,
        )
        return None


@functools.cache
def system_fonts() -> _SystemFonts:
    """The fonts of this system, those for running text first."""
    home = Path.home()
    if sys.platform == "darwin":
        folders = [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    elif sys.platform == "win32":
        folders = [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")]
        folders.append(Path(os.environ.get("LOCALAPPDATA", home), "Microsoft", "Windows", "Fonts"))
    else:
        shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        own = os.environ.get("XDG_DATA_HOME") or home / ".local/share"
        folders = [Path(folder, "fonts") for folder in (own, *shared.split(":"))]
    kinds = (".ttf", ".otf", ".ttc")
    return _SystemFonts(
        tuple(
            sorted(
                (file for folder in folders for file in folder.rglob("*") if file.suffix.lower() in kinds), key=_rank
            )
        )
    )


class Lettering:
    """Draws text of any script, in one size.

    Letters that no font at hand has are drawn as boxes; a warning says once which font brings them.

    Args:
        size: Size of the letters in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size, self.line_height = size, round(1.2 * size)
        self._own = _Face(ImageFont.load_default(size))

    def length(self, text: str) -> float:
        """Width of a text in one line, in pixels."""
        return sum(face.length(part) for face, part in self._parts(text))

    def draw(self, picture: Image.Image, place: tuple[float, float], text: str, ink: tuple[int, int, int]) -> None:
        """Draws a text in one line; `place` is its upper left corner."""
        left, baseline = place[0], place[1] + self.size
        for face, part in self._parts(text):
            face.draw(picture, left, baseline, part, ink)
            left += face.length(part)

    def wrapped(self, text: str, width: int, most: int) -> list[str]:
        """Breaks a text at spaces, or within a word that alone is too wide; what is too long ends in an ellipsis.

        Args:
            text: The text; what cannot be printed becomes a space.
            width: Width of a line in pixels.
            most: Lines at most, at least one.
        """
        # Nothing beyond this can be visible; the cut keeps a text of 100,000 characters cheap.
        shown = "".join(letter if _is_shown(letter) else " " for letter in text[: most * width])
        lines = [""]
        for word in shown.split():
            longer = f"{lines[-1]} {word}".strip()
            if self.length(longer) <= width:
                lines[-1] = longer
                continue
            if lines[-1]:
                lines.append("")
            for letter in word:
                if lines[-1] and self.length(lines[-1] + letter) > width:
                    lines.append("")
                lines[-1] += letter
        if len(lines) > most or len(text) > most * width:
            lines = lines[:most]
            while lines[-1] and self.length(lines[-1] + "...") > width:
                lines[-1] = lines[-1][:-1]
            lines[-1] += "..."
        return lines

    def _parts(self, text: str) -> Iterator[tuple[_Face, str]]:
        """The text in parts of one font each: a part is shaped as a whole."""
        if text.isascii():
            yield self._own, text
            return
        parts: list[tuple[_Face, str]] = []
        for letter in text:
            face = self._face_for(letter, parts[-1][0] if parts else self._own)
            if parts and parts[-1][0] is face:
                parts[-1] = face, parts[-1][1] + letter
                continue
            if parts and parts[-1][1].endswith(" "):  # Or it would stand before what is written from right to left.
                parts[-1:] = [(parts[-1][0], parts[-1][1].rstrip()), (self._own, " ")]
            parts.append((face, letter))
        yield from parts

    def _face_for(self, letter: str, before: _Face) -> _Face:
        if _joins(letter) or (letter == " " and before.scale == 1):
            return before
        if letter.isascii() or self._own.has(letter):
            return self._own
        return system_fonts().face_for(letter, self.size) or self._own


def _loaded(file: Path, size: int) -> _Face | None:
    for loaded in (size, *_STRIKES):
        with contextlib.suppress(OSError):
            return _Face(ImageFont.truetype(str(file), loaded), 1.0 if loaded == size else size / loaded)
    return None


def _rank(file: Path) -> tuple[bool, bool, str]:
    name = file.name.lower()
    return any(word in name for word in _SPECIAL), not name.startswith(_FIRST), name


def _joins(letter: str) -> bool:
    """Whether it belongs to the letter before it: marks, joiners, shades of skin."""
    return unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf", "Sk") and not letter.isascii()


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or (_joins(letter) and unicodedata.bidirectional(letter) in ("NSM", "BN", "L", "ON"))


def _script(letter: str) -> str:
    if unicodedata.category(letter) == "So":
        return "SYMBOL"
    return unicodedata.name(letter, "NONE").split()[0]


def _package(script: str) -> str:
    if script in _EAST_ASIAN:
        return "fonts-noto-cjk"
    return "fonts-noto-color-emoji" if script == "SYMBOL" else "fonts-noto-core"
