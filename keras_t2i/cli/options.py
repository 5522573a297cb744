"""Arguments and options that several commands share, and those that a configuration describes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from keras_t2i.data.names import RENDERED
from keras_t2i.runs.config import RunConfig, options_of
from keras_t2i.runs.option import TRAINING

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help=f"One of {', '.join(f'**{name}**' for name in RENDERED)} (rendered, nothing to download; faces:300 for so "
        "many), a FOLDER of captioned images, or of what **data pack** has written, or **tfds:NAME** (TensorFlow "
        "Datasets, for instance tfds:coco_captions).",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory made by **train**.")]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A run directory made by **train**, a preset, or its name.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Directory to write to.")]
RunOutput = Annotated[Path, typer.Option("--output", "-o", help="The run directory; a run in it is resumed.")]
Minutes = Annotated[
    float | None,
    typer.Option(min=0.01, help="Minutes to train, over all starts. Default: 15, where nothing else ends it."),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs to train, over all starts.")]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Steps to train, over all starts: as much on a slow machine as on a fast one.")
]
TensorBoard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Log losses and image grids for TensorBoard too.", rich_help_panel="Training"),
]
ChangedData = Annotated[
    bool,
    typer.Option(
        "--changed-data",
        help="Go on where images have been added to the data since, or taken away, or have other captions: what was "
        "held out stays so.",
        rich_help_panel="Data",
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        help="Train on several devices, each with a share of every batch: **all**, or how many. Default: one; where "
        "TF_CONFIG names several machines, all of each.",
        rich_help_panel="Training",
    ),
]
WaitMinutes = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="Minutes that machines named by TF_CONFIG wait for each other. Default: 10.",
        rich_help_panel="Training",
    ),
]
NumImages = Annotated[int, typer.Option("--num-images", "-n", min=1, help="Images of each caption.")]
Features = Annotated[
    str,
    typer.Option(
        help="Image features to measure in: mobilenet_v2, a file of weights, or none. Default: those of the packaged "
        "judge for rendered domains, else mobilenet_v2."
    ),
]
Judge = Annotated[
    str,
    typer.Option(
        help="Judge of captions: **retriever**, trained on the real pairs once; a preset of CLIP, for instance "
        "clip_vit_base_patch32; or none."
    ),
]
of_seed = partial(typer.Option, min=0, max=2**31 - 1)
Seed = Annotated[int, of_seed(help="Seed of the noise.")]
Host = Annotated[str, typer.Option(help="Address to listen at.")]
RecordPrompts = Annotated[
    bool, typer.Option("--record-prompts/--no-record-prompts", help="Whether PNG files hold their captions.")
]


def with_options_of(command: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the options of `RunConfig` that a command takes, and how long it trains, to those in a function's signature.

    The function gets them as `**options`; those that the user leaves out have the configuration's defaults.

    Args:
        command: Its name, as `keras_t2i.runs.config.Option.commands` has it.
    """

    def decorated(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
        training = _OF_TRAINING if command in TRAINING else []
        parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in [*own, *training, *_described(command)]]

        @wraps(function)
        def command_function(**given: Any) -> None:
            function(**given)

        command_function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command_function.__annotations__ = {p.name: p.annotation for p in parameters}
        del command_function.__wrapped__  # Or its signature would be taken for this one's.
        return command_function

    return decorated


_OF_TRAINING = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        ("minutes", None, Minutes),
        ("epochs", None, Epochs),
        ("steps", None, Steps),
        ("tensorboard", False, TensorBoard),
        ("changed_data", False, ChangedData),
        ("devices", None, Devices),
        ("wait_minutes", None, WaitMinutes),
    )
]
"""What every command that makes one run takes."""


def _described(command: str) -> list[inspect.Parameter]:
    types = get_type_hints(RunConfig)
    parameters = []
    for name, (default, option) in options_of(command).items():
        flag = f"--{name.replace('_', '-')}"
        is_switch = types[name] in (bool, bool | None)
        limits: dict[str, Any] = {} if is_switch else dict(zip(("min", "max"), option.limits, strict=True))
        declared = typer.Option(
            f"{flag}/--no-{flag[2:]}" if is_switch and default is None else flag,
            help=option.text(),
            rich_help_panel=option.panel,
            **limits,
        )
        kind = inspect.Parameter.KEYWORD_ONLY
        annotation: Any = Annotated[types[name], declared]  # type: ignore[valid-type]
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))
    return parameters
