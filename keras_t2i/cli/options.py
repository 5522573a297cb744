"""Arguments and options that several commands share."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

of_data = partial(typer.Option, rich_help_panel="Data")
of_model = partial(typer.Option, rich_help_panel="Model")
of_training = partial(typer.Option, rich_help_panel="Training")

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory made by **train**.")]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A run directory made by **train**, a preset, or its name.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Directory to write to.")]
NumImages = Annotated[int, typer.Option("--num-images", "-n", min=1, help="Images of each caption.")]
Features = Annotated[
    str,
    typer.Option(
        help="Image features to measure in: mobilenet_v2, a file of weights, or none. Default: those of the packaged "
        "judge for shapes and faces, else mobilenet_v2."
    ),
]
Judge = Annotated[
    str,
    typer.Option(
        help="Judge of captions: **retriever**, trained on the real pairs once; a preset of CLIP, for instance "
        "clip_vit_base_patch32; or none."
    ),
]
CaptionColumn = Annotated[
    str | None, of_data(help="Column of captions in a folder's table. Default: text, caption or captions.")
]
CaptionTemplate = Annotated[str, of_data(help="Caption of TFDS images with labels only.")]
Flip = Annotated[bool, of_data("--flip", help="Mirror half of the images; not where captions name sides.")]
MaxSkippedShare = Annotated[
    float, of_data(min=0, max=1, help="Share of unusable rows above which training is refused.")
]
BatchSize = Annotated[int, of_training(min=1, help="Images in a batch.")]
of_seed = partial(typer.Option, min=0, max=2**31 - 1)
Seed = Annotated[int, of_seed(help="Seed of the noise.")]
Host = Annotated[str, typer.Option(help="Address to listen at.")]
RecordPrompts = Annotated[
    bool, typer.Option("--record-prompts/--no-record-prompts", help="Whether PNG files hold their captions.")
]
