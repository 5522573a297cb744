"""Extension by one file: what another package enters in our tables, every command knows, without another change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import write_images, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with captioned images, beside a package `toys` that is installed there."""
    place = tmp_path_factory.mktemp("elsewhere")
    installed = place / "site" / "toys-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text("[keras_t2i]\ntoys = toys\n", encoding="utf-8")
    source = Path(__file__).with_name("toys.py").read_text(encoding="utf-8")
    (place / "site" / "toys.py").write_text(source, encoding="utf-8")
    write_rows(place / "images", write_images(place / "images"))
    return place


def python(place: Path, code: str) -> Any:
    """What a program prints as JSON in its last line, in a process that has the package installed."""
    paths = [str(place / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "XDG_CACHE_HOME": str(place / "cache"),
        "COLUMNS": "300",
    }
    result = subprocess.run([sys.executable, "-c", code], cwd=place, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_toys_of_every_kind_are_in_the_help_of_their_commands(place: Path) -> None:
    code = """
import contextlib, io, json, sys
from keras_t2i.cli import main
texts = {}
for command in ("", "train", "finetune", "compare", "export", "toy_task"):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*command.split(), "--help"])
    texts[command] = out.getvalue()
print(json.dumps([texts, sorted({"tensorflow", "keras"} & set(sys.modules))]))
"""
    texts, imported = python(place, code)
    assert imported == []  # Names are listed at once; what they stand for is imported when it is used.
    for command, names in {
        "": ["toy_task"],
        "train": ["toy_family", "toy_loss", "toy_penalty"],
        "finetune": ["toy_strategy", "Trains whatever a toy likes."],
        "compare": ["toy_family", "toy_strategy", "toy_loss", "toy_penalty"],
        "export": ["toy_format"],
        "toy_task": ["Draw captions, mirrored.", "--seed"],
    }.items():
        for name in names:
            assert name in texts[command], f"{name} is not in the help of {command!r}"


def test_toys_of_every_kind_train_transfer_measure_compare_draw_and_export(place: Path) -> None:
    code = """
import contextlib, io, json
from keras_t2i.cli import main
from keras_t2i.runs import RunConfig

def run(*arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit:
            assert not exit.code, err.getvalue()
    return json.loads(out.getvalue())

small = ["--image-size", 32, "--batch-size", 4]
run("train", "images", "-o", "run", "--family", "toy_family", "--epochs", 1, *small)
tuned = run("finetune", "run", "images", "-o", "tuned", "--strategy", "toy_strategy", "--epochs", 1)
numbers = run("evaluate", "tuned", "--features", "none", "--judge", "none")
compared = run(
    "compare", "images", "-o", "compared", "--methods", "toy_family,toy_strategy,mlp:loss=toy_loss:penalty=toy_penalty",
    "--images", 8, "--seeds", 1, "--source", "run", "--features", "none", "--judge", "none", *small,
)
drawn = run("toy_task", "tuned", "a picture", "-o", "drawn")
exported = run("export", "tuned", "--to", "toy_format", "-o", "exported")
told = open("compared/comparison.md", encoding="utf-8").read()
page = open("compared/report.html", encoding="utf-8").read()
means = len(json.load(open("exported/means.json")))
config = RunConfig.read(__import__("pathlib").Path("tuned"))
print(json.dumps([numbers, compared, drawn, exported, told, page, means, config.family, config.strategy]))
"""
    numbers, compared, drawn, exported, told, page, means, family, strategy = python(place, code)
    assert numbers["toy_metric"] > 0
    assert f"Toys are {numbers['toy_metric']:.0f} bright." in numbers["warnings"]
    assert (compared["finished"], compared["failed"]) == (3, 0)
    for label in ("Toy GAN", "Toy strategy", "loss=toy_loss", "Brightness"):
        assert label in told
        assert label in page
    assert drawn["images"] == 1
    assert (exported["format"], family, strategy) == ("toy_format", "toy_family", "toy_strategy")
    assert means > 4


def test_a_plugin_that_cannot_be_loaded_is_named_in_one_line(place: Path, tmp_path: Path) -> None:
    installed = tmp_path / "broken-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", encoding="utf-8")
    (installed / "entry_points.txt").write_text("[keras_t2i]\nbroken = not_there\n", encoding="utf-8")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-m", "keras_t2i", "--help"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.strip() == "Error: The plugin 'not_there' cannot be loaded: No module named 'not_there'"
