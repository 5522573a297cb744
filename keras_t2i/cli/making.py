"""Commands that make a model: quickstart, train, finetune, distill, and data check before them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_t2i import runs
from keras_t2i.cli.app import app, data_app, print_result, say, verbosity
from keras_t2i.cli.options import (
    Data,
    Output,
    RunOutput,
    with_options_of,
)
from keras_t2i.runs import RunConfig
from keras_t2i.transfer.strategies import STRATEGIES


@app.command()
def quickstart(
    output: Output = Path("quickstart"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps of 8 images, of each of the two.")] = 800,
) -> None:
    """Draw, fine-tune a model of shapes on 300 faces beside one from scratch, measure, export: offline, in 5 minutes.

    It leaves pictures after seconds, both runs, what they draw side by side, a SavedModel and a LiteRT bundle, runs the
    export once, and says what to try next.
    """

    def story() -> dict[str, Any]:
        from keras_t2i.runs.quickstart import quickstart

        return quickstart(output, steps, say, verbose=verbosity())

    print_result(story)


def _of_training(options: dict[str, Any]) -> dict[str, Any]:
    """Takes out of options those that are not of a configuration; 15 minutes where nothing ends training."""
    limits = {name: options.pop(name) for name in ("minutes", "epochs", "steps")}
    if not any(limits.values()):
        limits["minutes"] = 15.0
    kept = {name: options.pop(name) for name in ("tensorboard", "changed_data", "devices", "wait_minutes")}
    return {**limits, **kept, "verbose": verbosity()}


@app.command()
@with_options_of("train")
def train(
    data: Data,
    output: RunOutput,
    **options: Any,
) -> None:
    """Train a model, or go on training it: a run that was stopped at any moment resumes when started again.

    The run directory gets config.json, log.csv, an image grid an epoch, checkpoints, and the model as a preset.

    A folder holds images and **metadata.jsonl** (or .csv) with the columns file_name and text, a .txt file beside each
    image, or captions as public data sets have them; **keras-t2i data check FOLDER** tells how it would be read.

    `keras-t2i train shapes -o runs/shapes`

    `keras-t2i train my_images -o runs/mine --image-size 128 --minutes 600 --augment`
    """
    of_training = _of_training(options)
    print_result(runs.train, RunConfig(data, **options), output, **of_training)


_HELP = """Fine-tune a trained model on other images, by a strategy that says what is trained.

Networks and text encoder are the model's, and training starts from its averaged weights. A table of what is trained
goes to stderr; nothing else moves. What is left is a run as **train** makes one: stopped at any moment, the same
command goes on; **generate**, **evaluate**, **report** and **export** take it.

Strategies, with what can be set of each; several are joined by +, as in freeze_d+ewc:

{strategies}

`keras-t2i finetune shapes_64 faces:300 --strategy freeze_d --minutes 2 -o runs/faces`

`keras-t2i finetune runs/flowers my_images --strategy lora:rank=8 -o runs/mine`

MODEL may be Stable Diffusion 3, by its name in KerasHub or a directory of KerasHub, with what is to be otherwise behind
it: image size, type of weights, and **remat**, which computes blocks again instead of keeping them.

