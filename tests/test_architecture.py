"""The house stays as it was drawn: who imports whom, what starts without TensorFlow, how long a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "keras_t2i"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 350

LAYER_0 = {
    "losses",
    "feature_losses",
    "penalties",
    "augmentation",
    "networks",
    "guards",
    "latents",
    "provenance",
    "batch",
    "averaging",
    "sampling",
    "user_cache",
}
MAY_IMPORT: dict[str, set[str]] = {
    # Layer 0: nothing of ours but their own folder.
    **{room: set() for room in LAYER_0},
    # Layer 1: layer 0 at most, never each other.
    **dict.fromkeys(("text", "data", "image_features", "metrics"), LAYER_0),
    # Layer 2 receives its parts; `gan` hands files over to layer 3, inside the functions that do so.
    "report": set(),  # Plain data in, a page out.
    "serve": set(),  # It serves an artefact, whoever made it.
    "demo": set(),  # A page and a bundle, likewise.
    "gan": LAYER_0 | {"presets.loader", "export"},
    "training": LAYER_0,
    # Layer 3 acts on a given model; the table of families and the one gate for files lie here.
    "presets": LAYER_0 | {"gan", "text", "presets"},
    "export": {"presets.directory", "latents", "provenance", "sampling"},
    "transfer": LAYER_0 | {"data", "gan", "text"},
    "strategies": {"data", "gan", "transfer"},
    # Layer 4 builds by name.
    "config": LAYER_0 | {"data", "text", "image_features", "gan", "presets", "strategies"},
    "instruments": {"config", "data", "image_features", "metrics"},
    "runs": LAYER_0
    | {"config", "instruments", "data", "image_features", "metrics", "gan", "training", "strategies", "transfer"},
    "shipping": LAYER_0 | {"config", "data", "demo", "gan", "training", "export", "serve"},
    "run_report": {"config", "instruments", "metrics", "gan", "report"},
    "compare": {"config", "instruments", "strategies", "metrics", "training", "report"},
    "quickstart": LAYER_0 | {"data", "gan", "export", "runs", "shipping", "training"},
    "cli": {
        "config",
        "compare",
        "data",
        "presets",
        "quickstart",
        "runs",
        "run_report",
        "serve",
        "shipping",
        "strategies",
    },
    "__main__": {"cli"},
}
BUILDERS = {"cli", "compare", "config", "instruments", "quickstart", "run_report", "runs", "shipping", "__main__"}
LAZY_NAMES = {
    "TextToImageGAN": "gan",
    "TextEncoder": "text",
    "ImageFeatures": "image_features",
}  # served by `keras_t2i.__getattr__`


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(file: Path, *, at_the_top: bool = False) -> set[str]:
    """What a file imports at run time: `losses`, `presets.loader`, ... for ours, full names for others."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in tree.body if at_the_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            of_package = node.module in ("keras_t2i", "keras_t2i.presets")
            names |= {f"{node.module}.{alias.name}" if of_package else str(node.module) for alias in node.names}
    return {name.removeprefix("keras_t2i.") for name in names}


def ours(names: set[str]) -> set[str]:
    """Of imported names, those in the package, as rooms or files of rooms."""
    rooms = {room_of(file) for file in FILES}
    found = {LAZY_NAMES.get(name, name) for name in names}
    return {name for name in found if name.split(".")[0] in rooms}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_follow_the_layers(file: Path) -> None:
    room = room_of(file)
    if room == "__init__":
        assert not ours(imported(file, at_the_top=True))
        return
    assert room in MAY_IMPORT, f"{room} is a new room: say in design.md and here what it may import"
    allowed = MAY_IMPORT[room] | {room}
    for name in ours(imported(file)):
        levels = [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 2)]
        assert allowed & set(levels), f"{file.relative_to(PACKAGE)} must not import {name}"


def test_only_the_builders_know_families_by_name() -> None:
    importers = {room_of(file) for file in FILES if any("presets.families" in name for name in imported(file))}
    assert importers - {"presets"} <= BUILDERS
    tables = [file for file in FILES if "FAMILIES: dict" in file.read_text(encoding="utf-8")]
    assert tables == [PACKAGE / "presets" / "families.py"]


def test_nothing_imports_the_builders_but_builders() -> None:
    for file in FILES:
        if room_of(file) not in BUILDERS:
            rooms = {name.split(".")[0] for name in ours(imported(file))}
            assert not rooms & BUILDERS, file


def test_model_reaches_files_only_inside_functions() -> None:
    assert not {"presets.loader", "export"} & imported(PACKAGE / "gan.py", at_the_top=True)


@pytest.mark.parametrize("file", sorted((PACKAGE / "networks").glob("*.py")), ids=lambda file: file.name)
def test_networks_are_free_of_tensorflow(file: Path) -> None:
    assert not {name for name in imported(file) if name.split(".")[0] in ("tensorflow", "torch", "jax")}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("module", ["keras_t2i", "keras_t2i.cli"])
def test_import_needs_no_tensorflow(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'tensorflow', 'keras', 'numpy'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
