"""Whether what is to be trained is what the run in a directory was begun with: settings and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_t2i.core.files import write_file
from keras_t2i.data import Inventory

__all__ = ["check_same_run"]

_STEPS = "steps_per_epoch"


def check_same_run(
    run_dir: Path, config: dict[str, Any], dataset: Any, steps_per_epoch: int, changed_data: bool
) -> tuple[int, str, Inventory]:
    """Writes the configuration of a new run, and checks that of one which is there, and its data.

    Args:
        run_dir: The directory.
        config: What describes the run, as JSON.
        dataset: A `keras_t2i.data.CaptionedImages`.
        steps_per_epoch: Steps of an epoch of a new run on these data.
        changed_data: Whether the data may be others than they were.

    Returns:
        Steps of an epoch of the run; what has changed in its data, for people; and the inventory that it is to have
        once it goes on.

    Raises:
        ValueError: for other settings, or other data.
        OSError: if the configuration cannot be written.
    """
    now, before = Inventory.of(dataset, steps_per_epoch), Inventory.read(run_dir)
    changes = before.changes(now) if before is not None else ""
    # An epoch is as long as it was when the run was begun, whatever its data have become since.
    is_known = before is not None and (changes or before.steps_per_epoch == steps_per_epoch)
    saved = _check_config(
        run_dir / "config.json", {**config, _STEPS: steps_per_epoch}, but={_STEPS} if is_known else set()
    )
    if before is None:
        return steps_per_epoch, "", now
    if moved := before.moved(now):
        raise ValueError(
            f"{run_dir} was trained on other data: {moved} of these images would be held out and were trained on, or "
            "the other way round; choose another directory, or read the folder with the run's `inventory`."
        )
    if changes and before.packed:
        raise ValueError(f"{run_dir} was trained on other data: {changes}; choose another directory.")
    if changes and not changed_data:
        raise ValueError(
            f"{run_dir} was trained on other data: {changes}. Pass `changed_data` (--changed-data) to go on with "
            "them, where what was held out stays so; or choose another directory."
        )
    return saved[_STEPS], changes, before.followed_by(now)


def _check_config(path: Path, config: dict[str, Any], but: set[str]) -> dict[str, Any]:
    """Writes the configuration of a new run; raises `ValueError` where it is not that of the run which is there."""
    try:
        text = json.dumps(config, indent=2, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"`config` must be made of what JSON can hold: {error}.") from error
    config = json.loads(text)
    if not path.exists():
        write_file(path, text + "\n")
        return config
    try:
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON ({error}); choose another directory.") from error
    differing = [
        f"{name} ({json.dumps(saved.get(name))} there, {json.dumps(config.get(name))} now)"
        for name in sorted((saved.keys() | config.keys()) - but)
        if saved.get(name) != config.get(name)
    ]
    if differing:
        raise ValueError(
            f"{path.parent} holds a run with other settings: {', '.join(differing)}; choose another directory."
        )
    return saved
