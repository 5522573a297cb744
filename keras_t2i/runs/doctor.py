"""What this machine trains with, how fast, and what would make it faster.

Nothing here raises: what cannot be found is `None`, and a backend that does not start is a finding.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras_t2i
from keras_t2i.core import machine
from keras_t2i.core.cache import cache_directory
from keras_t2i.core.files import bytes_below
from keras_t2i.core.machine import or_none

__all__ = ["ABSENT", "REFERENCE_STEP_SECONDS", "advice", "doctor"]

REFERENCE_STEP_SECONDS = 0.6
"""A training step of `compact` at 64 pixels, batches of 32, on the two cores of `examples/results/photos.md`."""
ABSENT = "not here; fetched when first needed"

_PACKAGES = ("keras", "keras-nlp", "keras-hub", "tensorflow", "jax", "numpy", "ai-edge-litert")
_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA",
    "XLA_FLAGS",
    "CUDA_VISIBLE_DEVICES",
)
_MEGABYTE = 10**6
_LITTLE_MEMORY = 4000
_PROBE_SECONDS = 180
_MOBILE_NET = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
_CLIP = "clip_vit_base_patch32"


def doctor(speed: bool = True, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Looks at this machine, without the network.

    Args:
        speed: Whether to time training steps as well.
        say: What to call with each line for people.

    Returns:
        `versions` by package; the `platform`; the `backend` of Keras, the `devices` that it sees, and the `problem` it
        has, if any; `gpus` in the machine, seen or not; `memory`, `processor`, `environment` (settings of threads and
        devices), `cache`, and `pretrained` networks at hand; `speed`, whose `step_seconds` are what
        `keras_t2i.runs.probe` measures, beside those of the README's machine; and one line of `advice`.
    """
    if speed:
        say("Training a few steps ...")
    load = machine.load_per_core()  # Before we are the load ourselves.
    probed = _probe_apart(speed)
    step = probed.get("step_seconds")
    facts = {
        "versions": _versions(),
        "platform": platform.platform(),
        "backend": probed.get("backend"),
        "devices": probed.get("devices"),
        "problem": probed.get("problem"),
        "gpus": or_none(machine.gpus),
        "memory": dict(zip(("total_megabytes", "free_megabytes"), machine.memory(), strict=True)),
        "processor": {
            "name": machine.processor(),
            "instruction_sets": machine.instruction_sets(),
            "cores": or_none(machine.cores),
            "load_per_core": None if load is None else round(load, 2),
        },
        "environment": {name: os.environ.get(name) for name in _SETTINGS},
        "cache": _cache(),
        "pretrained": {"mobilenet_v2": _at_hand(_mobile_net), "clip": _at_hand(_clip)},
        "speed": {
            "step_seconds": None if step is None else round(step, 4),
            "reference_step_seconds": REFERENCE_STEP_SECONDS,
            "ratio": None if step is None else round(step / REFERENCE_STEP_SECONDS, 2),
        },
    }
    facts["advice"] = advice(facts)
    for line in _lines(facts):
        say(line)
    return facts


# -- advice ------------------------------------------------------------------------------------------------------------


def advice(facts: Mapping[str, Any]) -> str:
    """One line: what would make training faster here, by what matters most.

    Args:
        facts: What `doctor` has found.
    """
    checks = [_problem_advice, _gpu_advice, _memory_advice]
    if not _computes_on_a_gpu(facts):
        checks += [_load_advice, _thread_advice, _instruction_advice]
    found = filter(None, (check(facts) for check in checks))
    return next(found, "Nothing stands out.")


def _computes_on_a_gpu(facts: Mapping[str, Any]) -> bool:
    return any(not device.startswith("cpu") for device in facts["devices"] or [])


def _problem_advice(facts: Mapping[str, Any]) -> str | None:
    problem = facts["problem"]
    return problem and f"Nothing can be trained here before this is solved: {problem}"


