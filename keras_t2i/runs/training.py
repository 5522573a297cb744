"""Training, from a configuration to a run directory.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_t2i.runs.config import RunConfig, known_to

__all__ = ["distill", "finetune", "train"]


def train(
    config: RunConfig,
    run_dir: Path,
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    tensorboard: bool = False,
    changed_data: bool = False,
    devices: str | int | None = None,
    wait_minutes: float | None = None,
    verbose: int | str = "auto",
) -> dict[str, Any]:
    """Trains a model, or goes on training it, with embeddings computed once: see `keras_t2i.training.train`.

    With a strategy to transfer, a table of what is trained goes to stderr first. For `devices` and `wait_minutes`, and
    for what `TF_CONFIG` does, see `keras_t2i.training.on_devices`.

    Returns:
        `steps` and `minutes` so far, the number of `skipped_rows`, and where `run`, `grids` and `preset` are; with LoRA
        the `adapters` too.

    Raises:
        ValueError: for a configuration that cannot be trained.
        LostWorkerError: if another worker is gone.
        OSError: if the directory cannot be written.
    """
    from keras_t2i import training
    from keras_t2i.runs.prepare import prepare
    from keras_t2i.transfer import strategies

    training.make_deterministic()
    with training.on_devices(devices, _to_agree_on(config, run_dir, changed_data), wait_minutes) as found:
        if config.teacher is not None and found.num_workers > 1:
            raise ValueError("What a teacher draws is drawn on one machine: leave TF_CONFIG out, and pass `devices`.")
        if config.batch_size is not None:
            found.check(config.batch_size)  # Before anything is decoded.
        prepared = prepare(config, run_dir, changed_data)
    if prepared.plan is not None:
        print(prepared.plan.summary(), file=sys.stderr, flush=True)
    state = training.train(
        prepared.model,
        prepared.data,
        run_dir,
        epochs=epochs,
        minutes=minutes,
        steps=steps,
        config=_kept(prepared.config, run_dir),
        changed_data=changed_data,
        tensorboard=tensorboard,
        verbose=verbose,
    )
    result = {
        "run": str(run_dir),
        "steps": state.step,
        "minutes": round(state.seconds / 60, 2),
        "skipped_rows": len(prepared.data.skipped),
        "grids": str(run_dir / "grids"),
        "preset": str(run_dir / "preset"),
    }
    if config.strategy is not None and found.is_chief:
        result |= strategies.kept(config.strategy, prepared.model, run_dir)
    return result


def _to_agree_on(config: RunConfig, run_dir: Path, changed_data: bool = False) -> dict[str, Any]:
    """What has to be the same in all workers: settings, versions, precision, and what they see of the run."""
    import keras

    import keras_t2i
    from keras_t2i.runs.prepare import as_begun

    seen = {"config.json": "nothing", "data.json": "nothing"}
    for name in seen:
        with contextlib.suppress(OSError):
            seen[name] = hashlib.sha256((run_dir / name).read_bytes()).hexdigest()[:12]
    versions = {"keras_t2i": keras_t2i.__version__, "Keras": keras.__version__}
    settings = asdict(as_begun(config, run_dir, changed_data))
    return {**settings, **versions, **{f"{name} of the run": digest for name, digest in seen.items()}}


def _of_training(options: dict[str, Any]) -> dict[str, Any]:
    """Takes out of options those that are keywords of `train`."""
    keywords = inspect.signature(train).parameters.values()
    names = [each.name for each in keywords if each.kind is each.KEYWORD_ONLY]
    return {name: options.pop(name) for name in names if name in options}


def _kept(config: RunConfig, run_dir: Path) -> dict[str, Any]:
    """What a run keeps of its configuration: one that was made before an option was there goes on with its default."""
    try:
        saved = json.loads((run_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return asdict(config)  # New, or not to be read: which is said where it is written.
    return known_to(saved, config)


def finetune(
    start_from: str,
    data: str,
    run_dir: Path,
    strategy: str = "full",
    **options: Any,
) -> dict[str, Any]:
    """Fine-tunes a trained model on other images: `train` with the configuration that `finetuning` makes.

    Args:
        start_from: A preset or a run: see `keras_t2i.presets.resolve`.
        data: What to train on, see `RunConfig`.
        run_dir: The run directory; a run in it is resumed.
        strategy: What is trained, and how: see `keras_t2i.transfer.strategies.parse`.
        **options: Keywords of `train`, and further fields of `RunConfig`.

    Returns:
        As `train`.

    Raises:
        ValueError: for a configuration that cannot be trained.
        OSError: if the directory cannot be written.
    """
    from keras_t2i.runs.derived import finetuning

    of_training = _of_training(options)
    return train(finetuning(start_from, data, strategy, **options), run_dir, **of_training)


def distill(
    teacher: str,
    run_dir: Path,
    data: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Trains a generator on what a slower one draws, noise by noise: `train` with what `distilling` makes.

    Args:
        teacher: A preset or a run: see `keras_t2i.presets.resolve`.
        run_dir: The run directory; a run in it is resumed.
        data: Whose captions the teacher draws; by default what it was trained on.
        **options: Keywords of `train`, whose minutes begin when all is drawn, and further fields of `RunConfig`.

    Returns:
        As `train`.

    Raises:
        ValueError: for a configuration that cannot be trained.
        OSError: if the directory cannot be written.
    """
    from keras_t2i.runs.derived import distilling

    of_training = _of_training(options)
    return train(distilling(teacher, data, **options), run_dir, **of_training)
