"""A comparison in a directory: every method and seed in a process of its own, one after the other, resumable."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_t2i.core.files import write_file
from keras_t2i.data.names import RENDERED
from keras_t2i.metrics import MEASURES
from keras_t2i.runs.compare.config import ComparisonConfig, Job
from keras_t2i.runs.compare.methods import Method, file_name, method
from keras_t2i.runs.compare.summary import markdown, summarize
from keras_t2i.runs.config import RunConfig, known_to
from keras_t2i.transfer.strategies import needs_source

if TYPE_CHECKING:
    from keras_t2i.data import CaptionedImages

__all__ = ["compare", "write_report"]

_PARTS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Parts of the budget after each of which a run is measured: early too, where some methods are ahead."""
_NUM_SAID = 4


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
    from keras_t2i.metrics.instruments import image_features_for
    from keras_t2i.report import require_report_packages
    from keras_t2i.runs.prepare import dataset

    # An hour of training should not end with a missing package, nor every run of it with the same mistyped name.
    require_report_packages()
    images = dataset(config.base)
    image_features_for(config.features if config.features != "auto" else "none")
    output = output.resolve()
    _check_captions(config, output, images)
    (output / "results").mkdir(parents=True, exist_ok=True)
    _check_same(output / "config.json", config)
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
    from keras_t2i.runs.compare.page import render  # Imports the packages that draw.

    results = {
        (name, seed): json.loads(Path(str(stages[-1].result)).read_text(encoding="utf-8"))
        for name, seed, stages in _jobs(config, output)
        if _status(Path(str(stages[-1].result)))
    }
    comparison = summarize(config, results)
    write_file(output / "comparison.json", json.dumps(comparison, indent=2) + "\n")
    write_file(output / "comparison.md", markdown(comparison))
    write_file(output / "report.html", render(config, comparison, output))
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
                options |= {
                    "family": _family_of(str(config.source)),
                    "start_from": config.source,
                    "source_data": source_data,
                }
            budget = config.budget(options["batch_size"])
            ((unit, amount),) = budget.items()
            moments = sorted({max(1, int(amount * part)) if unit == "steps" else amount * part for part in _PARTS})
            run = f"{file_name(name)}-{seed}"
            stages = []
            if chosen.first is not None:
                before, taken_as = _before(chosen, options, config.base)
                source = str(output / f"{chosen.first}s" / run)
                stages.append(Job(before, source, budget))
                options[taken_as] = source
            result = str(output / "results" / f"{run}.json")
            run_dir = str(output / "runs" / run)
            measured = Job(options, run_dir, budget, result, config.features, config.judge, moments, seed == 0)
            stages.append(measured)
            yield name, seed, stages


def _family_of(source: str) -> str:
    from keras_t2i.models import family_of
    from keras_t2i.presets import names

    return family_of(names.read_config(names.resolve(source)))


def _before(chosen: Method, options: dict[str, Any], base: RunConfig) -> tuple[dict[str, Any], str]:
    """The configuration of what is trained before a method's own run, and as what that takes it."""
    if chosen.first == "teacher":
        return {**options, "family": "flow", "reconstruction": None, "augment": False}, "teacher"
    domain = next(name for name in RENDERED if name != base.domain)
    return {**options, "data": domain, "flip": False, "start_from": None}, "start_from"


def _check_captions(config: ComparisonConfig, output: Path, images: CaptionedImages) -> None:
    """Refuses captions that a method could not read; not where a comparison was begun, which goes on."""
    if images.packed is not None:
        return  # They were looked at when they were packed.
    from keras_t2i.runs.captions import check_captions, reader_of

    most = 1.0 if (output / "config.json").exists() else config.base.max_unread_share
    runs = (RunConfig(**stages[-1].config) for _, _, stages in _jobs(config, output))
    readers = {run.start_from if run.strategy else (run.text_encoder, run.sequence_length): run for run in runs}
    for encoder in map(reader_of, readers.values()):
        if encoder is not None:
            check_captions(encoder, images, most)


def _work(job: Job, result: Path, log: Path) -> bool:
    """Works on a job in a process of its own; returns whether the next stage can follow."""
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "keras_t2i.runs.compare.worker"]
    with log.open("ab") as file, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file, stderr=file) as process:
        assert process.stdin is not None
        # The pipe stays open while this process lives: a worker whose pipe ends saves a checkpoint and stops.
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        process.stdin.flush()
        code = process.wait()
    if code != 0:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
        message = next((line for line in reversed(lines) if line), f"exit status {code}")
        write_file(result, json.dumps({"status": "failed", "message": f"{message} (see logs/{log.name})"}))
    return code == 0


def _status(result: Path) -> str | None:
    if not result.exists():
        return None
    return str(json.loads(result.read_text(encoding="utf-8"))["status"])


def _outcome(result: Path) -> str:
    found = json.loads(result.read_text(encoding="utf-8"))
    if found["status"] != "finished":
        return f"{found['status']}: {found['message']}"
    # The most telling number of each computation: others that come with it say much the same.
    telling: dict[Any, str] = {}
    for name, measure in MEASURES.items():
        if name in found["metrics"]:
            telling.setdefault(measure.measure, name)
    shown = [f"{name} {found['metrics'][name]:.3g}" for name in list(telling.values())[:_NUM_SAID]]
    return f"{found['steps']} steps in {found['minutes']:.1f} minutes; {', '.join(shown)}"


def _check_same(path: Path, config: ComparisonConfig) -> None:
    """Writes the configuration of a new comparison; raises `ValueError` where it is not that of the one there."""
    now = asdict(config)
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        known = {**known_to(saved, config), "base": known_to(saved.get("base", {}), config.base)}
        known = json.loads(json.dumps(known))
        if differing := [name for name in known if saved.get(name) != known[name]]:
            raise ValueError(
                f"{path.parent} holds another comparison (it differs in {', '.join(differing)}); choose another "
                "directory."
            )
    write_file(path, json.dumps(now, indent=2, sort_keys=True) + "\n")
