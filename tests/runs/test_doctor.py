"""The doctor: every fact is there or null, whatever the machine lacks, and one line of advice fits the facts."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import kagglehub.cache
import pytest
from command_line import Result, keras_t2i
from kagglehub.handle import parse_model_handle
from keras.src.utils import file_utils

from keras_t2i import TextToImageGAN, runs
from keras_t2i.core import machine
from keras_t2i.image_features.mobilenet_v2 import imagenet_arrays
from keras_t2i.runs.doctor import ABSENT, REFERENCE_STEP_SECONDS, advice
from keras_t2i.runs.probe import probe

ROOT = Path(__file__).resolve().parents[2]
NOTHING = "Nothing stands out."
NUMBER, TEXT = (int, float), (str, type(None))
TYPES: dict[str, Any] = {
    "versions": dict.fromkeys(
        ("python", "keras_t2i", "keras", "keras-nlp", "keras-hub", "tensorflow", "jax", "numpy", "ai-edge-litert"), TEXT
    ),
    "platform": str,
    "backend": TEXT,
    "devices": (list, type(None)),
    "problem": TEXT,
    "gpus": (list, type(None)),
    "memory": dict.fromkeys(("total_megabytes", "free_megabytes"), (int, type(None))),
    "processor": {
        "name": TEXT,
        "instruction_sets": dict.fromkeys(machine.INSTRUCTION_SETS, (bool, type(None))),
        "cores": (int, type(None)),
        "load_per_core": (*NUMBER, type(None)),
    },
    "environment": dict.fromkeys(
        (
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
            "TF_ENABLE_ONEDNN_OPTS",
            "ONEDNN_MAX_CPU_ISA",
            "XLA_FLAGS",
            "CUDA_VISIBLE_DEVICES",
        ),
        TEXT,
    ),
    "cache": {"directory": TEXT, "megabytes": (*NUMBER, type(None)), "writable": (bool, type(None))},
    "pretrained": {name: {"path": TEXT, "status": str} for name in ("mobilenet_v2", "clip")},
    "speed": {
        "step_seconds": (*NUMBER, type(None)),
        "reference_step_seconds": float,
        "ratio": (*NUMBER, type(None)),
    },
    "advice": str,
}


def check_types(found: Any, expected: Any, where: str = "") -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name, value in expected.items():
            check_types(found[name], value, f"{where}/{name}")
    else:
        assert isinstance(found, expected), f"{where} is {found!r}"


def started(*arguments: str, **environment: str | None) -> Result:
    """The command in a process of its own, with variables set, or unset where they are `None`."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "keras_t2i", "doctor", *arguments]
    done = subprocess.run(
        command,
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Result:
    cache = tmp_path_factory.mktemp("doctor") / "cache"
    (cache / "keras_t2i" / "features").mkdir(parents=True)
    (cache / "keras_t2i" / "features" / "one.array").write_bytes(bytes(1_234_000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        return keras_t2i("doctor")


def test_stdout_is_json_with_every_key(told: Result) -> None:
    assert told.code == 0
    check_types(told.json, TYPES)


def test_what_this_machine_has_is_found(told: Result) -> None:
    facts = told.json
    assert facts["problem"] is None
    assert facts["versions"]["tensorflow"].startswith("2.")
    assert facts["backend"] == "tensorflow"
    assert facts["devices"]
    assert facts["processor"]["cores"] >= 1
    assert any(facts["processor"]["instruction_sets"].values())
    assert 0 < facts["memory"]["free_megabytes"] <= facts["memory"]["total_megabytes"]
    assert facts["cache"]["megabytes"] == 1.2
    assert facts["cache"]["writable"] is True


def test_a_step_is_timed_beside_the_readmes_machine(told: Result) -> None:
    speed = told.json["speed"]
    assert speed["reference_step_seconds"] == REFERENCE_STEP_SECONDS == 0.6
    assert 0 < speed["step_seconds"] < 60
    assert speed["ratio"] == pytest.approx(speed["step_seconds"] / 0.6, abs=0.006)


def test_people_get_a_few_lines_on_stderr(told: Result) -> None:
    lines = told.err.splitlines()
    assert 5 <= len(lines) <= 15
    assert lines[-1] == f"Advice      {told.json['advice']}"
    assert "a training step" in told.err


def test_without_speed_no_step_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    monkeypatch.setattr(TextToImageGAN, "train_on_batch", lambda *_, **__: steps.append(1))
    with redirect_stdout(io.StringIO()):
        found = list(probe(speed=False))
    assert [list(one) for one in found] == [["backend"], ["devices"]]
    assert not steps
    assert next(iter(list(probe(speed=True))[-1])) == "step_seconds"
    assert len(steps) > 3


def test_a_machine_that_lacks_things_is_told_about(tmp_path: Path) -> None:
    """No HOME, a cache where no folder can be, a backend that is not installed."""
    (tmp_path / "file").write_text("in the way")
    done = started(
        "--no-speed", HOME=None, XDG_CACHE_HOME=str(tmp_path / "file" / "cache"), KERAS_BACKEND="jax_of_another_house"
    )
    assert done.code == 0, done.err
    facts = done.json
    check_types(facts, TYPES)
    assert facts["cache"]["writable"] is False
    assert facts["cache"]["megabytes"] == 0
    assert (facts["backend"], facts["devices"]) == (None, None)
    assert (facts["speed"]["step_seconds"], facts["speed"]["ratio"]) == (None, None)
    assert "jax_of_another_house" in facts["problem"]
    assert facts["advice"].endswith(facts["problem"])
    assert "Traceback" not in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="processes do not end by signals there")
def test_a_backend_that_ends_its_process_is_a_finding(tmp_path: Path) -> None:
    """As TensorFlow does where the processor lacks what it was compiled for."""
    (tmp_path / "keras.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    done = started(PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert done.code == 0, done.err
    assert done.json["problem"] == "the process of Keras was stopped by SIGILL"
    assert done.json["speed"]["step_seconds"] is None


def test_a_system_that_tells_nothing_gives_nulls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise OSError("not on this system")

    for name in ("_CPUINFO", "_MEMINFO"):
        monkeypatch.setattr(machine, name, tmp_path / "absent")
    for name in ("_output_of", "_memory", "_processor", "_instruction_sets", "cores"):
        monkeypatch.setattr(machine, name, refuses)
    monkeypatch.setattr(os, "getloadavg", refuses)
    monkeypatch.setattr(subprocess, "run", refuses)
    facts = runs.doctor(speed=False)
    check_types(facts, TYPES)
    json.dumps(facts)
    assert set(facts["memory"].values()) == set(facts["processor"]["instruction_sets"].values()) == {None}
    assert facts["processor"]["cores"] is facts["processor"]["load_per_core"] is None
    assert facts["problem"] == "OSError: not on this system"


def put_preset(name: str, version: int) -> tuple[Path, Any, Any]:
    """Puts a preset of CLIP where Kaggle's client would; returns its folder, the client's cache and its handle."""
    cache, handle = kagglehub.cache.Cache(), parse_model_handle(f"keras/clip/keras/{name}/{version}")
    file = Path(cache.get_path(handle, "model.weights.h5"))
    file.parent.mkdir(parents=True)
    file.touch()
    cache.mark_as_complete(handle, "model.weights.h5")
    return file.parent, cache, handle


def test_a_clip_preset_is_found_where_kaggle_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "", ""))
    assert runs.doctor(speed=False)["pretrained"]["clip"] == {"path": None, "status": ABSENT}
    large, _, _ = put_preset("clip_vit_large_patch14", 3)
    small, cache, handle = put_preset("clip_vit_base_patch32", 2)
    assert runs.doctor(speed=False)["pretrained"]["clip"] == {"path": str(small), "status": "here"}
    cache.mark_as_incomplete(handle, "model.weights.h5")
    assert runs.doctor(speed=False)["pretrained"]["clip"]["path"] == str(large), "a download that has not ended"


def test_mobilenet_is_found_where_keras_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "", ""))
    asked: list[str] = []

    def get_file(name: str, origin: str, cache_subdir: str) -> str:
        asked.append(os.path.join(cache_subdir, name))
        raise OSError("no network in tests")

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(ConnectionError):
        imagenet_arrays()
    weights = tmp_path / asked[0]
    assert runs.doctor(speed=False)["pretrained"]["mobilenet_v2"]["path"] != str(weights)
    weights.parent.mkdir()
    weights.touch()
    assert runs.doctor(speed=False)["pretrained"]["mobilenet_v2"] == {"path": str(weights), "status": "here"}


