"""The process that works on one run of a comparison: trains it, measures it, and writes what it found.

`python -m keras_t2i.runs.compare.worker` reads one `Job` as a line of JSON from its standard input. Where that input
ends before the work does, whoever gave it is gone: it saves a checkpoint and stops.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

from keras_t2i.core.files import write_file
from keras_t2i.core.tables import load_plugins
from keras_t2i.runs.compare.config import Job
from keras_t2i.runs.config import NONE, RunConfig

__all__ = ["PAGE_CAPTIONS", "PAGE_IMAGES", "work"]

PAGE_CAPTIONS, PAGE_IMAGES = 6, 4
"""Captions that the page shows, and images of each."""

_CURVE_IMAGES = 320
_MAX_IMAGES = 1000
_STOPPED = 75


def work(job: Job) -> dict[str, Any] | None:
    """Trains and measures a run.

    Returns:
        The result, as `comparison.json` has it; `None` for a run that is not to be measured.
    """
    from keras_t2i import training
    from keras_t2i.runs.prepare import prepare

    run_dir = Path(job.run_dir)
    training.make_deterministic()
    prepared = prepare(RunConfig(**job.config), run_dir)
    gan, dataset, config = prepared.model, prepared.data, prepared.config
    split = dataset.validation_split or dataset.train_split
    chosen = np.unique(np.linspace(0, split.num_images - 1, _CURVE_IMAGES).astype(int))
    assert split.embeddings is not None  # `prepare` has encoded the captions.
    embeddings = split.embeddings[split.caption_of_each(chosen)]
    callbacks = []
    if job.moments:
        moments: dict[str, Any] = {next(iter(job.budget)): job.moments}
        callbacks = [training.SaveSamples(run_dir / "samples", embeddings, **moments)]
    try:
        state = training.train(gan, dataset, run_dir, config=job.config, callbacks=callbacks, verbose=2, **job.budget)
    except training.DivergedError as error:
        if job.result is None:
            raise
        return {"status": "diverged", "message": str(error)}
    if state.seconds < 60 * job.budget.get("minutes", 0) or state.step < job.budget.get("steps", 0):
        sys.exit(_STOPPED)
    if job.result is None:
        return None
    return _measure(job, config, gan, dataset, state, chosen)


def _measure(job: Job, config: RunConfig, gan: Any, dataset: Any, state: Any, chosen: np.ndarray) -> dict[str, Any]:
    from keras_t2i import metrics, training
    from keras_t2i.metrics.instruments import instruments_for

    run_dir = Path(job.run_dir)
    instruments = instruments_for(dataset, config.domain, config.text_encoder != NONE, job.features, job.judge)
    evaluation = metrics.evaluate_model(gan, dataset, **instruments.as_arguments(), max_images=_MAX_IMAGES)
    split = dataset.validation_split or dataset.train_split
    real = split.pixels(chosen)
    curve = [
        {
            "minutes": samples.minutes,
            "images_seen": samples.step * dataset.batch_size,
            "metrics": _quick_metrics(samples.images, real, split, chosen, instruments),
        }
        for samples in training.read_samples(run_dir / "samples")
    ]
    numbers = np.linspace(0, len(evaluation.captions) - 1, PAGE_CAPTIONS).astype(int)
    pictures = Path(str(job.result)).with_suffix(".npz")
    with pictures.open("wb") as file:
        np.savez_compressed(
            file,
            images=_page_images(gan, [evaluation.captions[number] for number in numbers]),
            real=evaluation.real[numbers][:, None],
            captions=np.asarray([evaluation.captions[number] for number in numbers]),
        )
    return {
        "status": "finished",
        "message": "",
        "steps": state.step,
        "images_seen": state.step * dataset.batch_size,
        "minutes": state.seconds / 60,
        "num_train": dataset.train_split.num_images,
        "num_held_out": 0 if dataset.validation_split is None else split.num_images,
        "metrics": evaluation.numbers,
        "warnings": metrics.warnings_for(evaluation.numbers),
        "curve": curve,
        "resources": _costs(gan, dataset, run_dir) if job.measure_costs else {},
    }


def _quick_metrics(
    generated: np.ndarray, real: np.ndarray, split: Any, chosen: np.ndarray, instruments: Any
) -> dict[str, float]:
    """What curves show: the measures that need neither other captions nor other images than the samples'."""
    from keras_t2i.metrics import Examined, measured

    examined = Examined(
        split,
        tuple(split.captions[position] for position in split.caption_of_each(chosen)),
        generated,
        real,
        labels=None if split.labels is None else split.labels[chosen],
        features=instruments.features,
        attributes=instruments.attributes,
    )
    found = measured(examined, in_curves=True)
    return {name: value for name, value in found.items() if isinstance(value, float)}


def _page_images(gan: Any, captions: list[str]) -> np.ndarray:
    images = gan.generate(captions, num_images=PAGE_IMAGES)
    return images.reshape(len(captions), PAGE_IMAGES, *images.shape[1:])


def _costs(gan: Any, dataset: Any, run_dir: Path) -> dict[str, Any]:
    """What the model costs to train and to run, its exports included."""
    from keras_t2i import metrics

    peak_memory = metrics.peak_memory_mb()  # Before exports and profiles, whose tracing takes some of its own.
    exports = {name: run_dir / name for name in ("preset", "saved_model", "litert")}
    gan.export(exports["saved_model"], format="saved_model")
    gan.export(exports["litert"], format="litert")
    batch = next(iter(dataset.train_from(0)))
    return {
        **metrics.measure_resources(gan, exports),
        **metrics.step_profile(gan, batch),
        "peak_memory_mb": peak_memory,
    }


def _stop_with_the_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # Not `sys.stdin.read`, whose lock would be held when the process ends.
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Reads a job, works on it, and writes its result beside and then in place."""
    load_plugins()
    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_stop_with_the_parent, daemon=True).start()
    result = work(job)
    if result is not None:
        write_file(str(job.result), json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
