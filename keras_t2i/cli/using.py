"""Commands that use a trained model: presets, generate, export, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from keras_t2i import shipping
from keras_t2i.cli.app import app, print_result, say
from keras_t2i.cli.options import (
    Model,
    NumImages,
    Output,
    RecordPrompts,
    Seed,
)


@app.command()
def presets() -> None:
    """List the trained models inside the package: what each draws, its size, its quality and its license.

    Their names stand for a MODEL in **generate** and **export**, and **train** can start from them. A directory that
    save_to_preset has written, hf://USER/MODEL and kaggle://USER/MODEL/FRAMEWORK/VARIATION do so too.

    `keras-t2i presets`
    """

    def listing() -> dict[str, Any]:
        from keras_t2i.presets import describe, packaged_presets

        found = {name: describe(name) for name in packaged_presets()}
        for name, told in found.items():
            facts = f"{told['image_size']} pixels", f"{told['bytes'] / 1e6:.1f} MB", told["quality"], told["license"]
            say(f"{name}: {told['description'] or ''} {', '.join(filter(None, facts))}.")
        return found

    print_result(listing)


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
    guidance: Annotated[
        float,
        typer.Option(min=0, help="How far to go towards the caption: 1 arrives, more goes beyond (--caption-dropout)."),
    ] = 1.0,
    negative_prompt: Annotated[
        str | None, typer.Option(help="What to go away from, with a guidance above 1, in place of no caption.")
    ] = None,
    record_prompts: RecordPrompts = True,
) -> None:
    """Draw captions with a trained model: one PNG an image, and a grid of all.

    An image depends on its caption, its number and the seed alone. MODEL may also be a LiteRT bundle: what a phone
    would draw.

    `keras-t2i generate runs/shapes "a large red star" "a small blue ring" -n 4 --seed 1 -o pictures`
    """
    how = (num_images, seed, truncation, guidance, negative_prompt, record_prompts)
    print_result(shipping.generate, model, captions, output, *how)


@app.command()
def export(
    model: Model,
    output: Output,
    to: Annotated[
        Literal["serving", "saved_model", "litert"],
        typer.Option(
            help="**serving**: a SavedModel with all that TF Serving reads; **saved_model**: that alone; **litert**: a "
            "bundle for phones and browsers."
        ),
    ] = "serving",
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
