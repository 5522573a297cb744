"""The benchmark that kills training runs: each goes on as if it had not been killed, to the bit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "killed_runs.py"
ROW = re.compile(r"^\| (\w+)" + r" \| (\d+)" * 7 + r" \|$", re.MULTILINE)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


def killed(families: str, kills: int) -> None:
    command = [sys.executable, str(SCRIPT), "--families", families, "--kills", str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = {row[0]: [int(number) for number in row[1:]] for row in ROW.findall(done.stdout)}
    assert list(rows) == families.split(",")
    for of_all, in_saves, between, before, states, lost, wrong in rows.values():
        assert of_all == in_saves + between + before == kills
        assert in_saves >= 1
        assert states > kills
        assert lost <= 2  # Steps from one checkpoint to the next.
        assert wrong == 0


def test_three_kills_change_nothing() -> None:
    killed("mlp", 3)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_twelve_kills_of_each_change_nothing() -> None:
    killed("mlp,dcgan,compact,projected,lora", 12)
