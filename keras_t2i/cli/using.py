"""Commands that use a trained model: presets, generate, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from keras_t2i import runs
from keras_t2i.cli.app import app, print_result, say
from keras_t2i.cli.options import (
    Model,
    NumImages,
    Output,
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
) -> None:
    """Draw captions with a trained model: one PNG an image, and a grid of all.

    An image depends on its caption, its number and the seed alone.

    `keras-t2i generate runs/shapes "a large red star" "a small blue ring" -n 4 --seed 1 -o pictures`
    """
    print_result(runs.generate, model, captions, output, num_images, seed, truncation, guidance, negative_prompt)


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
