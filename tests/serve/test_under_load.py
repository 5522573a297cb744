"""The benchmark of a crowded, attacked, changing and stopping server: a part of it each time, all of it when slow."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_t2i.models.gan import TextToImageGAN

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "benchmarks"
SLOW = (
    "says nothing", "half a request", "byte by byte", "now and then", "never comes", "that stop", "idle", "not read",
)  # fmt: skip


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    return runpy.run_path(str(FOLDER / "server_under_load.py"))


@pytest.fixture(scope="module")
def models(served_gan: TextToImageGAN, model_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two that draw different images."""
    other = tmp_path_factory.mktemp("other") / "model"
    before = served_gan.ema_generator.get_weights()
    random = np.random.default_rng(1)
    served_gan.ema_generator.set_weights([weight * random.uniform(0.5, 1.5, weight.shape) for weight in before])
    served_gan.export(other)
    served_gan.ema_generator.set_weights(before)
    return [model_tree / "12", other]


def test_hostile_requests_end_and_the_next_is_answered_right(script: dict[str, Any], models: list[Path]) -> None:
    kinds = [name for name in script["KINDS"] if not any(part in name for part in SLOW)]
    assert len(kinds) > 60
    rows, failures = script["hostile"](models[0], kinds)
    assert failures == []
    assert sum(row["kinds"] for row in rows[:-1]) == len(kinds)


def test_versions_change_and_bad_ones_come_while_clients_ask(script: dict[str, Any], models: list[Path]) -> None:
    rows, failures = script["reload"](models, 2, ["half of the weights"])
    assert failures == []
    assert rows[0]["requests"] > 0


@pytest.mark.slow
def test_all_of_it(script: dict[str, Any], models: list[Path]) -> None:
    found = {
        "clients": script["clients"](models[0], [1, 4, 16, 64], 2000),
        "hostile": script["hostile"](models[0], list(script["KINDS"])),
        "reload": script["reload"](models, 20, list(script["BAD"])),
        "stop": script["stop"](models[0], 20),
    }
    assert [f"{name}: {each}" for name, (_, failures) in found.items() for each in failures] == []
