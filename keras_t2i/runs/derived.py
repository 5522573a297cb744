"""Configurations of runs that start from a trained model, and what a preset says of where it comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_t2i.core import specs
from keras_t2i.data import RENDERED
from keras_t2i.data.names import TFDS
from keras_t2i.models import family_of, files
from keras_t2i.networks import FAMILIES
from keras_t2i.presets import names
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.imported import imported
from keras_t2i.runs.option import TAUGHT_RECONSTRUCTION
from keras_t2i.transfer import strategies

__all__ = ["card", "distilling", "finetuning"]


def finetuning(start_from: str, data: str, strategy: str = "full", **options: Any) -> RunConfig:
    """The configuration of a run that fine-tunes a trained model.

    Family, image size and text encoder are the model's, as its preset describes it; nothing is built. `source_data` is,
    where the strategy needs some and none is given, what its run, or its card, says it was trained on.

    Args:
        start_from: A preset or a run, or Stable Diffusion 3 as `imported` has it.
        data: What to train on.
        strategy: See `keras_t2i.transfer.strategies.parse`.
        **options: Further fields of `RunConfig`.

    Raises:
        ValueError: if the model cannot be read, there is no such strategy, or nothing says what the model was trained
            on.
    """
    needs_source = strategies.needs_source(strategy)  # First: a mistyped name should not wait for anything.
    place = imported(start_from)
    described = names.read_config(names.resolve(place))
    source_data = options.pop("source_data", None) or _trained_on(Path(start_from), described["card"])
    if needs_source and not source_data:
        raise ValueError(
            f"The strategy {strategy!r} needs the data that {start_from} was trained on, and its card names none: "
            "pass the source's data."
        )
    return RunConfig(
        data,
        family=family_of(described),
        image_size=strategies.image_size(strategy, described["generator"]["config"]["image_size"]),
        text_encoder=files.encoder_name(place),
        start_from=start_from,
        strategy=strategies.located(strategy),
        source_data=source_data if needs_source else None,
        **options,
    )


def distilling(teacher: str, data: str | None = None, **options: Any) -> RunConfig:
    """The configuration of a run that learns what a trained model draws.

    Image size and text encoder are the teacher's, as its preset describes it; nothing is built.

    Args:
        teacher: A preset or a run.
        data: Whose captions it draws, and what is held out; by default what the teacher was trained on, as its run, or
            its card, says.
        **options: Further fields of `RunConfig`.

    Raises:
        ValueError: if the teacher cannot be read, nothing says what it was trained on, or the student would draw in
            steps itself.
    """
    family = options.get("family", "compact")
    if family in FAMILIES and FAMILIES[family].discriminator is None:
        raise ValueError(f"{family} draws in steps, as its teacher may: distill into a family that does not.")
    described = names.read_config(names.resolve(teacher))
    data = data or _trained_on(Path(teacher), described["card"])
    if not data:
        raise ValueError(f"The card of {teacher} does not say what it was trained on: pass the data.")
    if options.get("reconstruction") is None:
        options["reconstruction"] = TAUGHT_RECONSTRUCTION
    return RunConfig(
        data,
        image_size=described["generator"]["config"]["image_size"],
        text_encoder=files.encoder_name(teacher),
        teacher=teacher,
        **options,
    )


def card(config: RunConfig, source: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a preset of the run says of it; of the source's card, to whom thanks are due and what is allowed.

    Presets are shared: folders are named without the path to them.
    """
    told = {name: getattr(config, name) for name in ("family", "data", "start_from", "teacher")}
    if config.strategy is not None:
        told["strategy"] = strategies.located(config.strategy, os.path.basename)
    kept = {name: source[name] for name in ("license", "credit") if source is not None and name in source}
    return {**kept, **{name: _without_path(value) for name, value in told.items() if value is not None}}


def _without_path(value: str) -> str:
    return Path(value).name if Path(value).is_absolute() else value


def _trained_on(source: Path, about: Mapping[str, Any]) -> str | None:
    """The data of a run, or of a preset where its card names data that are the same everywhere."""
    if (source / names.RUN_PRESET).is_dir():
        return RunConfig.read(source).data
    found = str(about.get("data", ""))
    return found if specs.split(found)[0] in (*RENDERED, TFDS) else None
