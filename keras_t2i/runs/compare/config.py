"""What is compared, in plain values, and what the process of one run is told."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field, replace
from typing import Any

from keras_t2i.runs.compare.methods import method, method_names
from keras_t2i.runs.config import RunConfig

__all__ = ["ComparisonConfig", "Job"]


@dataclass(frozen=True)
class ComparisonConfig:
    """What is compared, in plain values; kept as `config.json` in the comparison's directory.

    Args:
        base: What all runs share: data, image size, batch size and so on. Each method sets its own fields of it;
            `content_features` is for the methods that use some.
        methods: See `keras_t2i.runs.compare.method`.
        minutes: Minutes of training each.
        images: Images seen by each, instead of `minutes`.
        num_seeds: Runs of each method, with seeds from 0 on.
        features: Image features to measure in: see `keras_t2i.metrics.instruments.instruments_for`.
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
        # What a run leaves to the size of its data is here the same for all, or a comparison would be of that.
        shared = replace(self.base, augment=bool(self.base.augment), batch_size=self.base.batch_size or 32)
        object.__setattr__(self, "base", shared)
        if (self.minutes is None) == (self.images is None):
            raise ValueError("Say how long each method is trained: pass either `minutes` or `images`.")
        if not self.methods or self.num_seeds < 1:
            raise ValueError(
                f"A comparison needs methods and seeds; got {len(self.methods)} and {self.num_seeds}. "
                f"Methods are: {', '.join(method_names())}."
            )
        if len(set(self.methods)) < len(self.methods):
            raise ValueError(
                f"Each method is compared once; got {', '.join(self.methods)}. Leave out the repeated ones."
            )
        transferring = [name for name in self.methods if "strategy" in method(name).options]
        if transferring and self.source is None:
            raise ValueError(f"These methods start from a trained model, and none is given: {', '.join(transferring)}.")

    @property
    def command(self) -> str:
        """The command that does it again, without the paths to folders and files."""
        return self.command_of(*self.methods)

    def command_of(self, *methods: str) -> str:
        """The same with other methods."""
        limit = ["--minutes", f"{self.minutes:g}"] if self.minutes is not None else ["--images", str(self.images)]
        told = ["--methods", ",".join(methods), *limit, "--seeds", str(self.num_seeds)]
        told += [] if self.base.batch_size == 32 else ["--batch-size", str(self.base.batch_size)]
        shared = replace(self.base, batch_size=None, augment=self.base.augment or None)
        told += shared.arguments("compare")
        for name in ("source", "source_data", "features", "judge"):
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default:
                shown = os.path.basename(value) if os.path.isabs(value) else value
                told += [f"--{name.replace('_', '-')}", shown]
        return shlex.join(["keras-t2i", "compare", os.path.basename(self.base.data), *told, "--output", "DIR"])

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