QUIET: dict[str, Any] = {
    "platform": "Linux-6.1-x86_64",
    "backend": "tensorflow",
    "devices": ["cpu:0"],
    "problem": None,
    "gpus": [],
    "memory": {"total_megabytes": 16000, "free_megabytes": 9000},
    "processor": {
        "name": "A processor",
        "instruction_sets": dict.fromkeys(machine.INSTRUCTION_SETS, True) | {"neon": False},
        "cores": 8,
        "load_per_core": 0.2,
    },
    "environment": dict.fromkeys(TYPES["environment"]),
}
OLD = {"processor": {"instruction_sets": {"avx2": True, "avx512f": False}}}
OLDER = {"processor": {"instruction_sets": {"avx2": False, "avx512f": False}}}
UNKNOWN: dict[str, Any] = {
    "backend": None,
    "devices": None,
    "gpus": None,
    "memory": {"total_megabytes": None, "free_megabytes": None},
    "processor": {
        "name": None,
        "instruction_sets": dict.fromkeys(machine.INSTRUCTION_SETS),
        "cores": None,
        "load_per_core": None,
    },
}
GPU = {"gpus": ["NVIDIA L4"]}
BUSY = {"processor": {"load_per_core": 1.5}}
FULL = {"memory": {"free_megabytes": 3999}}
ONE_THREAD = {"environment": {"TF_NUM_INTRAOP_THREADS": "1"}}


