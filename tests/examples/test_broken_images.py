"""The benchmark of damaged images: each is used or named, in time and in memory, the same both times."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "broken_images.py"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")


@pytest.mark.parametrize(
    ("number", "large"), [(25, False), pytest.param(200, True, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_a_damaged_image_is_used_or_named(number: int, large: bool, tmp_path: Path) -> None:
    found = runpy.run_path(str(SCRIPT))["measure"](number, tmp_path, seed=1, large=large)
    assert [result for result in found if result["wrong"]] == []
    assert len(found) == number + 1  # Last, all of them in one folder.
    used = [result["used"] - 1 for result in found[:-1]]
    assert number / 5 < sum(used) < number * 4 / 5  # Damages that all or none survive would measure nothing.
    assert found[-1]["used"] == sum(used) + 1
