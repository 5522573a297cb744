"""Commands that measure: evaluate, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_t2i import runs
from keras_t2i.cli.app import app, print_result, say
from keras_t2i.cli.options import (
    BatchSize,
    CaptionColumn,
    Features,
    Flip,
    Judge,
    NumImages,
    Run,
    Seed,
    of_data,
    of_model,
    of_training,
)
from keras_t2i.compare.methods import METHODS as _METHODS
from keras_t2i.config import RunConfig


@app.command()
def evaluate(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run directory made by **train**.")] = None,
    generated: Annotated[Path | None, typer.Option(help="Instead of RUN: a folder of images from any source.")] = None,
    real: Annotated[Path | None, typer.Option(help="With --generated: a folder of real images.")] = None,
    num_images: NumImages = 2,
    max_images: Annotated[int, typer.Option(min=2, help="Images to generate, or to read of a folder, at most.")] = 2000,
    features: Features = "auto",
    judge: Judge = "retriever",
    seed: Seed = 0,
) -> None:
    """Measure a run on its held-out captions, or a folder of generated images against one of real images.

    The JSON holds kernel and Fréchet distance, precision, recall, density and coverage in image features, diversity,
    R-precision by a judge trained on the real pairs (and what that judge makes of real held-out ones), how many images
    lie suspiciously close to a training image, how surely the discriminator tells training images from others, and
    warnings. On shapes and faces it also holds all_attributes, the share of images with every attribute right.

    `keras-t2i evaluate runs/shapes > shapes.json`

    `keras-t2i evaluate --generated theirs --real photos`
    """
    if (run is None) == (generated is None and real is None) or (generated is None) != (real is None):
        raise ValueError("Say what to measure: either RUN, or both --generated and --real.")
    if run is not None:
        print_result(runs.evaluate, run, num_images, max_images, features, judge, seed)
    else:
        print_result(runs.evaluate_folders, generated, real, features, max_images, seed)


@app.command()
def report(
    run: Run,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file to write. Default: report.html in the run.")
    ] = None,
    features: Features = "auto",
    judge: Judge = "retriever",
    seed: Seed = 0,
) -> None:
    """Explain a run on one page: losses, numbers, pictures over time, best and worst images, costs, warnings.

    The page is one file that needs no network.

    `keras-t2i report runs/shapes`
    """

    def work() -> dict[str, Any]:
        from keras_t2i.run_report import write_run_report

        return write_run_report(run, output or run / "report.html", features, judge, seed)

    print_result(work)


@app.command()
def compare(
    data: Annotated[str, typer.Argument(metavar="DATA", help="As for **train**: shapes, faces, a FOLDER, tfds:NAME.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory; a comparison in it goes on.")],
    methods: Annotated[
        str,
        typer.Option(
            help="Names, separated by commas: " + ", ".join(_METHODS) + ". Variants: compact:loss=hinge:augment=true."
        ),
    ] = "compact,dcgan,wasserstein,mlp",
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Minutes of training each. Default: 5.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Images seen by each, instead of --minutes.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each method.")] = 3,
    features: Features = "auto",
    judge: Judge = "retriever",
    image_size: Annotated[int, of_model(help="Height and width in pixels.")] = RunConfig.image_size,
    text_encoder: Annotated[str, of_model(help="KerasNLP preset of methods that name none.")] = RunConfig.text_encoder,
    caption_column: CaptionColumn = None,
    content_features: Annotated[
        str | None, of_training(help="Image features of methods that train with some. Default: mobilenet_v2.")
    ] = None,
    flip: Flip = False,
    augment: Annotated[bool, of_training("--augment", help="Differentiable augmentation, for all methods.")] = False,
    batch_size: BatchSize = RunConfig.batch_size,
    source: Annotated[
        str | None, of_model(help="Run or preset for the methods that start from a trained model: finetuned, lora, ...")
    ] = None,
    source_data: Annotated[
        str | None, of_data(help="What that was trained on, for ewc and mix_source, written like DATA.")
    ] = None,
) -> None:
    """Tell methods apart: train each alike, several seeds, measure, and lay all side by side on one page.

    Runs follow each other, each in a process of its own. Started again, it goes on where it was stopped. It writes
    comparison.json, comparison.md and report.html, which needs no network.

    `keras-t2i compare shapes --methods compact,dcgan,mlp --minutes 5 --seeds 3 -o comparison`

    `keras-t2i compare faces:300 --methods compact,finetuned,lora --source shapes_64 --augment -o transfer`
    """

    def work() -> dict[str, Any]:
        from keras_t2i.compare import ComparisonConfig
        from keras_t2i.compare import compare as run_comparison

        base = RunConfig(
            data,
            image_size=image_size,
            text_encoder=text_encoder,
            caption_column=caption_column,
            content_features=content_features,
            flip=flip,
            augment=augment,
            batch_size=batch_size,
        )
        names = tuple(name.strip() for name in methods.split(",") if name.strip())
        limit = 5.0 if minutes is None and images is None else minutes
        chosen = ComparisonConfig(base, names, limit, images, seeds, features, judge, source, source_data)
        return run_comparison(chosen, output, say)

    print_result(work)