def facts_with(*changes: dict[str, Any]) -> dict[str, Any]:
    facts = copy.deepcopy(QUIET)

    def merge(into: dict[str, Any], change: dict[str, Any]) -> None:
        for name, value in change.items():
            if isinstance(value, dict):
                merge(into[name], value)
            else:
                into[name] = value

    for change in changes:
        merge(facts, change)
    return facts


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        pytest.param([], NOTHING, id="nothing"),
        pytest.param([UNKNOWN], NOTHING, id="unknown"),
        pytest.param([UNKNOWN, {"problem": "no TensorFlow"}], "solved: no TensorFlow", id="broken"),
        pytest.param([GPU], "tensorflow[and-cuda]", id="gpu"),
        pytest.param([GPU], "KERAS_BACKEND=jax", id="gpu, another backend"),
        pytest.param([GPU, {"platform": "Windows-11"}], "WSL 2", id="gpu on windows"),
        pytest.param([GPU, {"backend": "jax"}], "jax does not see", id="gpu of jax"),
        pytest.param([GPU, {"environment": {"CUDA_VISIBLE_DEVICES": ""}}], "hides it", id="gpu hidden"),
        pytest.param([GPU, {"devices": ["gpu:0"]}, OLDER, BUSY, ONE_THREAD], NOTHING, id="gpu in use"),
        pytest.param([GPU, {"devices": ["gpu:0"]}, FULL], "4.0 GB of memory", id="gpu in use, little memory"),
        pytest.param([FULL, BUSY], "memory are free", id="memory"),
        pytest.param([BUSY, ONE_THREAD], "1.5 a core", id="busy"),
        pytest.param([ONE_THREAD, OLDER], "TF_NUM_INTRAOP_THREADS=1", id="threads"),
        pytest.param([{"environment": {"TF_NUM_INTRAOP_THREADS": "8"}}], NOTHING, id="as many threads"),
        pytest.param([{"environment": {"TF_NUM_INTRAOP_THREADS": "0"}}], NOTHING, id="threads by default"),
        pytest.param([{"environment": {"TF_NUM_INTRAOP_THREADS": "few"}}], NOTHING, id="threads in words"),
        pytest.param([ONE_THREAD, {"backend": "jax"}], NOTHING, id="threads of another backend"),
        pytest.param([OLDER], "no AVX2", id="no avx2"),
        pytest.param([OLD], "no AVX-512", id="no avx512"),
        pytest.param([OLDER, {"processor": {"instruction_sets": {"neon": True}}}], NOTHING, id="arm"),
    ],
)
def test_advice_is_one_line_about_what_matters_most(changes: list[dict[str, Any]], part: str) -> None:
    line = advice(facts_with(*changes))
    assert part in line
    assert "\n" not in line
    assert len(line) < 200


def test_instruction_sets_and_memory_are_read_as_linux_writes_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal:    8000000 kB\nMemFree:  10 kB\nMemAvailable:    1000000 kB\n")
    assert machine.memory() == (8192, 1024)
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd aes\n")
    assert machine.instruction_sets() == dict.fromkeys(machine.INSTRUCTION_SETS, False) | {"neon": True}
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Some Processor\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_tile\n"
    )
    assert machine.processor() == "Some Processor"
    assert machine.instruction_sets() == dict.fromkeys(machine.INSTRUCTION_SETS, True) | {
        "avx512_bf16": False,
        "neon": False,
    }


def test_memory_and_instruction_sets_are_read_as_macos_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "vm_stat": "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:     1000.\n"
        "Pages active:    9.\nPages inactive:    2000.\nPages speculative:   500.\n",
        "hw.memsize": "17179869184\n",
        "machdep.cpu.leaf7_features": "SMEP AVX2 AVX512F AVX512VNNI\n",
        "machdep.cpu.brand_string": "Some Processor\n",
    }
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(machine, "_output_of", lambda *command: answers[command[-1]])
    assert machine.memory() == (17179, 57)
    assert machine.processor() == "Some Processor"
    found = machine.instruction_sets()
    assert (found["avx2"], found["avx512_vnni"], found["neon"]) == (True, True, False)
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert machine.instruction_sets() == dict.fromkeys(machine.INSTRUCTION_SETS, False) | {"neon": True}


def test_graphics_cards_are_named_without_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "GPU 0: NVIDIA L4 (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-2)\nGPU 1: NVIDIA L4 (UUID: GPU-3)\n"
    monkeypatch.setattr(machine, "_output_of", lambda *_: told)
    assert machine.gpus() == ["NVIDIA L4", "NVIDIA L4"]
