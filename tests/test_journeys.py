"""The journeys that CONTRIBUTING.md tells are those that a caption and a prompt make: file by file, in that order."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import keras_t2i, write_images, write_rows

pytestmark = pytest.mark.usefixtures("eager_training")

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_t2i"


def told(title: str) -> list[tuple[str, str]]:
    """The files of a journey and the function that each is entered by, as they are told."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    journey = text.partition(title)[2].strip().partition("\n\n")[0]
    return re.findall(r"^\d+\. `([\w/.]+)` `(\w+)`", journey, flags=re.MULTILINE)


@contextmanager
def visits(stations: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Collects the calls of these functions, in order; several of one in a row count once."""
    known = {(str(PACKAGE / file), name): (file, name) for file, name in stations}
    found: list[tuple[str, str]] = []

    def enter(frame, event, argument) -> None:  # type: ignore[no-untyped-def]
        station = known.get((frame.f_code.co_filename, frame.f_code.co_name))
        if event == "call" and station is not None and found[-1:] != [station]:
            found.append(station)

    threading.setprofile(enter)
    sys.setprofile(enter)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("journeys")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        patch.chdir(place)
        write_rows(place / "images", write_images(place / "images", 8))
        yield place


@pytest.mark.parametrize(
    ("title", "command"),
    [
        ("A caption, from `keras-t2i train` to the gradient:", "train images -o run --epochs 1 --image-size 32"),
        ("A prompt, from `keras-t2i generate` to the PNG:", "generate shapes_64 circle -n 1 -o drawn"),
    ],
)
def test_a_journey_passes_the_files_that_are_told_in_their_order_and_none_twice(
    title: str, command: str, place: Path
) -> None:
    stations = told(title)
    assert len(stations) >= 8
    assert len({file for file, _ in stations}) == len(stations)
    with visits(stations) as found:
        result = keras_t2i(*command.split(), *(["--batch-size", "4"] if command.startswith("train") else []))
    assert result.code == 0, result.err
    # Networks are called to be built, too, before a caption comes by: the journey is a part of all that happened.
    passed = iter(found)
    assert [station for station in stations if station in passed] == stations, found
