"""Commands that draw pictures in the style of one: stylize train, apply and export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from keras_t2i.cli.app import app, print_result, verbosity
from keras_t2i.cli.options import Epochs, Minutes, Output, RunOutput, Steps, of_seed
from keras_t2i.runs import stylizing

stylize_app = typer.Typer(help="Draw any picture in the style of one, in one pass.")
app.add_typer(stylize_app, name="stylize")

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A run directory made by **stylize train**, or a preset.")]


@stylize_app.command("train")
def train(
    style: Annotated[Path, typer.Argument(metavar="STYLE", help="The picture whose style is learned.")],
    output: RunOutput,
    content: Annotated[
        str,
        typer.Option(help="Pictures to train on, such as will be drawn: as DATA of **train**; no captions needed."),
    ] = "faces:300",
    features: Annotated[
        str, typer.Option(help="Image features to learn it in: mobilenet_v2, or a file of its weights.")
    ] = "mobilenet_v2",
    image_size: Annotated[
        int, typer.Option(min=64, max=512, help="Size at which they are trained on, in pixels.")
    ] = 128,
    style_size: Annotated[
        int,
        typer.Option(min=32, max=1024, help="Shorter side of STYLE, in pixels: strokes become as large as in it then."),
    ] = 256,
    content_weight: Annotated[float, typer.Option(min=0, help="Weight of what the pictures show.")] = 1.0,
    style_weight: Annotated[float, typer.Option(min=0, help="Weight of the style.")] = 5.0,
    color_weight: Annotated[
        float, typer.Option(min=0, help="Weight of the colors that they have. Default: they get those of STYLE.")
    ] = 0.0,
    minutes: Minutes = None,
    epochs: Epochs = None,
    steps: Steps = None,
    seed: Annotated[int, of_seed(help="Seed of weights, order and grain.")] = 0,
) -> None:
    """Learn a style from one picture, or go on: a run that was stopped at any moment resumes when started again.

    What is left is a network of a quarter of a million weights that draws a picture of any size in one pass. Ten
    minutes of one core are enough.

    `keras-t2i stylize train mosaic.png --content my_photos -o runs/mosaic --minutes 10`
    """
    limits: dict[str, Any] = {"minutes": minutes, "epochs": epochs, "steps": steps}
    if not any(limits.values()):
        limits["minutes"] = 10.0
    print_result(
        stylizing.train,
        style,
        output,
        content,
        features,
        image_size,
        style_size,
        content_weight,
        style_weight,
        color_weight,
        seed,
        **limits,
        verbose=verbosity(),
    )


@stylize_app.command("apply")
def apply(
    model: Model,
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Pictures, which are only read.")],
    output: Output = Path("stylized"),
    size: Annotated[
        int | None,
        typer.Option(min=16, help="Longer side that larger pictures are brought to first. Default: as they are."),
    ] = None,
) -> None:
    """Draw pictures in a style: one PNG each, of the same name and size.

    `keras-t2i stylize apply runs/mosaic photo.jpg -o stylized`
    """
    print_result(stylizing.apply, model, pictures, output, size)


@stylize_app.command("export")
def export(
    model: Model,
    output: Output,
    height: Annotated[int, typer.Option(min=16, max=2048, help="Height of the pictures, a multiple of 4.")] = 256,
    width: Annotated[int, typer.Option(min=16, max=2048, help="Width of the pictures, likewise.")] = 256,
    precision: Annotated[Literal["float32", "float16", "int8"], typer.Option(help="Of the weights.")] = "float16",
) -> None:
    """Export a style for phones and browsers: a LiteRT file for pictures of one size, and a description.

    `keras-t2i stylize export runs/mosaic -o mosaic_litert`
    """
    print_result(stylizing.export, model, output, height, width, precision)
