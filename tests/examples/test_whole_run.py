"""The script for one go on an accelerator, on this processor with small settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_t2i import TextToImageGAN
from keras_t2i.runs import RunConfig
from keras_t2i.runs.packing import pack

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "whole_run.py"


@pytest.mark.slow
def test_it_measures_trains_and_leaves_presets_that_draw_captions(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    (tmp_path / "images").mkdir()
    for number in range(20):
        color, rgb = (("red", (200, 30, 30)), ("blue", (30, 30, 200)))[number % 2]
        pixels = np.full((32, 32, 3), rgb, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number:02d}.png")
        (tmp_path / "images" / f"{number:02d}.txt").write_text(f"a {color} picture")
    pack(RunConfig(str(tmp_path / "images"), image_size=32), tmp_path / "packed")
    settings = {"family": "mlp", "size": "small", "sizes": "small", "image-sizes": "32", "batch-size": "4"}
    settings |= {"matrix": "256", "looks": "2", "minutes": "1", "speed-share": "0.3"}
    told = [word for name, value in settings.items() for word in (f"--{name}", value)]
    result = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "packed", "--output", tmp_path / "out", *told],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    row = json.loads((tmp_path / "out" / "speed.json").read_text())[0]
    assert (row["image_size"], row["size"], row["precision"]) == (32, "small", "float32")
    assert row["images_per_second"] > 1
    assert 0 < row["share_of_peak"] < 1
    looks = [json.loads(line) for line in (tmp_path / "out" / "training.jsonl").read_text().splitlines()]
    assert len(looks) == 3
    assert looks[-1]["images"] == 4 * looks[-1]["steps"] > 0
    last = tmp_path / "out" / "preset-03"
    assert max(file.stat().st_size for file in last.iterdir()) < 16e6
    gan = TextToImageGAN.from_preset(last)
    assert gan.generate("a red picture").shape == (1, 32, 32, 3)
    with Image.open(tmp_path / "out" / "grid-03.png") as grid:
        assert grid.size == (8 * 32, 2 * 32)
