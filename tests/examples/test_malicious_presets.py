"""The benchmark of presets that mean harm: each attack is there, and each is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "malicious_presets.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def results(output: Path, *options: str) -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, SCRIPT, "--output", output, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((output / "results.json").read_text())


def check(found: list[dict[str, Any]]) -> None:
    for each in found:
        told = f"{each['kind']}, {each['name']}: {each}"
        assert each["there"], told
        assert each["ended"] == "refused", told
        assert not each["ran"], told
        assert each["over"] <= 300, told


def test_a_part_of_the_attacks_is_refused(tmp_path: Path) -> None:
    found = results(tmp_path, "--only", "unsafe setting,NaN in,rank 10^9,a bundle,checkpoint that,five dimensions")
    assert len(found) == 13
    assert {each["layers"] for each in found} == {0}
    check(found)


@pytest.mark.slow
def test_every_attack_is_refused(tmp_path: Path) -> None:
    found = results(tmp_path)
    assert len(found) >= 100
    check(found)
