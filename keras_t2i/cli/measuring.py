"""Commands that measure: doctor, evaluate, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_t2i import runs
from keras_t2i.cli.app import app, print_result, say
from keras_t2i.cli.options import Data, Features, Judge, NumImages, Run, Seed, with_options_of
from keras_t2i.runs import RunConfig
from keras_t2i.runs.compare.methods import method_names


@app.command()
def doctor(
    speed: Annotated[
        bool, typer.Option("--speed/--no-speed", help="Whether to time a few training steps: some ten seconds.")
    ] = True,
) -> None:
    """Look at this machine: what is installed, what training computes on, how fast, and what would make it faster.

    It needs no network, and answers on machines on which nothing can be trained, too: what cannot be found is null.

    `keras-t2i doctor`
    """
    print_result(runs.doctor, speed, say, starts_tensorflow=False)


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
    warnings. On rendered domains it also holds all_attributes, the share of images with every attribute right.

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
        from keras_t2i.runs.reporting import write_run_report

        return write_run_report(run, output or run / "report.html", features, judge, seed)

    print_result(work)


@app.command()
@with_options_of("compare")
def compare(
    data: Data,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory; a comparison in it goes on.")],
    methods: Annotated[
        str,
        typer.Option(
            help="Names, separated by commas: "
            + ", ".join(method_names())
            + ". Variants: compact:loss=hinge:augment=true."
        ),
    ] = "compact,dcgan,wgan_gp,mlp",
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Minutes of training each. Default: 5.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Images seen by each, instead of --minutes.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each method.")] = 3,
    features: Features = "auto",
    judge: Judge = "retriever",
    source: Annotated[
        str | None,
        typer.Option(
            help="Run or preset for the methods that start from a trained model: full, lora, ...",
            rich_help_panel="Model",
        ),
    ] = None,
    source_data: Annotated[
        str | None,
        typer.Option(help="What that was trained on, for ewc and mixing, written like DATA.", rich_help_panel="Data"),
    ] = None,
    **options: Any,
) -> None:
    """Tell methods apart: train each alike, several seeds, measure, and lay all side by side on one page.

    Runs follow each other, each in a process of its own. Started again, it goes on where it was stopped. It writes
    comparison.json, comparison.md and report.html, which needs no network.

    `keras-t2i compare shapes --methods compact,dcgan,mlp --minutes 5 --seeds 3 -o comparison`

    `keras-t2i compare faces:300 --methods compact,full,lora --source shapes_64 --augment -o transfer`
    """

    def work() -> dict[str, Any]:
        from keras_t2i.runs.compare import ComparisonConfig
        from keras_t2i.runs.compare import compare as run_comparison

        names = tuple(name.strip() for name in methods.split(",") if name.strip())
        limit = 5.0 if minutes is None and images is None else minutes
        base = RunConfig(data, **options)
        chosen = ComparisonConfig(base, names, limit, images, seeds, features, judge, source, source_data)
        return run_comparison(chosen, output, say)

    print_result(work)
