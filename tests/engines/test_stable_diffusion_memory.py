"""Whether what is counted of a training step of Stable Diffusion is what XLA sets aside for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "stable_diffusion_memory.py"


@pytest.mark.slow
def test_activations_are_counted_within_a_fifth() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(SCRIPT), "--measure", "--first", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    ratios = [float(row.split("|")[-2]) for row in done.stdout.splitlines()[2:]]
    assert len(ratios) == 4
    assert all(0.8 < ratio < 1.2 for ratio in ratios), done.stdout