def _gpu_advice(facts: Mapping[str, Any]) -> str | None:
    if not facts["gpus"] or _computes_on_a_gpu(facts):
        return None
    hidden = facts["environment"]["CUDA_VISIBLE_DEVICES"]
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"There is a GPU, and CUDA_VISIBLE_DEVICES={hidden!r} hides it: unset that."
    if facts["backend"] != "tensorflow":
        return f"There is a GPU that {facts['backend'] or 'Keras'} does not see: install it for CUDA."
    if facts["platform"].startswith("Windows"):
        return "There is a GPU, which TensorFlow does not see on Windows: install it with CUDA within WSL 2."
    return (
        "There is a GPU that TensorFlow does not see: pip install 'tensorflow[and-cuda]', or use the jax backend "
        "(KERAS_BACKEND=jax)."
    )


def _memory_advice(facts: Mapping[str, Any]) -> str | None:
    free = facts["memory"]["free_megabytes"]
    if free is None or free >= _LITTLE_MEMORY:
        return None
    return f"Only {free / 1000:.1f} GB of memory are free: close other programs, or train with smaller batches."


def _load_advice(facts: Mapping[str, Any]) -> str | None:
    load = facts["processor"]["load_per_core"]
    if load is None or load <= 1:
        return None
    return f"Other processes are busy, {load:.1f} a core in the last minute: training is faster without them."


def _thread_advice(facts: Mapping[str, Any]) -> str | None:
    # OMP_NUM_THREADS does not limit TensorFlow, whose packages compute in threads of their own.
    cores, threads = facts["processor"]["cores"], facts["environment"]["TF_NUM_INTRAOP_THREADS"] or ""
    if facts["backend"] != "tensorflow" or not threads.isdecimal() or not 0 < int(threads) < (cores or 0):
        return None
    return f"TF_NUM_INTRAOP_THREADS={threads} leaves cores idle, for there are {cores}: unset it."


def _instruction_advice(facts: Mapping[str, Any]) -> str | None:
    sets = facts["processor"]["instruction_sets"]
    if sets["neon"]:
        return None
    for name, called in (("avx2", "AVX2"), ("avx512f", "AVX-512")):
        if sets[name] is False:
            return f"The processor has no {called}: one that has it, or a GPU, would train faster."
    return None


# -- what is installed, and what is at hand ----------------------------------------------------------------------------


def _versions() -> dict[str, str | None]:
    installed = {name: or_none(importlib.metadata.version, name) for name in _PACKAGES}
    return {"python": platform.python_version(), "keras_t2i": keras_t2i.__version__, **installed}


def _cache() -> dict[str, Any]:
    directory = or_none(cache_directory)
    if directory is None:
        return {"directory": None, "megabytes": None, "writable": None}
    return {
        "directory": str(directory),
        "megabytes": or_none(_megabytes, directory),
        "writable": or_none(_can_be_written, directory),
    }


def _megabytes(directory: Path) -> float:
    return round(bytes_below(directory) / _MEGABYTE, 1)


def _can_be_written(directory: Path) -> bool:
    """Whether files can be made in a directory, or it itself where it is not there yet."""
    place = next(path for path in (directory, *directory.parents) if os.path.exists(path))
    try:
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def _at_hand(find: Callable[[], Path | None]) -> dict[str, str | None]:
    path = or_none(find)
    return {"path": None if path is None else str(path), "status": ABSENT if path is None else "here"}


def _mobile_net() -> Path | None:
    """Where Keras keeps the weights that `keras_t2i.image_features` asks it for."""
    # Keras turns to a temporary directory where its own cannot be written.
    homes = (os.environ.get("KERAS_HOME") or "~/.keras", "/tmp/.keras", os.path.join(tempfile.gettempdir(), ".keras"))
    files = (Path(os.path.expanduser(home), "models", _MOBILE_NET) for home in homes)
    return next((file for file in files if file.is_file()), None)


