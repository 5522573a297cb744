"""A comparison in a directory: every method and seed in a process of its own, one after the other, resumable."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_t2i.compare.methods import METHODS, file_name, method
from keras_t2i.compare.summary import markdown, summarize
from keras_t2i.config import RunConfig
from keras_t2i.strategies import needs_source

__all__ = ["ComparisonConfig", "compare"]

_PARTS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Parts of the budget after each of which a run is measured: early too, where some methods are ahead."""


@dataclass(frozen=True)
class ComparisonConfig:
    """What is compared, in plain values; kept as `config.json` in the comparison's directory.

    Args:
        base: What all runs share: data, image size, batch size and so on. Each method sets its own fields of it;
            `content_features` is for the methods that use some.
        methods: Names in `keras_t2i.compare.METHODS`, or variants of these: see `keras_t2i.compare.methods.method`.
        minutes: Minutes of training each.
        images: Images seen by each, instead of `minutes`.
        num_seeds: Runs of each method, with seeds from 0 on.
        features: Image features to measure in: see `keras_t2i.instruments.instruments_for`.
        judge: Judge of captions, likewise.
        source: A preset or a run for the methods that start from a trained model.
        source_data: What that was trained on, for those of them that need it.

    Raises:
        ValueError: for an unknown method, or unless exactly one of `minutes` and `images` is given.
    """

    base: RunConfig
    methods: tuple[str, ...]
    minutes: float | None = None
    images: int | None = None
    num_seeds: int = 3
    features: str = "auto"
    judge: str = "retriever"
    source: str | None = None
    source_data: str | None = None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.images is None):
            raise ValueError("Say how long each method is trained: pass either `minutes` or `images`.")
        if not self.methods or self.num_seeds < 1:
            raise ValueError(
                f"A comparison needs methods and seeds; got {len(self.methods)} and {self.num_seeds}. "
                f"Methods are: {', '.join(METHODS)}."
            )
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(
                f"Each method is compared once; got {', '.join(self.methods)}. Leave out the repeated ones."
            )
        transferring = [name for name in self.methods if "strategy" in method(name).options]
        if transferring and self.source is None:
            raise ValueError(f"These methods start from a trained model, and none is given: {', '.join(transferring)}.")

    def budget(self, batch_size: int) -> dict[str, float | int]:
        """The limit of a run with batches of that size, as `keras_t2i.training.train` takes it."""
        if self.minutes is not None:
            return {"minutes": self.minutes}
        return {"steps": max(1, (self.images or 0) // batch_size)}


@dataclass(frozen=True)
class Job:
    """One run of one method, as the process that works on it gets it.

    Args:
        config: Fields of a `RunConfig`.
        run_dir: Directory of the run.
        budget: `minutes` or `steps`.
        result: File to write in the end; `None` for a run that others start from, and that is not measured.
        features: As in `ComparisonConfig`.
        judge: As in `ComparisonConfig`.
        moments: Values of the budget at which to draw samples.
        measure_costs: Whether to export the model and to measure what it costs.
    """

    config: dict[str, Any]
    run_dir: str
    budget: dict[str, Any]
    result: str | None = None
    features: str = "auto"
    judge: str = "retriever"
    moments: list[Any] = field(default_factory=list)
    measure_costs: bool = False


def compare(config: ComparisonConfig, output: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Trains and measures every method with every seed, and writes what came out.

    The same call goes on where it was stopped, in the middle of a run if need be; finished runs are not repeated. A
    method that diverges or fails is reported as such and does not stop the others; failed runs are tried again by the
    next call.

    Args:
        config: What to compare.
        output: Directory; gets `comparison.json`, `comparison.md`, `report.html` and the runs.
        say: Told what is going on, a line at a time.

    Returns:
        `finished`, `diverged` and `failed` (numbers of runs), the `verdict` in sentences, and where everything is.

    Raises:
        ValueError: if the directory holds another comparison, or the data or the features cannot be read.
        ImportError: if the packages that draw the report are not installed.
    """
    from keras_t2i.instruments import image_features_for
    from keras_t2i.report import require_report_packages

    # An hour of training should not end with a missing package, nor every run of it with the same mistyped name.
    require_report_packages()
    config.base.dataset()
    image_features_for(config.features if config.features != "auto" else "none")
    output = output.resolve()
    (output / "results").mkdir(parents=True, exist_ok=True)
    _check_same(output / "config.json", asdict(config))
    jobs = list(_jobs(config, output))
    for number, (name, seed, stages) in enumerate(jobs, start=1):
        result = Path(str(stages[-1].result))
        say(f"{number}/{len(jobs)}  {name}, seed {seed}: {_status(result) or 'training'}")
        if _status(result) in ("finished", "diverged"):
            continue
        for stage in stages:
            if not _work(stage, result, output / "logs" / f"{result.stem}.txt"):
                break
        say(f"{' ' * len(f'{number}/{len(jobs)}')}  {_outcome(result)}")
    return write_report(config, output)


def write_report(config: ComparisonConfig, output: Path) -> dict[str, Any]:
    """Writes tables and the page from the results that are there; what `compare` does in the end."""
    from keras_t2i.compare.page import render

    results = {
        (name, seed): json.loads(Path(str(stages[-1].result)).read_text(encoding="utf-8"))
        for name, seed, stages in _jobs(config, output)
        if _status(Path(str(stages[-1].result)))
    }
    comparison = summarize(config, results)
    _write(output / "comparison.json", json.dumps(comparison, indent=2) + "\n")
    _write(output / "comparison.md", markdown(comparison))
    _write(output / "report.html", render(config, comparison, output))
    statuses = [result["status"] for result in results.values()]
    return {
        **{status: statuses.count(status) for status in ("finished", "diverged", "failed")},
        "verdict": [verdict["sentence"] for verdict in comparison["verdict"]],
        "table": str(output / "comparison.md"),
        "report": str(output / "report.html"),
    }


def _jobs(config: ComparisonConfig, output: Path) -> Iterator[tuple[str, int, list[Job]]]:
    """Every run with the stages that lead to it, one seed of all methods before the next seed."""
    for seed in range(config.num_seeds):
        for name in config.methods:
            chosen = method(name)
            options = {**asdict(config.base), "content_features": None, **chosen.options, "seed": seed}
            if options["content_features"] is not None and config.base.content_features is not None:
                options["content_features"] = config.base.content_features
            if (strategy := options["strategy"]) is not None:
                source_data = config.source_data if needs_source(strategy) else None
                options |= {"start_from": config.source, "source_data": source_data}
            budget = config.budget(options["batch_size"])
            ((unit, amount),) = budget.items()
            moments = sorted({max(1, int(amount * part)) if unit == "steps" else amount * part for part in _PARTS})
            run = f"{file_name(name)}-{seed}"
            stages = []
            if chosen.pretrained:
                source = output / "sources" / run
                domain = "faces" if config.base.domain == "shapes" else "shapes"
                stages.append(Job({**options, "data": domain, "flip": False, "start_from": None}, str(source), budget))
                options["start_from"] = str(source)
            result = str(output / "results" / f"{run}.json")
            run_dir = str(output / "runs" / run)
            measured = Job(options, run_dir, budget, result, config.features, config.judge, moments, seed == 0)
            stages.append(measured)
            yield name, seed, stages


def _work(job: Job, result: Path, log: Path) -> bool:
    """Works on a job in a process of its own; returns whether the next stage can follow."""
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "keras_t2i.compare.worker"]
    with log.open("ab") as file, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=file) as process:
        assert process.stdin is not None
        # The pipe stays open while this process lives: a worker whose pipe ends saves a checkpoint and stops.
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        process.stdin.flush()
        code = process.wait()
    if code != 0:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        message = next((line for line in reversed(lines) if line), f"exit status {code}")
        _write(result, json.dumps({"status": "failed", "message": f"{message} (see logs/{log.name})"}))
    return code == 0


def _status(result: Path) -> str | None:
    if not result.exists():
        return None
    return str(json.loads(result.read_text(encoding="utf-8"))["status"])


def _outcome(result: Path) -> str:
    found = json.loads(result.read_text(encoding="utf-8"))
    if found["status"] != "finished":
        return f"{found['status']}: {found['message']}"
    numbers = ("all_attributes", "kernel_distance", "r_precision", "diversity")
    shown = [f"{name} {found['metrics'][name]:.3g}" for name in numbers if name in found["metrics"]]
    return f"{found['steps']} steps in {found['minutes']:.1f} minutes; {', '.join(shown)}"


def _check_same(path: Path, config: dict[str, Any]) -> None:
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        saved, now = json.loads(path.read_text(encoding="utf-8")), json.loads(text)
        differing = ", ".join(name for name in now if saved.get(name) != now[name])
        raise ValueError(
            f"{path.parent} holds another comparison (it differs in {differing}); choose another directory."
        )
    _write(path, text)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