`keras-t2i finetune stable_diffusion_3.5_medium:512:bfloat16 my_images --strategy lora -o runs/sd --dry-run`
"""


_LIST = "\n".join(f"- **{name}**: {strategy.description}" for name, strategy in STRATEGIES.items())


@app.command(help=_HELP.format(strategies=_LIST))
@with_options_of("finetune")
def finetune(
    start_from: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="What to start from: a run directory made by **train**, or a preset."),
    ],
    data: Data,
    output: RunOutput,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the memory that a step of Stable Diffusion takes.")
    ] = False,
    **options: Any,
) -> None:
    strategy = options.pop("strategy") or "full"
    if dry_run:

        def counted() -> dict[str, Any]:
            from keras_t2i.runs.dry_run import dry_run

            return dry_run(start_from, strategy, options["batch_size"])

        print_result(counted)
        return
    of_training = _of_training(options)
    print_result(runs.finetune, start_from, data, output, strategy, **of_training, **options)


@app.command()
@with_options_of("distill")
def distill(
    teacher: Annotated[
        str,
        typer.Argument(metavar="TEACHER", help="Whose images are learned: a run made by **train**, or a preset."),
    ],
    output: RunOutput,
    data: Annotated[
        str | None,
        typer.Option(help="Whose captions it draws: as DATA of **train**. Default: what TEACHER was trained on."),
    ] = None,
    **options: Any,
) -> None:
    """Train a generator that draws in one pass what a slower one draws in many.

    TEACHER draws images once, which are kept with their noise in **drawn**, in the run directory: stopped at any
    moment, the same command goes on. The student learns each from its noise and caption, by the difference in pixels
    beside an adversary. What is left is a run as **train** makes one.

    `keras-t2i distill runs/flow -o runs/fast`
    """
    of_training = _of_training(options)
    print_result(runs.distill, teacher, output, data, **of_training, **options)


@data_app.command("check")
@with_options_of("check")
def check(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder of captioned images.")],
    image_size: Annotated[int, typer.Option(help="Size at which the images are read, in pixels.")] = 64,
    contact_sheet: Annotated[Path | None, typer.Option(help="PNG to write: images with their captions.")] = None,
    **options: Any,
) -> None:
    """Read a folder as train would, and tell what is there and what cannot be used.

    The JSON says how the folder is laid out, and counts rows, images, captions, lengths, sizes and splits. It names
    every row that cannot be used, with file, line and reason; and images that are in no row, that are nearly one color,
    that lose more than a third to the crop, and that show the same, or nearly. It counts, too, what the text encoder
    knows of the captions, and how far it reads them.

    `keras-t2i data check my_images --contact-sheet look.png`
    """

    def report() -> dict[str, Any]:
        from keras_t2i.data import check_folder
        from keras_t2i.data.names import is_folder
        from keras_t2i.runs.captions import read_captions

        if not is_folder(folder):
            raise ValueError(
                f"{folder!r} is no folder to check, here as in train; for one of that name, write ./{folder}."
            )

        config = RunConfig(folder, **options)
        report = check_folder(
            folder,
            image_size,
            caption_column=config.caption_column,
            caption_template=config.caption_template,
            fit=config.fit,
            intensity_range=config.intensities,
        )
        for row in report.skipped:
            say(str(row))
        for notice in report.notices:
            say(f"Warning: {notice}")
        if contact_sheet is not None:
            say(f"Contact sheet: {report.contact_sheet(contact_sheet)}")
        captions = [caption for file in report.contents.files for caption in file.captions]
        reading = read_captions(captions, config.text_encoder, config.sequence_length, say)
        return {**report.as_dict(), "reading": reading}

    print_result(report)


@data_app.command("pack")
@with_options_of("pack")
def pack(
    data: Data,
    output: Output,
    image_size: Annotated[int, typer.Option(help="Size of the images, in pixels.")] = 64,
    workers: Annotated[int | None, typer.Option(min=1, help="Processors to work on. Default: all.")] = None,
    **options: Any,
) -> None:
    """Decode images and embed their captions once, in parallel, for trainings of any size that start at once.

    DATA may also be a **.tar** file as webdataset has them, a **.parquet** file with images in it, or a folder of such.
    Stopped at any moment, the same command goes on, and ends with the same bytes. **train**, **finetune** and
    **compare** take the output as DATA, in memory that does not grow with it; where there is no TensorFlow,
    `keras_t2i.data.PackedImages.read` gives it to `fit`. Rows that cannot be used are counted, and named in
    skipped.jsonl.

    `keras-t2i data pack my_images --output packed`

    `keras-t2i train packed --output runs/mine`
    """

    def packed() -> dict[str, Any]:
        from keras_t2i.runs.packing import pack

        return pack(RunConfig(data, image_size=image_size, **options), output, workers)

    print_result(packed)
