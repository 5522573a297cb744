"""The command line: parses, calls, prints. JSON goes to stdout, everything for people to stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from keras_t2i import runs
from keras_t2i.runs import RunConfig

__all__ = ["app", "main"]

app = typer.Typer(
    help="Train a text-to-image generator on your own captioned images, measure it, and ship it.\n\n"
    "Start with **keras-t2i quickstart**, which needs no data and no network.\n\n"
    "Results go to stdout as JSON, progress to stderr. Exit code 2: the input was at fault, and one line says how.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Look at a data set before training on it.")
app.add_typer(data_app, name="data")

_data = partial(typer.Option, rich_help_panel="Data")
_model = partial(typer.Option, rich_help_panel="Model")
_training = partial(typer.Option, rich_help_panel="Training")

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory made by **train**.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A run directory made by **train**, or a preset.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Directory to write to.")]
NumImages = Annotated[int, typer.Option("--num-images", "-n", min=1, help="Images of each caption.")]
CaptionColumn = Annotated[
    str | None, _data(help="Column of captions in a folder's table. Default: text, caption or captions.")
]
_seed = partial(typer.Option, min=0, max=2**31 - 1)
Seed = Annotated[int, _seed(help="Seed of the noise.")]


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="**shapes** (rendered, nothing to download), a FOLDER of captioned images, or **tfds:NAME** "
            "(TensorFlow Datasets, for instance tfds:coco_captions).",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The run directory; a run in it is resumed.")],
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes to train, over all starts. Default: 15, without --epochs.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs to train, over all starts.")] = None,
    image_size: Annotated[int, _model(help="Height and width in pixels: 32, 64, 128 or 256.")] = RunConfig.image_size,
    family: Annotated[str, _model(help="Networks: compact, df_gan, dcgan or mlp (32 and 64).")] = RunConfig.family,
    text_encoder: Annotated[
        str, _model(help="KerasNLP preset: a name or a directory. The default is in the package.")
    ] = RunConfig.text_encoder,
    caption_column: CaptionColumn = None,
    caption_template: Annotated[
        str, _data(help="Caption of TFDS images with labels only.")
    ] = RunConfig.caption_template,
    flip: Annotated[bool, _data("--flip", help="Mirror half of the images; not where captions name sides.")] = False,
    max_skipped_share: Annotated[
        float, _data(min=0, max=1, help="Share of unusable rows above which training is refused.")
    ] = RunConfig.max_skipped_share,
    batch_size: Annotated[int, _training(min=1, help="Images in a batch.")] = RunConfig.batch_size,
    loss: Annotated[
        str | None,
        _training(
            help="minimax, non_saturating, least_squares, hinge, wasserstein or relativistic. Default: the family's."
        ),
    ] = None,
    penalty: Annotated[str | None, _training(help="r1, r2, wgan_gp, ma_gp or none. Default: the family's.")] = None,
    augment: Annotated[
        bool, _training("--augment", help="Differentiable augmentation, for a few thousand images.")
    ] = False,
    mixed_precision: Annotated[bool, _training("--mixed-precision", help="Compute in bfloat16.")] = False,
    tensorboard: Annotated[
        bool, _training("--tensorboard", help="Log losses and image grids for TensorBoard too.")
    ] = False,
    seed: Annotated[int, _seed(help="Seed of weights, order and noise.", rich_help_panel="Training")] = RunConfig.seed,
) -> None:
    """Train a model, or go on training it: a run that was stopped at any moment resumes when started again.

    The run directory gets config.json, log.csv, an image grid an epoch, checkpoints, and the model as a preset.

    A folder holds images and **metadata.jsonl** (or .csv) with the columns file_name and text, or a .txt file beside
    each image; **keras-t2i data check FOLDER** tells how it would be read.

    `keras-t2i train shapes -o runs/shapes`

    `keras-t2i train my_images -o runs/mine --image-size 128 --minutes 600 --augment`
    """
    given = locals()
    config = RunConfig(**{name: given[name] for name in RunConfig.__dataclass_fields__})
    minutes = 15.0 if minutes is None and epochs is None else minutes
    _print_result(
        runs.train, config, output, minutes=minutes, epochs=epochs, tensorboard=tensorboard, verbose=_verbosity()
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
    _print_result(runs.generate, model, captions, output, num_images, seed, truncation)


@app.command()
def evaluate(run: Run, num_images: NumImages = 2, seed: Seed = 0) -> None:
    """Measure a run on its held-out captions.

    The JSON holds the diversity of the images, relative to real ones. On shapes it also holds all_attributes, the
    share of images with shape, color, background, position and size all right, and the share of each alone, as judged
    by a classifier trained on real shapes (judge_on_real is its own share on those).

    `keras-t2i evaluate runs/shapes > shapes.json`
    """
    _print_result(runs.evaluate, run, num_images=num_images, seed=seed)


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
    _print_result(runs.export, model, output, to)


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
            _say(str(row))
        if contact_sheet is not None:
            _say(f"Contact sheet: {report.contact_sheet(contact_sheet)}")
        return report.as_dict()

    _print_result(report)


@app.command()
def quickstart(
    output: Output = Path("quickstart"),
    minutes: Annotated[float, typer.Option(min=0.01, help="Minutes of training.")] = 5.0,
) -> None:
    """Train on captioned shapes, look, measure, export, and run the export once: offline, in under 8 minutes.

    It leaves a run, image grids, pictures, a SavedModel and a LiteRT bundle, and says what to try next.
    """

    def story() -> dict[str, Any]:
        from keras_t2i.quickstart import quickstart

        return quickstart(output, minutes, _say, verbose=_verbosity())

    _print_result(story)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: with 0, or with 2 and one line on stderr where the input was at fault.

    Args:
        arguments: What follows the program's name; by default that of the process.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    with warnings.catch_warnings():
        # Our own warnings are for the user, as plain lines; those of other libraries are not.
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"keras_t2i\.")
        warnings.showwarning = lambda message, *_, **__: _say(f"Warning: {message}")  # type: ignore[assignment]
        try:
            code = app(arguments, prog_name="keras-t2i", standalone_mode=False)
        except Exception as error:
            message = _message(error)
            if message is None:
                raise
            _say(f"Error: {message}")
            code = 2
    sys.exit(code)


def _message(error: Exception) -> str | None:
    """One line for an error that the user or the machine is to blame for; `None` for a bug of ours."""
    tensorflow = sys.modules.get("tensorflow")
    if hasattr(error, "format_message"):  # Typer's own, whose class has moved from release to release.
        return f"{' '.join(error.format_message().split()).rstrip('.')}. See --help."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, ValueError | OSError | ImportError | MemoryError) or (
        tensorflow is not None and isinstance(error, tensorflow.errors.OpError)
    ):
        return next(iter(str(error).strip().splitlines()), type(error).__name__)
    return None


def _print_result(work: Callable[..., dict[str, Any]], *args: Any, **kwargs: Any) -> None:
    """Prints what `work` returns as JSON, alone on stdout: Keras' progress bars would go there too."""
    _import_tensorflow_quietly()
    with contextlib.redirect_stdout(sys.stderr):
        result = work(*args, **kwargs)
    print(json.dumps(result, indent=2), flush=True)


def _import_tensorflow_quietly() -> None:
    """Imports TensorFlow without the lines that its start-up code writes, past Python, to the process's stderr."""
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            captured.seek(0)
            os.write(original, captured.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TensorFlow Datasets warns there of its own deprecations.


def _verbosity() -> int | str:
    """A moving bar on a terminal, one line an epoch in a file."""
    return "auto" if sys.stderr.isatty() else 2


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
