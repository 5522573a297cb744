"""Commands that make a model: quickstart, train, and data check before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_t2i import runs
from keras_t2i.cli.app import app, data_app, print_result, say, verbosity
from keras_t2i.cli.options import (
    BatchSize,
    CaptionColumn,
    CaptionTemplate,
    Flip,
    MaxSkippedShare,
    Output,
    of_model,
    of_seed,
    of_training,
)
from keras_t2i.config import RunConfig


@app.command()
def quickstart(
    output: Output = Path("quickstart"),
    minutes: Annotated[float, typer.Option(min=0.01, help="Minutes of training, of each of the two.")] = 1.45,
) -> None:
    """Fine-tune a model of shapes on 300 faces, beside one from scratch; measure, export: offline, in 5 minutes.

    It leaves both runs, what they draw side by side, pictures, a SavedModel and a LiteRT bundle, runs the export once,
    and says what to try next.
    """

    def story() -> dict[str, Any]:
        from keras_t2i.quickstart import quickstart

        return quickstart(output, minutes, say, verbose=verbosity())

    print_result(story)


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="**shapes** or **faces** (rendered, nothing to download), a FOLDER of captioned images, or "
            "**tfds:NAME** (TensorFlow Datasets, for instance tfds:coco_captions).",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run directory; a run in it is resumed.")],
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes to train, over all starts. Default: 15, without --epochs.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs to train, over all starts.")] = None,
    image_size: Annotated[int, of_model(help="Height and width in pixels: 32, 64, 128 or 256.")] = RunConfig.image_size,
    family: Annotated[
        str, of_model(help="Networks: compact, df_gan, dcgan, self_attention, wgan_gp, projected or mlp (32, 64).")
    ] = RunConfig.family,
    text_encoder: Annotated[
        str,
        of_model(
            help="KerasNLP preset: a name or a directory. The default is in the package. Or **from_scratch**: the "
            "networks learn to read by themselves; or **none**: images without captions."
        ),
    ] = RunConfig.text_encoder,
    caption_column: CaptionColumn = None,
    caption_template: CaptionTemplate = RunConfig.caption_template,
    flip: Flip = False,
    max_skipped_share: MaxSkippedShare = RunConfig.max_skipped_share,
    batch_size: BatchSize = RunConfig.batch_size,
    loss: Annotated[
        str | None,
        of_training(
            help="minimax, non_saturating, least_squares, hinge, wasserstein or relativistic. Default: the family's."
        ),
    ] = None,
    penalty: Annotated[
        str | None, of_training(help="r1, r2, wgan_gp, ma_gp, some joined by +, or none. Default: the family's.")
    ] = None,
    augment: Annotated[
        bool, of_training("--augment", help="Differentiable augmentation, for a few thousand images.")
    ] = False,
    caption_noise: Annotated[
        float | None,
        of_training(
            min=0,
            help="Noise on caption embeddings, in units of their spread: other words for the same are understood.",
        ),
    ] = RunConfig.caption_noise,
    caption_dropout: Annotated[
        float | None, of_training(min=0, max=0.9, help="Share of captions left out: what guidance needs.")
    ] = RunConfig.caption_dropout,
    start_from: Annotated[
        str | None, of_model(help="Preset or run with the same networks, to begin with its weights.")
    ] = None,
    content_features: Annotated[
        str | None,
        of_training(
            help="Draw images towards the real ones of their captions, by content and style, in these image features: "
            "mobilenet_v2, or a file of weights."
        ),
    ] = None,
    frozen_features: Annotated[
        str | None, of_model(help="File of MobileNetV2 weights for the family projected. Default: those of Keras.")
    ] = None,
    reconstruction: Annotated[
        float | None,
        of_training(
            min=0, help="Weight of the difference in pixels to the caption's own image, where it has just one."
        ),
    ] = RunConfig.reconstruction,
    mixed_precision: Annotated[bool, of_training("--mixed-precision", help="Compute in bfloat16.")] = False,
    tensorboard: Annotated[
        bool, of_training("--tensorboard", help="Log losses and image grids for TensorBoard too.")
    ] = False,
    seed: Annotated[
        int, of_seed(help="Seed of weights, order and noise.", rich_help_panel="Training")
    ] = RunConfig.seed,
) -> None:
    """Train a model, or go on training it: a run that was stopped at any moment resumes when started again.

    The run directory gets config.json, log.csv, an image grid an epoch, checkpoints, and the model as a preset.

    A folder holds images and **metadata.jsonl** (or .csv) with the columns file_name and text, or a .txt file beside
    each image; **keras-t2i data check FOLDER** tells how it would be read.

    `keras-t2i train shapes -o runs/shapes`

    `keras-t2i train my_images -o runs/mine --image-size 128 --minutes 600 --augment`
    """
    given = locals()
    config = RunConfig(**{name: given[name] for name in RunConfig.__dataclass_fields__ if name in given})
    minutes = 15.0 if minutes is None and epochs is None else minutes
    print_result(
        runs.train, config, output, minutes=minutes, epochs=epochs, tensorboard=tensorboard, verbose=verbosity()
    )


@data_app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of captioned images.")],
    caption_column: CaptionColumn = None,
    image_size: Annotated[int, typer.Option(help="Size at which the images are read, in pixels.")] = 64,
    contact_sheet: Annotated[Path | None, typer.Option(help="PNG to write: images with their captions.")] = None,
) -> None:
    """Read a folder as train would, and tell what is there and what cannot be used.

    The JSON counts rows, images, captions, lengths, sizes, splits and duplicates, and names every row that cannot be
    used: file, line and reason.

    `keras-t2i data check my_images --contact-sheet look.png`
    """

    def report() -> dict[str, Any]:
        from keras_t2i.data import check_folder

        report = check_folder(folder, image_size=image_size, caption_column=caption_column)
        for row in report.skipped:
            say(str(row))
        if contact_sheet is not None:
            say(f"Contact sheet: {report.contact_sheet(contact_sheet)}")
        return report.as_dict()

    print_result(report)
