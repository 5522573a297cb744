"""The data of emoji_128: what is drawn, what is held out, and that pictures have the colors they are said to have."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageDraw

from keras_t2i.data import from_folder
from keras_t2i.metrics import color_accuracy

SCRIPT = Path(__file__).parents[2] / "examples" / "emoji_128" / "make_data.py"
LABELS = {
    "1f34e": ("red apple", 4, 42),
    "1f4d5": ("closed book", 7, 72),
    "1f697": ("automobile", 5, 54),
    "1f600": ("grinning face", 0, 0),
    "1f1e9": ("flag: Germany", 9, 98),
    "1f449": ("person walking facing right", 1, 27),
    **{f"1f9{number:02x}": (f"thing {number}", 7, 72) for number in range(30)},
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_data", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """What the script makes of packages that are laid out as those on npm, of two styles."""
    place = tmp_path_factory.mktemp("emoji")
    (place / "names" / "en").mkdir(parents=True)
    (place / "names" / "meta").mkdir()
    entries = [
        {"label": label, "hexcode": code.upper(), "tags": ["one", "two"], "group": group, "subgroup": subgroup}
        for code, (label, group, subgroup) in LABELS.items()
    ]
    (place / "names" / "en" / "data.json").write_text(json.dumps(entries))
    groups = {"0": "smileys-emotion", "1": "people-body", "4": "food-drink", "5": "travel-places", "7": "objects"}
    subgroups = {"0": "face", "27": "person-activity", "42": "food-fruit", "54": "transport-ground", "72": "book-paper"}
    levels = {"groups": {**groups, "9": "flags"}, "subgroups": {**subgroups, "98": "country-flag"}}
    (place / "names" / "meta" / "groups.json").write_text(json.dumps(levels))
    for style, size in (("flat", 256), ("3d", 90)):
        (place / style / "assets").mkdir(parents=True)
        for code in LABELS:
            picture = Image.new("RGBA", (size, size))
            ImageDraw.Draw(picture).ellipse((size // 8, size // 8, size - 1, size - 1), fill=(210, 30, 40, 255))
            picture.save(place / style / "assets" / f"{code}-fe0f.webp", lossless=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "unpacked", lambda scratch, name, version: place / name)
        patch.setattr(script, "NAMES", ("names", "1", "names"))
        patch.setattr(script, "PACKAGES", {style: (style, "1", style) for style in ("flat", "3d")})
        patch.setattr(sys, "argv", ["make_data.py", str(place / "data")])
        script.main()
    table = (place / "data" / "metadata.jsonl").read_text().splitlines()
    return place / "data", [json.loads(line) for line in table]


def test_the_package_reads_what_was_made(rows: tuple[Path, list[dict]]) -> None:
    folder, table = rows
    images = from_folder(folder, image_size=64)
    assert images.validation_split is not None
    assert images.train_split.num_images + images.validation_split.num_images == len(table)
    with Image.open(folder / table[0]["file_name"]) as picture:
        assert picture.size == (128, 128)
        assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_a_name_is_held_out_in_all_styles_and_colors(rows: tuple[Path, list[dict]]) -> None:
    splits: dict[str, set[str]] = {}
    for row in rows[1]:
        splits.setdefault(row["name"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation"}
    assert not {"flag: Germany", "person walking facing right"} & splits.keys()


def test_recolored_pictures_have_the_color_that_their_captions_name(rows: tuple[Path, list[dict]]) -> None:
    folder, table = rows
    recolored = [row for row in table if "color" in row]
    assert {row["color"] for row in recolored} > {"blue", "green", "yellow", "purple", "pink", "brown"}
    for row in recolored:
        assert all(row["color"] in caption for caption in row["text"])
        assert not any("red apple" in caption for caption in row["text"])
    pixels = np.stack([imread(folder / row["file_name"]) for row in recolored])
    assert color_accuracy(pixels, [row["color"] for row in recolored]).share == 1.0


def imread(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_things_that_colors_are_judged_by_are_in_no_caption_with_a_color(rows: tuple[Path, list[dict]]) -> None:
    names = {row["name"] for row in rows[1] if "color" in row}
    assert "red apple" in names
    assert not {"automobile", "closed book", "grinning face"} & names


def test_each_style_is_in_the_captions_and_left_out_of_some(rows: tuple[Path, list[dict]]) -> None:
    for row in rows[1]:
        named = [row["style"] in caption for caption in row["text"]]
        assert any(named)
        assert not all(named)


def test_names_are_found_as_icon_sets_write_them(script: ModuleType) -> None:
    assert script.slug_of("Côte d'Ivoire") == "cote-divoire"
    assert script.slug_of("woman: blond hair") == "woman-blond-hair"
