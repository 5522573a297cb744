"""The quickstart: the whole story from a preset to an export that runs, and what a second start does."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_t2i import runs
from keras_t2i.data import FACE_ATTRIBUTES
from keras_t2i.presets import build_gan
from keras_t2i.runs.quickstart import quickstart
from keras_t2i.text import TextEncoder

pytestmark = pytest.mark.usefixtures("eager_training")

MINUTES = 0.005  # One step of each.


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """A quickstart that was stopped after its first run and started again; what it returns and says."""
    place = tmp_path_factory.mktemp("quickstart")
    source = place / "source"
    build_gan("mlp", TextEncoder.from_preset("caption_mini_en"), 32).save_to_preset(source, dtype="float16")
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as stderr:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        runs.finetune(str(source), "faces:300", place / "quick" / "finetuned", minutes=MINUTES, verbose=0)
        values = quickstart(place / "quick", MINUTES, lines.append, 0, source=str(source))
    return place, values, stderr.getvalue() + "\n".join(lines)


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
    assert pixels(values["comparison"]).shape[0] > 8 * 96
    for part in ("1/5", "2/5", "3/5", "4/5", "5/5", "fine-tuned", "from scratch", "Next:"):
        assert part in story


def test_both_runs_differ_in_their_start_alone(told: tuple[Path, dict[str, Any], str]) -> None:
    runs = [told[0] / "quick" / name for name in ("finetuned", "scratch")]
    finetuned, scratch = (json.loads((run / "config.json").read_text()) for run in runs)
    assert {name for name in finetuned if finetuned[name] != scratch[name]} == {"start_from", "strategy"}
    assert finetuned["start_from"] == str(told[0] / "source")
    assert (finetuned["data"], scratch["start_from"]) == ("faces:300", None)


def test_started_again_it_trains_nothing_twice(told: tuple[Path, dict[str, Any], str]) -> None:
    place, _, story = told
    assert f"{place / 'quick' / 'finetuned'} is finished" in story
    assert f"{place / 'quick' / 'scratch'} is finished" not in story
