"""Reads the pages: their blocks, commands, names and links; and cuts what would take long."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "examples" / "guides").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
PAGES = sorted(
    page
    for page in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "export").rglob("*.md"),
    ]
    if "node_modules" not in page.parts
)

MINUTES = "0.01"
"""What every budget in minutes is cut to."""

TINY = "tiny_shapes"
"""A model as small as can be, of the family and the data of `shapes_64`; the fixture makes it."""

FEATURES = "mobilenet_v2.npz"
"""Random weights of image features; the fixture writes them."""

_BUDGETS = {"--minutes": MINUTES, "--epochs": "1", "--seeds": "1"}
_SMALL = {
    "train": {"--image-size": "32", "--batch-size": "4"},
    "finetune": {"--batch-size": "4"},
    "distill": {"--num-drawn": "8", "--batch-size": "4"},
    "stylize train": {"--image-size": "64", "--features": FEATURES},
    "compare": {"--image-size": "32", "--batch-size": "4"},
}
"""What is added to a command that does not say it itself."""
_OFFLINE = {"evaluate": "none", "report": "none", "compare": "none"}
"""Image features: those of Keras would be downloaded."""
_LITTLE = {"shapes_64": TINY, "faces:300": "my_images", "phantoms": "my_images"}
"""Models and data sets, and what takes their place: everything that is done with them is done alike."""
_PYTHON = {
    r"\bepochs=\d+": "epochs=1",
    r"\bsteps=\d+": "steps=2",
    r"\bupdates=\d+": "updates=20",
    r"\bimage_size=64\b": "image_size=32",
    r'"shapes_64"': f'"{TINY}"',
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language (empty for none), its text, and the line that it begins at."""

    language: str
    text: str
    line: int


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    found, language, lines, start = [], None, [], 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("```"):
            if language is None:
                language, lines, start = line[3:].strip(), [], number + 1
            else:
                found.append(Block(language, "\n".join(lines) + "\n", start))
                language = None
        elif language is not None:
            lines.append(line)
    assert language is None, f"{name(page)}: the block at line {start - 1} does not end"
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    kept, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def spans(page: Path) -> list[str]:
    """Inline code; a command that goes over a line's end is one."""
    return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(page))]


def commands(text: str) -> list[list[str]]:
    """The words of each command, without comments and without where their output goes."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if ">" in words:
            words = words[: words.index(">")]
        while "&&" in words:
            at = words.index("&&")
            found.append(words[:at])
            words = words[at + 1 :]
        if words:
            found.append(words)
    return found


def cut(arguments: list[str]) -> list[str]:
    """The arguments of `keras-t2i` with small budgets, small images and no downloads."""
    command, short = arguments[0], [_LITTLE.get(argument, argument) for argument in arguments]
    short = [f"{word}:features={FEATURES}:width=4:depth=1" if word.startswith("style:") else word for word in short]
    for option, value in _BUDGETS.items():
        if option in short:
            short[short.index(option) + 1] = value
    defaults = dict(_SMALL.get(" ".join(arguments[:2]) if command == "stylize" else command, {}))
    if command in _OFFLINE:
        defaults["--features"] = _OFFLINE[command]
    if command == "compare":
        at = short.index("--methods") + 1
        short[at] = short[at].split(",")[0]
    for option, value in defaults.items():
        if option not in short:
            short += [option, value]
    return short


def shortened(source: str) -> str:
    """Python with small budgets, images and models."""
    for pattern, replacement in _PYTHON.items():
        source = re.sub(pattern, replacement, source)
    return source


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    found: dict[str, int] = {}
    result = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        result.add(f"{slug}-{count}" if count else slug)
    return result
