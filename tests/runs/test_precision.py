"""Which precision a run computes in: what is asked for, what it was begun in, or what suits the machine."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import pytest

from keras_t2i import TextToImageGAN
from keras_t2i.core import machine
from keras_t2i.core.backend import has_bfloat16
from keras_t2i.runs import RunConfig, finetune, train
from keras_t2i.runs import prepare as preparing
from keras_t2i.runs.training import _to_agree_on

CONFIG = RunConfig("shapes:16", "mlp", image_size=32, batch_size=8)


def kept(run: Path) -> bool | None:
    return json.loads((run / "config.json").read_text())["mixed_precision"]


@pytest.mark.parametrize(
    ("settings", "may"),
    [
        ({}, True),
        ({"ONEDNN_MAX_CPU_ISA": "avx512_core_bf16"}, True),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, False),
        ({"TF_ENABLE_ONEDNN_OPTS": "0"}, False),
    ],
)
def test_a_processor_computes_in_bfloat16_where_it_has_it_and_may_use_it(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], may: bool
) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert has_bfloat16() is (may and bool(machine.instruction_sets()["avx512_bf16"]))
    for found in (True, False, None):
        monkeypatch.setattr(machine, "instruction_sets", lambda found=found: {"avx512_bf16": found})
        assert has_bfloat16() is (may and found is True)


def test_other_processors_compute_in_float32(tmp_path: Path) -> None:
    assert not has_bfloat16()
    train(CONFIG, tmp_path / "run", epochs=1, verbose=0)
    assert kept(tmp_path / "run") is None
    assert computed(CONFIG, tmp_path / "run") == {"float32"}


def test_a_run_of_before_goes_on_in_float32(tmp_path: Path) -> None:
    """It was a choice of two then: `false` stood there."""
    train(CONFIG, tmp_path / "source", epochs=1, verbose=0)
    tune = partial(finetune, str(tmp_path / "source"), "shapes:16", tmp_path / "run", batch_size=8, verbose=0)
    first = tune(epochs=1)
    file = tmp_path / "run" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mixed_precision": False}))
    assert tune(epochs=2)["steps"] == 2 * first["steps"]
    assert kept(tmp_path / "run") is False


def test_where_that_is_faster_a_run_is_begun_in_bfloat16_and_goes_on_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(CONFIG, tmp_path / "before", epochs=1, verbose=0)
    assert "bfloat16" not in capsys.readouterr().err
    monkeypatch.setattr(preparing, "has_bfloat16", lambda: True)
    first = train(CONFIG, tmp_path / "run", epochs=1, verbose=0)
    assert "Computed in bfloat16" in capsys.readouterr().err
    assert kept(tmp_path / "run") is True
    assert computed(CONFIG, tmp_path / "run") == {"bfloat16"}
    assert train(replace(CONFIG, mixed_precision=False), tmp_path / "asked", epochs=1, verbose=0)["steps"]
    assert kept(tmp_path / "asked") is False
    assert computed(CONFIG, tmp_path / "before") == computed(CONFIG, tmp_path / "asked") == {"float32"}
    monkeypatch.setattr(preparing, "has_bfloat16", lambda: False)
    assert computed(CONFIG, tmp_path / "run") == {"bfloat16"}
    second = train(CONFIG, tmp_path / "run", epochs=2, verbose=0)
    assert second["steps"] == 2 * first["steps"]


def test_what_was_trained_in_bfloat16_is_loaded_in_float32_and_no_policy_is_left_behind(tmp_path: Path) -> None:
    """Else images would depend on where they are drawn, and layers that a user makes afterwards on what was trained."""
    train(replace(CONFIG, mixed_precision=True), tmp_path / "run", epochs=1, verbose=0)
    assert keras.config.dtype_policy().name == "float32"
    loaded = TextToImageGAN.from_preset(tmp_path / "run")
    networks = (loaded.generator, loaded.ema_generator, loaded.discriminator)
    assert {layer.compute_dtype for network in networks for layer in network._flatten_layers()} == {"float32"}


def test_fine_tuning_computes_in_bfloat16_too_and_resumes_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(CONFIG, tmp_path / "source", epochs=1, verbose=0)
    monkeypatch.setattr(preparing, "has_bfloat16", lambda: True)
    tune = partial(finetune, str(tmp_path / "source"), "shapes:16", batch_size=8, verbose=0)
    for strategy in ("full", "lora"):
        run = tmp_path / strategy
        first = tune(run, strategy=strategy, epochs=1)
        assert kept(run) is True
        assert computed(RunConfig.read(run), run) == {"bfloat16"}
        assert tune(run, strategy=strategy, epochs=2)["steps"] == 2 * first["steps"]
        assert TextToImageGAN.from_preset(run).generate(["a red star"], seed=1).std() > 0


def test_workers_on_machines_that_differ_in_it_do_not_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {}
    for found in (True, False):
        monkeypatch.setattr(preparing, "has_bfloat16", lambda found=found: found)
        told[found] = [_to_agree_on(replace(CONFIG, mixed_precision=asked), tmp_path) for asked in (None, True, False)]
    same = [here == there for here, there in zip(told[True], told[False], strict=True)]
    assert same == [False, True, True]
    assert told[True][0]["mixed_precision"] is True


def test_workers_agree_on_what_a_run_was_begun_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(replace(CONFIG, mixed_precision=True), tmp_path / "run", epochs=1, verbose=0)
    told = []
    for found in (True, False):
        monkeypatch.setattr(preparing, "has_bfloat16", lambda found=found: found)
        told.append(_to_agree_on(CONFIG, tmp_path / "run"))
    assert told[0] == told[1]
    assert told[0]["mixed_precision"] is True


def computed(config: RunConfig, run: Path) -> set[str]:
    """What the networks of a run that goes on compute in."""
    model = preparing.prepare(config, run).model
    return {network.compute_dtype for network in (model.generator, model.ema_generator, model.discriminator)}
