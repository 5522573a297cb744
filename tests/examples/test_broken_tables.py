"""The benchmark of captions written badly: each folder ends in a report of every row, or in one line."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "broken_tables.py"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links are made")


@pytest.mark.parametrize("number", [40, pytest.param(532, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_badly_written_captions_are_used_or_named(number: int, tmp_path: Path) -> None:
    found = runpy.run_path(str(SCRIPT))["measure"](number, tmp_path, seed=1)
    assert [result for result in found if result["wrong"]] == []
    assert len(found) == number
    assert len({result["trouble"] for result in found}) == 19
    reports = [result for result in found if result["ended"] == "report"]
    assert number / 2 < len(reports) < number
    assert sum(result["skipped"] for result in reports) > number / 4
    assert sum(result["used"] for result in reports) > number
