"""The quickstart: the whole story from a preset to an export that runs, and what a second start does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_t2i import runs
from keras_t2i.data import FACE_ATTRIBUTES

pytestmark = pytest.mark.usefixtures("eager_training")

STEPS = 3


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A quickstart that was stopped after its first run, and started again as users start it, in its own process."""
    place = tmp_path_factory.mktemp("quickstart")
    command = [sys.executable, "-m", "keras_t2i", "quickstart", "--output", "quick", "--steps", str(STEPS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        patch.setenv("COLUMNS", "80")
        runs.finetune("shapes_64", "faces:300", place / "quick" / "finetuned", steps=STEPS, verbose=0)
        result = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return place, json.loads(result.stdout), result.stderr


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_it_measures_both_and_leaves_everything(told: tuple[Path, dict[str, Any], str]) -> None:
    place, values, story = told
    quick = place / "quick"
    for name in ("finetuned", "scratch"):
        assert values[name]["judge_on_real"] >= 0.99
        assert 0 <= values[name]["mean_attribute"] <= 1
        assert {"all_attributes", "kernel_distance", *FACE_ATTRIBUTES} < values[name].keys()
        assert list((quick / name / "checkpoints").iterdir())
    assert values["litert_milliseconds"] > 0
    assert len(list((quick / "serving").glob("*/1/saved_model.pb"))) == 1
    assert (quick / "litert" / "generator.tflite").is_file()
    drawn, by_litert = (pixels(quick / "images" / name) for name in ("00-00.png", "litert.png"))
    assert 10 * np.log10(255**2 / np.mean((drawn - by_litert) ** 2)) > 25  # The bundle is quantized.
    assert pixels(place / values["comparison"]).shape[0] > 8 * 96
    assert pixels(place / values["first"]).shape[0] > 3 * 96
    parts = [*(f"{number}/6" for number in range(1, 7)), "Next:", "keras-t2i generate quick/finetuned"]
    steps = [story.index(part) for part in parts]
    assert steps == sorted(steps)
    for name in ("finetuned", "scratch"):
        *_, last = (quick / name / "log.csv").read_text().splitlines()
        assert last.split(",")[1] == str(STEPS)
    assert f"Epoch 1, step 0 of {STEPS}" in story
    assert "fine-tuned" in story
    assert "from scratch" in story
    assert "\r" not in story
    assert "arning" not in story


def test_both_runs_differ_in_their_start_alone(told: tuple[Path, dict[str, Any], str]) -> None:
    runs = [told[0] / "quick" / name for name in ("finetuned", "scratch")]
    finetuned, scratch = (json.loads((run / "config.json").read_text()) for run in runs)
    assert {name for name in finetuned if finetuned[name] != scratch[name]} == {"start_from", "strategy"}
    assert finetuned["start_from"] == "shapes_64"
    assert (finetuned["data"], scratch["start_from"]) == ("faces:300", None)


def test_started_again_it_trains_nothing_twice(told: tuple[Path, dict[str, Any], str]) -> None:
    _, _, story = told
    assert "quick/finetuned is finished" in story
    assert "quick/scratch is finished" not in story