def _clip() -> Path | None:
    """A CLIP preset in the cache of Kaggle's client, which KerasHub fetches presets with; the smallest, if it is there.

    A file counts where the client has marked it as complete.
    """
    cache = Path(os.environ.get("KAGGLEHUB_CACHE") or os.path.expanduser("~/.cache/kagglehub"))
    presets = cache / "models" / "keras" / "clip" / "keras"
    marks = sorted(presets.glob("*/.complete/*/model.weights.*.complete"), reverse=True)
    marks.sort(key=lambda mark: mark.parents[2].name != _CLIP)
    found = (mark.parents[2] / mark.parent.name / mark.name.removesuffix(".complete") for mark in marks)
    return next((file.parent for file in found if file.is_file()), None)


# -- the backend, in a process of its own ------------------------------------------------------------------------------


def _probe_apart(speed: bool) -> dict[str, Any]:
    """What `keras_t2i.runs.probe` finds in a process of its own, and the `problem` of that, if any.

    TensorFlow ends the process that imports it where the processor lacks what it was compiled for, and drivers can
    hang.
    """
    # It finds what this process finds, and does not look in the working directory (-P) where this one does not.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    # A training run on the same device may go on.
    environment = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", **environment}
    command, printed = [sys.executable, "-P", "-m", "keras_t2i.runs.probe", *(["--speed"] if speed else [])], ""
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=_PROBE_SECONDS
        )
        printed, problem = done.stdout, _problem(done.returncode, done.stderr)
    except subprocess.TimeoutExpired as error:
        out: str | bytes = error.stdout or ""  # Which of the two depends on the system.
        printed = out if isinstance(out, str) else out.decode(errors="replace")
        problem = f"no answer from Keras in {_PROBE_SECONDS} seconds"
    except Exception as error:  # No process can be started, or what it printed not be read.
        problem = f"{type(error).__name__}: {error}"
    found: dict[str, Any] = {"problem": problem}
    for line in printed.splitlines():
        with contextlib.suppress(ValueError, TypeError):  # Libraries print lines of their own.
            found |= json.loads(line)
    return found


def _problem(code: int, stderr: str) -> str | None:
    """Why a process failed, in one line; `None` where it did not."""
    if code == 0:
        return None
    if code < 0:
        return f"the process of Keras was stopped by {or_none(lambda: signal.Signals(-code).name) or -code}"
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    # TensorFlow puts lines of advice behind the one that tells what happened.
    errors = [line for line in lines if re.match(r"[\w.]*Error: .", line)]
    return [f"the process of Keras ended with exit status {code}", *lines[-1:], *errors][-1][:300]


# -- for people --------------------------------------------------------------------------------------------------------


def _lines(facts: Mapping[str, Any]) -> list[str]:
    versions, processor, memory, cache = (facts[name] for name in ("versions", "processor", "memory", "cache"))
    sets = ", ".join(name for name, is_there in processor["instruction_sets"].items() if is_there) or "none known"
    mobile_net, clip = (facts["pretrained"][name]["status"] for name in ("mobilenet_v2", "clip"))
    places = {True: "can be written", False: "cannot be written", None: "unknown"}
    lines = [
        f"Software    keras_t2i {versions['keras_t2i']}, Keras {versions['keras']}, Python {versions['python']}",
        f"Backend     {facts['backend']} {versions.get(facts['backend'] or '') or ''}".rstrip(),
        f"Devices     {', '.join(facts['devices'] or []) or 'unknown'}",
        f"Processor   {processor['name']}, {processor['cores']} cores; {sets}",
        f"Memory      {memory['free_megabytes']} of {memory['total_megabytes']} MB free",
        f"Cache       {cache['directory']}, {cache['megabytes']} MB, {places[cache['writable']]}",
        f"MobileNetV2 {mobile_net}",
        f"CLIP        {clip}",
    ]
    seconds = facts["speed"]["step_seconds"]
    if seconds is not None:
        lines.append(f"Speed       {seconds:.3f} s a training step; {REFERENCE_STEP_SECONDS} s on the README's machine")
    return [*lines, f"Advice      {facts['advice']}"]
