"""The benchmark of warnings: what it measures beside them, what it counts, and one way to train."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "alarms.py"
alarms = SimpleNamespace(**runpy.run_path(str(SCRIPT)))

HEALTHY = {"spread": 0.9, "within": 0.8, "known": 0.5, "copied": 0.01, "warnings": ["Texture: 5.0 dB too little."]}


@pytest.mark.parametrize(
    ("fault", "shown", "warning"),
    [
        (alarms.COLLAPSE, {"spread": 0.1}, "Collapse: images of"),
        (alarms.COLLAPSE, {"within": 0.1}, "One caption, one picture: images"),
        (alarms.OVERFITTING, {"known": 0.9}, "Overfitting: the discriminator"),
        (alarms.COPIES, {"copied": 0.6}, "Copies: 60 %"),
    ],
)
def test_a_fault_counts_where_it_happened_and_its_own_warning_where_it_did(
    fault: str, shown: dict[str, float], warning: str
) -> None:
    wrong, fine = alarms.Way("wrong", "faces", 1, fault=fault), alarms.Way("fine", "faces", 1)
    told: dict[str, Any] = {**HEALTHY, **shown, "warnings": [warning]}
    silent = {**told, "warnings": HEALTHY["warnings"]}
    cried = {**HEALTHY, "warnings": [warning]}
    assert alarms.as_meant(wrong, told)
    assert not alarms.as_meant(fine, told)
    assert not alarms.as_meant(wrong, HEALTHY)
    assert alarms.as_meant(fine, HEALTHY)
    assert alarms.reached({wrong: [told], fine: [HEALTHY]}, 1)
    assert alarms.reached({wrong: [HEALTHY, told], fine: [told, HEALTHY]}, 1)
    assert not alarms.reached({wrong: [silent], fine: [HEALTHY]}, 1)
    assert not alarms.reached({wrong: [told], fine: [cried]}, 1)
    assert not alarms.reached({wrong: [HEALTHY], fine: [HEALTHY]}, 1)
    row = alarms.table({wrong: [HEALTHY, told]})[-1]
    assert row.startswith(f"| wrong | {fault} | 1 | 1 | 1 |  |")


def test_accuracy_is_that_of_verdicts_which_did_not_set_the_threshold() -> None:
    random = np.random.default_rng(0)
    low, high, same = random.normal(0, 1, 400), random.normal(8, 1, 400), random.normal(0, 1, 400)
    assert alarms.accuracy(high, low) == pytest.approx(1.0, abs=0.02)
    assert alarms.accuracy(low, same) == pytest.approx(0.5, abs=0.1)


def test_copies_lie_nearer_than_other_images_and_one_picture_lies_at_itself() -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    seen, others = alarms.frozen(images[:6]), alarms.frozen(images[6:])
    assert alarms.nearest(alarms.frozen(np.clip(images[:6], 2, 253)), seen).max() < alarms.nearest(others, seen).min()
    assert alarms.apart(others[:1].repeat(6, 0), others[:1].repeat(6, 0)) == 0.0 < alarms.apart(seen, others)


def test_a_run_is_trained_measured_and_not_trained_again(tmp_path: Path) -> None:
    settings = {"image_size": 32, "batch_size": 8, "family": "mlp"}
    way, results = alarms.Way("short", "faces:24", 2, settings), tmp_path / "results.jsonl"
    found = list(alarms.tried(way, 1, 5, results))
    assert [each["seed"] for each in found] == list(range(5, 5 + len(found)))
    assert all(0 <= each["known"] <= 1 and each["spread"] > 0 and each["diversity"] > 0 for each in found)
    before = results.read_bytes()
    assert list(alarms.tried(way, 1, 5, results)) == found
    assert results.read_bytes() == before
