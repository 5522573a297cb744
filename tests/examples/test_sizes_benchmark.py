"""The benchmark of sizes: a row of its table has what its heading names."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "sizes.py"


def test_a_row_says_what_a_size_costs() -> None:
    row = runpy.run_path(str(SCRIPT))["row"]("mlp", 32, "small", 1)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["`mlp`", "32", "small"]
    weights, multiply_adds, exported, step = cells[3:]
    assert re.fullmatch(r"[\d.]+ M, [\d.]+ M", weights)
    assert re.fullmatch(r"\d+ M, \d+ M", multiply_adds)
    assert re.fullmatch(r"[\d.]+ ms, [\d.]+ MB", exported)
    assert re.fullmatch(r"[\d.]+ s", step)
