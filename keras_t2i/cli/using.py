"""Commands that use a trained model: presets, generate, export, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from keras_t2i.cli.app import app, print_result
from keras_t2i.cli.options import Model, Output, RecordPrompts
from keras_t2i.export import FORMATS
from keras_t2i.runs import shipping


@app.command()
def presets() -> None:
    """List the trained models inside the package: what each draws, its size, its quality and its license.

    Their names stand for a MODEL in **generate** and **export**, and **train** can start from them. A directory that
    save_to_preset has written, hf://USER/MODEL and kaggle://USER/MODEL/FRAMEWORK/VARIATION do so too.

    `keras-t2i presets`
    """

    def listing() -> dict[str, Any]:
        from keras_t2i.presets import describe, packaged_presets

        return {name: describe(name) for name in packaged_presets()}

    print_result(listing)


@app.command()
def export(
    model: Model,
    output: Output,
    to: Annotated[
        Literal[tuple(FORMATS)],  # type: ignore[valid-type]
        typer.Option(
            help=f"One of {', '.join(FORMATS)}. **saved_model**: one graph, text in, images out; **serving**: the same "
            "with all that TF Serving reads; **litert**: a bundle for phones and browsers.",
        ),
    ] = "saved_model",
    precision: Annotated[
        Literal["float32", "float16", "int8", "int8-static"],
        typer.Option(help="Of litert: int8 is a quarter of the size; int8-static is for accelerators."),
    ] = "float32",
    captions: Annotated[
        Path | None,
        typer.Option(help="Of litert: text file with a caption a line. Default: those that a run was trained on."),
    ] = None,
    record_prompts: RecordPrompts = True,
) -> None:
    """Export a trained model for use without this package.

    An older export of the same kind in the directory is replaced; other files never are.

    `keras-t2i export runs/shapes --to litert --precision int8 -o shapes_litert`
    """
    print_result(shipping.export, model, output, to, precision, captions, record_prompts)


@app.command()
def inspect(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A PNG file.")],
) -> None:
    """Read what a picture says of its origin: caption, seed, model, and that a machine drew it.

    `keras-t2i inspect generated/00-00.png`
    """
    print_result(shipping.inspect, image)
