"""The benchmark of damaged checkpoints, a few tries of each kind."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "damaged_checkpoints.py"


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_gone_on_from() -> None:
    found = runpy.run_path(str(SCRIPT))["measure"](30, seed=1)
    assert {name: sum(right) for name, right in found.items()} == dict.fromkeys(found, 6)
    assert len(found) == 5
