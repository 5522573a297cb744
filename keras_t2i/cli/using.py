"""Commands that use a trained model: generate, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from keras_t2i import runs
from keras_t2i.cli.app import app, print_result
from keras_t2i.cli.options import (
    Model,
    NumImages,
    Output,
    Seed,
)


@app.command()
def generate(
    model: Model,
    captions: Annotated[list[str], typer.Argument(metavar="CAPTIONS...", help="What to draw; quote each caption.")],
    output: Output = Path("generated"),
    num_images: NumImages = 4,
    seed: Seed = 0,
    truncation: Annotated[
        float, typer.Option(min=0, help="Factor on the noise: 1 for full variety, less for more typical images.")
    ] = 1.0,
) -> None:
    """Draw captions with a trained model: one PNG an image, and a grid of all.

    An image depends on its caption, its number and the seed alone.

    `keras-t2i generate runs/shapes "a large red star" "a small blue ring" -n 4 --seed 1 -o pictures`
    """
    print_result(runs.generate, model, captions, output, num_images, seed, truncation)


@app.command()
def export(
    model: Model,
    output: Output,
    to: Annotated[
        Literal["serving", "litert"],
        typer.Option(help="A SavedModel for TF Serving, or a LiteRT bundle for phones and browsers."),
    ] = "serving",
) -> None:
    """Export a trained model for use without this package.

    An older export of the same kind in the directory is replaced; other files never are.

    `keras-t2i export runs/shapes --to litert -o shapes_litert`
    """
    print_result(runs.export, model, output, to)
