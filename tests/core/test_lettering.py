"""Captions of any script are drawn with a font of the system that has it; else it is said what brings one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_t2i.core.lettering import Lettering, system_fonts

INK = (20, 20, 20)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    system_fonts.cache_clear()
    yield
    system_fonts.cache_clear()


@pytest.fixture
def no_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system without fonts; what is put into the folder is there once looked for anew."""
    if os.name != "posix":
        pytest.skip("fonts are looked for by these variables on Linux")
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "fonts").mkdir()
    return tmp_path / "fonts"


def drawn(text: str, size: int = 24) -> np.ndarray:
    picture = Image.new("RGB", (300, 40), "white")
    Lettering(size).draw(picture, (4, 4), text, INK)
    return np.asarray(picture).astype(int)


def font_file(name: str) -> Path:
    found = next((file for file in system_fonts().files if file.name == name), None)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_english_needs_no_font_of_the_system(no_fonts: Path) -> None:
    assert (drawn("a flower") < 100).any()
    assert (drawn("a flower") != drawn("a tower")).any()


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("红色的花", "fonts-noto-cjk"),
        ("ひらがな", "fonts-noto-cjk"),
        ("🌹🎂", "fonts-noto-color-emoji"),
        ("फूल", "fonts-noto-core"),
    ],
)
def test_what_no_font_has_is_said_once_with_what_brings_it(no_fonts: Path, text: str, package: str) -> None:
    with pytest.warns(UserWarning, match=f"No font on this system has {text[0]!r} .* {package} on Debian") as caught:
        first = drawn(text)
    assert len(caught) == 1
    np.testing.assert_array_equal(drawn(text), first)  # Warnings are errors: nothing is said a second time.


def test_a_font_of_the_system_is_found_and_used(no_fonts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match="No font"):
        boxes = drawn("розы")
    monkeypatch.undo()
    system_fonts.cache_clear()
    file = font_file("DejaVuSans.ttf")
    shutil.copy(file, no_fonts / "some.ttf")
    monkeypatch.setenv("XDG_DATA_DIRS", str(no_fonts.parent))
    monkeypatch.setenv("XDG_DATA_HOME", str(no_fonts.parent))
    system_fonts.cache_clear()
    letters = drawn("розы")
    assert (letters != boxes).any()
    assert (drawn("розы") != drawn("розу")).any()
    assert (letters < 100).any()


def test_words_of_two_scripts_stand_beside_each_other() -> None:
    font_file("DejaVuSans.ttf")
    lettering = Lettering(14)
    parts = [lettering.length(text) for text in ("a cat ", "زهرة", " on white")]
    assert lettering.length("a cat زهرة on white") == pytest.approx(sum(parts), abs=1)
    assert np.ptp(np.flatnonzero((drawn("a cat زهرة on white", 14) < 128).any(axis=(0, 2)))) == pytest.approx(
        sum(parts), abs=4
    )


def test_no_line_is_wider_than_it_may_be() -> None:
    lettering = Lettering(14)
    lines = lettering.wrapped("some words, and averylongwordthatfitsintonoline ö " * 3, 100, 5)
    assert len(lines) == 5
    assert lines[-1].endswith("...")
    assert all(lettering.length(line) <= 100 for line in lines)
    assert lettering.wrapped("short", 100, 5) == ["short"]
