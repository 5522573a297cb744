"""Makes the captioned pictures that emoji_128 is trained on, from packages on npm that anyone may use.

Command:  python examples/emoji_128/make_data.py FOLDER [--all-names]
Needs:    npm; resvg-py (MPL-2.0), which draws SVG: `pip install resvg-py`
Cost:     about 60 MB to fetch, 10 minutes of one core
Result:   FOLDER/images, PNG, 128 pixels, on white; FOLDER/metadata.jsonl, a row each: file name, captions, split, name,
          style, color (where a picture was recolored); FOLDER/CREDITS.txt. The same bytes each time.

Five styles: Noto by Google (Apache-2.0), Twemoji by Twitter and others (CC-BY 4.0), and Fluent by Microsoft (MIT) in
three forms: in color, flat and 3D. Names and keywords are Unicode's (CLDR), by way of emojibase (MIT). Left out: skin
tones, flags of countries, keycaps, letters on buttons, and what faces right where it also faces left.

One name in twelve is held out, in all styles and colors; with --all-names none is, but some recolored pictures.
Pictures of one dominant color are also recolored, with the color in the caption; but never those of `TOLD_APART`, by
which it is measured whether colors are obeyed: "a blue car" is in no caption.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

SIZE = 128
PACKAGES = {
    "noto": ("@iconify-json/noto", "1.2.9", "Noto Emoji, copyright Google LLC, Apache-2.0"),
    "twemoji": ("@iconify-json/twemoji", "1.2.5", "Twemoji, copyright Twitter, Inc and other contributors, CC-BY 4.0"),
    "fluent": ("@iconify-json/fluent-emoji", "1.2.7", "Fluent Emoji, copyright Microsoft Corporation, MIT"),
    "flat": ("@iconify-json/fluent-emoji-flat", "1.2.6", "Fluent Emoji, copyright Microsoft Corporation, MIT"),
    "3d": ("@lobehub/fluent-emoji-3d", "1.1.0", "Fluent Emoji, copyright Microsoft Corporation, MIT"),
}
NAMES = ("emojibase-data", "17.0.0", "Names and keywords: Unicode CLDR, Unicode License V3; emojibase-data, MIT")

LEFT_OUT = {"skin-tone", "hair-style", "keycap", "alphanum", "country-flag", "subdivision-flag"}
THINGS = {"animals-nature", "food-drink", "travel-places", "activities", "objects"}
HUES = {"red": 357, "orange": 28, "yellow": 52, "green": 125, "blue": 215, "purple": 275, "pink": 335, "brown": 24}
SHADES = {
    **{"red": (0.88, 0.9), "orange": (0.9, 0.98), "yellow": (0.85, 0.98), "green": (0.75, 0.72)},
    **{"blue": (0.8, 0.9), "purple": (0.7, 0.8), "pink": (0.5, 0.97), "brown": (0.65, 0.5)},
}
"""The saturation and value of each color that people call by its name: amber is no yellow, and a pale red is pink."""
RECOLORED = 3
"""How many of the colors each picture of one dominant color is made into."""
TOLD_APART = (
    *("automobile", "rose", "butterfly", "bird", "fish", "balloon", "umbrella", "house", "bus", "bicycle"),
    *("t-shirt", "hat", "boat", "rocket", "guitar", "backpack", "dress", "tulip", "book", "key"),
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--all-names", action="store_true", help="hold no name out")
    options = arguments.parse_args()
    folder: Path = options.folder
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        entries = list(named(unpacked(Path(scratch), *NAMES[:2])))
        for style, (package, version, _) in PACKAGES.items():
            draw = drawer(unpacked(Path(scratch), package, version))
            for entry in track(entries, f"{style:>8}"):
                picture = draw(entry)
                if picture is not None:
                    rows += written(folder, style, entry, picture, options.all_names)
    table = folder / "metadata.jsonl"
    table.with_suffix(".part").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table.with_suffix(".part").replace(table)
    thanks = sorted({credit for *_, credit in PACKAGES.values()} | {NAMES[2]})
    (folder / "CREDITS.txt").write_text("\n".join(thanks) + "\n")
    held_out = sum(row["split"] == "validation" for row in rows)
    print(f"{len(rows):,} pictures in {folder}, {held_out:,} of them held out.")


def unpacked(scratch: Path, package: str, version: str) -> Path:
    """Fetches a package and returns the directory that it is in."""
    command = ["npm", "pack", f"{package}@{version}", "--silent", "--pack-destination", str(scratch)]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
    target = scratch / name.removesuffix(".tgz")
    with tarfile.open(scratch / name) as archive:
        archive.extractall(target, filter="data")
    return target / "package"


def named(directory: Path) -> Iterator[dict[str, Any]]:
    """Each emoji that is drawn: its name, keywords, code points, and whether it may be recolored."""
    entries = json.loads((directory / "en" / "data.json").read_text())
    levels = json.loads((directory / "meta" / "groups.json").read_text())
    for entry in entries:
        if "group" not in entry:
            continue
        group, subgroup = levels["groups"][str(entry["group"])], levels["subgroups"][str(entry["subgroup"])]
        name = re.sub(r"[\u201c\u201d]", "", entry["label"]).replace("\u2019", "'")
        if subgroup in LEFT_OUT or "facing right" in name:
            continue
        is_thing = group in THINGS or subgroup in ("heart", "geometric")
        told_apart = any(re.search(rf"\b{word}s?\b", name) for word in TOLD_APART)
        yield {
            "name": name,
            "keywords": [tag for tag in entry.get("tags", ()) if tag != name],
            "code": entry["hexcode"].lower(),
            "group": group,
            "recolor": is_thing and not told_apart,
        }


def drawer(directory: Path) -> Any:
    """A function that draws an emoji, or returns `None` where the package has none."""
    if (directory / "assets").is_dir():
        by_code = {_plain_code(path.stem): path for path in sorted((directory / "assets").iterdir())}

        def from_file(entry: dict[str, Any]) -> Image.Image | None:
            path = by_code.get(_plain_code(entry["code"]))
            if path is None:
                return None
            with Image.open(path) as picture:
                return on_white(picture)

        return from_file

    import resvg_py

    icons = json.loads((directory / "icons.json").read_text())
    parents = {name: alias["parent"] for name, alias in icons.get("aliases", {}).items() if len(alias) == 1}

    def from_svg(entry: dict[str, Any]) -> Image.Image | None:
        slug = slug_of(entry["name"])
        icon = icons["icons"].get(parents.get(slug, slug))
        if icon is None:
            return None
        width, height = icon.get("width", icons["width"]), icon.get("height", icons["height"])
        svg = (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">{icon["body"]}</svg>'
        )
        drawn = resvg_py.svg_to_bytes(svg_string=svg, width=2 * SIZE, height=2 * SIZE, skip_system_fonts=True)
        return on_white(Image.open(io.BytesIO(bytes(drawn))))

    return from_svg


def on_white(picture: Image.Image) -> Image.Image:
    """A picture of any size on a white square, with a margin of a thirty-second."""
    picture = picture.convert("RGBA")
    inner = SIZE - SIZE // 16
    picture.thumbnail((inner, inner), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (SIZE, SIZE), "white")
    canvas.alpha_composite(picture, ((SIZE - picture.width) // 2, (SIZE - picture.height) // 2))
    return canvas.convert("RGB")


def written(
    folder: Path, style: str, entry: dict[str, Any], picture: Image.Image, all_names: bool
) -> Iterator[dict[str, Any]]:
    """Writes a picture and its recolored copies; yields their rows."""
    name, stem = entry["name"], f"{style}-{entry['code']}"
    random = np.random.default_rng(_number(stem))
    split = "train" if all_names or _number(name) % 12 else "validation"
    common = {"split": split, "name": name, "style": style, "group": entry["group"]}
    picture.save(folder / "images" / f"{stem}.png", optimize=True)
    yield {"file_name": f"images/{stem}.png", "text": captions(name, style, entry["keywords"], random), **common}
    hue = dominant_hue(picture) if entry["recolor"] else None
    if hue is None:
        return
    bare = re.sub(rf"^({'|'.join(HUES)}) ", "", name)
    far = [
        color
        for color, other in HUES.items()
        if color in ("pink", "brown") or abs((other - hue + 180) % 360 - 180) > 15
    ]
    for color in random.choice(far, RECOLORED, replace=False).tolist():
        recolored(picture, hue, color).save(folder / "images" / f"{stem}-{color}.png", optimize=True)
        thing, whole = f"{color} {bare}", with_article(f"{color} {bare}")
        text = [f"{whole}, {style} style", thing, whole, f"{thing}, {style}"]
        held_out = all_names and _number(f"{stem}-{color}") % 100 == 0
        row = {"file_name": f"images/{stem}-{color}.png", "text": text, **common, "color": color}
        yield {**row, "split": "validation"} if held_out else row


def captions(name: str, style: str, keywords: list[str], random: np.random.Generator) -> list[str]:
    """What may be said of a picture: the name, with and without its style, and some keywords."""
    whole = with_article(name)
    texts = [f"{name}, {style} style", name, whole, f"{whole}, {style} style", f"{whole} emoji in {style} style"]
    if keywords:
        drawn = random.permutation(keywords)[:4].tolist()
        texts += [f"{name}, {', '.join(drawn)}, {style} style", f"{', '.join(drawn)}, {style} style"]
    return texts


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def dominant_hue(picture: Image.Image) -> float | None:
    """The hue in degrees that most of a picture has, if there is one."""
    hue, saturation, value = hsv(picture)
    drawn = (saturation > 0.12) | (value < 0.9)
    colored = drawn & (saturation > 0.3) & (value > 0.25)
    if colored.sum() < 0.4 * drawn.sum() or drawn.sum() < 0.05 * drawn.size:
        return None
    counts = np.histogram(hue[colored], 36, (0, 360))[0]
    counts = counts + np.roll(counts, 1) + np.roll(counts, -1)
    peak = int(counts.argmax())
    return 10.0 * peak + 5.0 if counts[peak] > 0.6 * colored.sum() else None


def recolored(picture: Image.Image, hue: float, color: str) -> Image.Image:
    """A picture whose dominant hue has become that of a color, in its shade; what has another hue stays."""
    hues, saturation, value = hsv(picture)
    off = (hues - hue + 180) % 360 - 180
    amount = np.clip((60 - np.abs(off)) / 20, 0, 1) * (saturation > 0.02)
    dominant = (amount > 0.5) & (saturation > 0.3) & (value > 0.25)
    brighter = [shade / np.median(of[dominant]) for shade, of in zip(SHADES[color], (saturation, value), strict=True)]
    turned = (HUES[color] + off * 0.3) % 360
    new = np.stack([turned / 360, np.clip(saturation * brighter[0], 0, 1), np.clip(value * brighter[1], 0, 1)], axis=-1)
    rgb = np.asarray(Image.fromarray((255 * new).round().astype(np.uint8), "HSV").convert("RGB"), np.float32)
    old = np.asarray(picture, np.float32)
    return Image.fromarray((old + amount[..., None] * (rgb - old)).round().astype(np.uint8))


def hsv(picture: Image.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue in degrees, saturation and value."""
    hue, saturation, value = np.moveaxis(np.asarray(picture.convert("HSV"), np.float32) / 255, -1, 0)
    return 360 * hue, saturation, value


def slug_of(name: str) -> str:
    """A name as icon sets write it: "Côte d'Ivoire" is cote-divoire."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower().replace("'", "")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _plain_code(code: str) -> str:
    return "-".join(part.lstrip("0") for part in code.lower().split("-") if part != "fe0f")


def _number(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest(), 16) % 2**32


if __name__ == "__main__":
    main()
