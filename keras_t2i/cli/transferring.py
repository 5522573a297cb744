"""The command that starts from a trained model: finetune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_t2i import runs
from keras_t2i.cli.app import app, print_result, verbosity
from keras_t2i.cli.options import (
    CaptionColumn,
    CaptionTemplate,
    Flip,
    MaxSkippedShare,
    of_data,
    of_model,
    of_seed,
    of_training,
)
from keras_t2i.config import RunConfig
from keras_t2i.strategies import STRATEGIES

_HELP = """Fine-tune a trained model on other images, by a strategy that says what is trained.

Networks and text encoder are the model's, and training starts from its averaged weights. A table of what is trained
goes to stderr; nothing else moves. What is left is a run as **train** makes one: stopped at any moment, the same
command goes on; **generate**, **evaluate**, **report** and **export** take it.

Strategies, with what can be set of each; several are joined by +, as in freeze_d+ewc:

{strategies}

`keras-t2i finetune shapes_64 faces:300 --strategy freeze_d --minutes 2 -o runs/faces`

`keras-t2i finetune runs/flowers my_images --strategy lora:rank=8 -o runs/mine`
"""


_LIST = "\n".join(f"- **{name}**: {strategy.description}" for name, strategy in STRATEGIES.items())


@app.command(help=_HELP.format(strategies=_LIST))
def finetune(
    start_from: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="What to start from: a run directory made by **train**, or a preset."),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="As for **train**: **shapes**, **faces** (or faces:300), a FOLDER, **tfds:NAME**."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run directory; a run in it is resumed.")],
    strategy: Annotated[
        str, of_model(help="A name above, with settings after colons: lora:rank=8, freeze:early_blocks=2.")
    ] = "full",
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes to train, over all starts. Default: 15, without --epochs.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs to train, over all starts.")] = None,
    source_data: Annotated[
        str | None,
        of_data(help="What MODEL was trained on, for ewc and mixing. Default: what its card says."),
    ] = None,
    caption_column: CaptionColumn = None,
    caption_template: CaptionTemplate = RunConfig.caption_template,
    flip: Flip = False,
    max_skipped_share: MaxSkippedShare = RunConfig.max_skipped_share,
    batch_size: Annotated[
        int | None, of_training(min=1, help="Images in a batch. Default: 8 below 1,000 training images, else 32.")
    ] = None,
    augment: Annotated[
        bool | None,
        of_training(
            "--augment/--no-augment", help="Differentiable augmentation. Default: below 1,000 training images."
        ),
    ] = None,
    learning_rate_scale: Annotated[
        float | None, of_training(min=1e-6, help="Factor on the learning rates of the model's family. Default: 1.")
    ] = None,
    tensorboard: Annotated[
        bool, of_training("--tensorboard", help="Log losses and image grids for TensorBoard too.")
    ] = False,
    seed: Annotated[int, of_seed(help="Seed of order and noise.", rich_help_panel="Training")] = RunConfig.seed,
) -> None:
    print_result(
        runs.finetune,
        start_from,
        data,
        output,
        strategy,
        minutes=15.0 if minutes is None and epochs is None else minutes,
        epochs=epochs,
        tensorboard=tensorboard,
        verbose=verbosity(),
        augment=augment,
        source_data=source_data,
        caption_column=caption_column,
        caption_template=caption_template,
        flip=flip,
        max_skipped_share=max_skipped_share,
        batch_size=batch_size,
        learning_rate_scale=learning_rate_scale,
        seed=seed,
    )
