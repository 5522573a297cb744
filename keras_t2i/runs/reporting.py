"""The page of one run: what it learned and when, how good it is, its best and worst images, and what to beware of."""

from __future__ import annotations

import csv
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from keras_t2i.core.files import write_file
from keras_t2i.metrics import Evaluation, described, evaluate_model, measure_resources, warnings_for
from keras_t2i.report import RunPage, render_run
from keras_t2i.runs.evaluation import opened

__all__ = ["write_run_report"]

_NUM_GRIDS, _NUM_CAPTIONS, _NUM_NEAREST = 6, 6, 12
_IMAGES_EACH, _BEST = 16, 4


def write_run_report(
    run_dir: Path, output: Path, features: str = "auto", judge: str = "retriever", seed: int = 0
) -> dict[str, Any]:
    """Measures a run and writes its page.

    Args:
        run_dir: A run made by `keras_t2i.runs.train`.
        output: The HTML file to write.
        features: Image features to measure in: see `keras_t2i.metrics.instruments.instruments_for`.
        judge: Judge of captions, likewise.
        seed: Seed of the noise.

    Returns:
        The numbers measured, the `warnings`, and where the `report` is.

    Raises:
        ValueError: if the directory is not a run, or has no preset yet.
        OSError: if the page cannot be written.
    """
    gan, dataset, instruments, config = opened(run_dir, features, judge)
    evaluation = evaluate_model(gan, dataset, **instruments.as_arguments(), seed=seed)
    numbers, warnings = evaluation.numbers, [*warnings_for(evaluation.numbers), *_not_finite(run_dir)]
    exports = {name: path for name in ("preset", "saved_model", "litert") if (path := run_dir / name).is_dir()}
    costs = measure_resources(gan, exports)
    page = RunPage(
        title=f"Run {run_dir.resolve().name}",
        created=date.today().isoformat(),
        config=asdict(config),
        log=_log(run_dir / "log.csv"),
        metrics=described(numbers),
        measured_on=numbers["measured_on"],
        resources=described(costs),
        grids=_grids(run_dir / "grids"),
        best_worst=_best_worst(gan, evaluation, instruments.text_image, seed),
        nearest=_nearest(evaluation),
        warnings=[{"level": "warning", "text": text} for text in warnings],
        num_skipped=len(dataset.skipped),
    )
    write_file(output, render_run(page))
    return {**numbers, "warnings": warnings, "report": str(output)}


def _log(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []


def _not_finite(run_dir: Path) -> list[str]:
    """Training stops before a value that is not finite reaches the weights; a log that has one is another's."""
    bad = [row["epoch"] for row in _log(run_dir / "log.csv") if any(v in ("nan", "inf", "-inf") for v in row.values())]
    return [f"Not finite: the log has such values in {len(bad)} epochs, first in epoch {bad[0]}."] if bad else []


def _grids(directory: Path) -> list[tuple[str, bytes]]:
    """Image grids over time: the first, the last, and some between, ever further apart, as learning slows down."""
    paths = sorted(directory.glob("epoch-*.png"))
    if not paths:
        return []
    chosen = np.unique(np.geomspace(1, len(paths), _NUM_GRIDS).round().astype(int)) - 1
    return [(f"Epoch {int(paths[i].stem.removeprefix('epoch-'))}", paths[i].read_bytes()) for i in chosen]


def _best_worst(gan: Any, evaluation: Evaluation, judge: Any, seed: int) -> list[dict[str, Any]]:
    """For some captions, the images that the judge finds to fit best and worst among several of each."""
    if judge is None:
        return []
    found = []
    for number in np.unique(np.linspace(0, len(evaluation.captions) - 1, _NUM_CAPTIONS).astype(int)):
        caption = evaluation.captions[number]
        images = gan.generate(caption, num_images=_IMAGES_EACH, seed=seed)
        scores = judge.image_embeddings(images) @ judge.text_embeddings([caption])[0]
        order = np.argsort(-scores)
        best, worst = order[:_BEST], order[::-1][:_BEST]
        found.append(
            {
                "caption": caption,
                "best": images[best],
                "worst": images[worst],
                "best_scores": scores[best].tolist(),
                "worst_scores": scores[worst].tolist(),
            }
        )
    return found


def _nearest(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The generated images that lie closest to a training image, each beside it."""
    if evaluation.nearest is None or evaluation.training is None:
        return []
    return [
        {
            "caption": evaluation.captions[number],
            "generated": evaluation.generated[number, 0],
            "training": evaluation.training[evaluation.nearest.indices[number]],
            "distance": float(evaluation.nearest.distances[number]),
        }
        for number in np.argsort(evaluation.nearest.distances)[:_NUM_NEAREST]
    ]
