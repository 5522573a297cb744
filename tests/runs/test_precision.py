"""Which precision a run computes in: what is asked for, what it was begun in, or what suits the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import pytest

from keras_t2i.core.backend import has_bfloat16
from keras_t2i.runs import RunConfig, finetune, train
from keras_t2i.runs import prepare as preparing

CONFIG = RunConfig("shapes:16", "mlp", image_size=32, batch_size=8)


@pytest.fixture(autouse=True)
def _policy_put_back() -> Iterator[None]:
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def kept(run: Path) -> bool | None:
    return json.loads((run / "config.json").read_text())["mixed_precision"]


def test_a_processor_computes_in_float32(tmp_path: Path) -> None:
    assert not has_bfloat16()
    train(CONFIG, tmp_path / "run", epochs=1, verbose=0)
    assert kept(tmp_path / "run") is None
    assert keras.config.dtype_policy().compute_dtype == "float32"


def test_a_run_of_before_goes_on_in_float32(tmp_path: Path) -> None:
    """It was a choice of two then: `false` stood there."""
    train(CONFIG, tmp_path / "source", epochs=1, verbose=0)
    tune = partial(finetune, str(tmp_path / "source"), "shapes:16", tmp_path / "run", batch_size=8, verbose=0)
    first = tune(epochs=1)
    file = tmp_path / "run" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mixed_precision": False}))
    assert tune(epochs=2)["steps"] == 2 * first["steps"]
    assert kept(tmp_path / "run") is False


def test_where_an_accelerator_is_a_run_is_begun_in_bfloat16_and_goes_on_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(CONFIG, tmp_path / "before", epochs=1, verbose=0)
    monkeypatch.setattr(preparing, "has_bfloat16", lambda: True)
    first = train(CONFIG, tmp_path / "run", epochs=1, verbose=0)
    assert kept(tmp_path / "run") is True
    assert keras.config.dtype_policy().compute_dtype == "bfloat16"
    assert train(replace(CONFIG, mixed_precision=False), tmp_path / "asked", epochs=1, verbose=0)["steps"]
    assert kept(tmp_path / "asked") is False
    keras.config.set_dtype_policy("float32")
    train(CONFIG, tmp_path / "before", epochs=2, verbose=0)
    assert keras.config.dtype_policy().compute_dtype == "float32"
    monkeypatch.setattr(preparing, "has_bfloat16", lambda: False)
    second = train(CONFIG, tmp_path / "run", epochs=2, verbose=0)
    assert second["steps"] == 2 * first["steps"]
    assert keras.config.dtype_policy().compute_dtype == "bfloat16"
