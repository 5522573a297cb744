"""The whole story in one go: draw, fine-tune a trained model on other images, beside one from scratch, and ship it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_t2i import runs
from keras_t2i.core.files import write_file
from keras_t2i.core.grid import draw_grid
from keras_t2i.core.provenance import png, provenance
from keras_t2i.data import FACE_ATTRIBUTES
from keras_t2i.export.litert_runner import LiteRTBundle
from keras_t2i.models import TextToImage
from keras_t2i.runs.prepare import dataset
from keras_t2i.tasks.drawing import generate

__all__ = ["quickstart"]

_SOURCE = "shapes_64"
_DATA = "faces:300"
_FIRST_CAPTIONS = (
    "a large red star on a white background",
    "small green ring, top left, black background",
    "a big pink heart at the bottom right on a gray background",
)
_CAPTIONS = (
    "a laughing green face with spiky red hair and sunglasses on a purple background",
    "a sad blue face with long blond hair and round glasses on an orange background",
    "yellow cartoon face, surprised, curly black hair, no glasses, cyan background",
)
_HEADINGS = ("real", "fine-tuned", "from scratch")
_ROWS = 8


def quickstart(
    output: Path,
    steps: int,
    say: Callable[[str], None],
    verbose: int | str = "auto",
    source: str = _SOURCE,
) -> dict[str, Any]:
    """Draws with a model of shapes, trains it on cartoon faces, offline, and leaves what one wants to see in `output`.

    Beside it, as long and on the same images, the same networks start from nothing: the difference is the transfer.

    Args:
        output: Directory to write to. Where a quickstart was stopped there, it goes on.
        steps: Training steps, of each of the two: the same result on a slow machine as on a fast one, only later.
        say: Told what is going on, some lines at a time.
        verbose: As in `fit`.
        source: The preset to start from.

    Returns:
        `finetuned` and `scratch`, the numbers of `runs.evaluate` of both; `litert_milliseconds`; where everything is.
    """
    finetuned, scratch, drawn = output / "finetuned", output / "scratch", output / "images"
    output.mkdir(parents=True, exist_ok=True)  # A place that cannot be written is better known at once.
    say(f"1/6  Drawing with {source}, as it is in the package: {_FIRST_CAPTIONS[0]!r} and two others.")
    first = generate(Path(source), _FIRST_CAPTIONS, output / "first")["grid"]
    say(f"     Look at {first}.")

    say(f"2/6  Fine-tuning it on 300 captioned faces for {steps} steps. Watch {finetuned / 'grids'}.")
    runs.finetune(source, _DATA, finetuned, steps=steps, verbose=verbose)

    say(f"3/6  The same networks on the same faces from scratch, as many steps. Watch {scratch / 'grids'}.")
    same = replace(runs.RunConfig.read(finetuned), start_from=None, strategy=None)
    runs.train(same, scratch, steps=steps, verbose=verbose)

    say("4/6  Judging both by a classifier of real faces, on captions that neither has seen.")
    # One image a caption, and no judge of captions, which would have to be trained: these numbers say enough.
    result = {run.name: _with_mean(runs.evaluate(run, num_images=1, judge="none")) for run in (finetuned, scratch)}
    picture = _side_by_side(finetuned, scratch, output / "comparison.png")

    say("5/6  Drawing captions of your own, and exporting to a SavedModel and to LiteRT.")
    grid = generate(finetuned, _CAPTIONS, drawn)["grid"]
    gan = TextToImage.from_preset(finetuned)
    gan.export(output / "serving", format="serving")
    gan.export(output / "litert", format="litert", precision="int8", captions=_CAPTIONS)

    say("6/6  Running the exported LiteRT generator once.")
    milliseconds = _draw_with_litert(output / "litert", _CAPTIONS[0], drawn / "litert.png")
    say(
        f"""
On {result["scratch"]["num_captions"]} captions of faces never trained on, after {steps} steps on 300 images:

  {"":14}{"an attribute right":>20}{"all six right":>16}{"kernel distance":>18}
  {_row("fine-tuned", result["finetuned"])}
  {_row("from scratch", result["scratch"])}

One image by LiteRT, from caption to pixels on one thread: {milliseconds:.1f} ms.

  at the start         {first}
  both beside real     {picture}
  how it learned       {finetuned / "grids"}
  your captions        {grid}
  for TF Serving       {output / "serving"}
  for phones, the web  {output / "litert"}

Next:
  keras-t2i generate {finetuned} "{_CAPTIONS[1]}"
  keras-t2i presets      # what else there is to start from
  keras-t2i data check MY_IMAGES && keras-t2i finetune {source} MY_IMAGES --output my_run"""
    )
    places = {
        "first": first,
        "comparison": picture,
        "grid": grid,
        "serving": output / "serving",
        "litert": output / "litert",
    }
    return {**result, "litert_milliseconds": round(milliseconds, 2), **{name: str(at) for name, at in places.items()}}


def _with_mean(numbers: dict[str, Any]) -> dict[str, Any]:
    """The same with `mean_attribute`: the share of attributes right, of all attributes of all images."""
    return {"mean_attribute": float(np.mean([numbers[name] for name in FACE_ATTRIBUTES])), **numbers}


def _row(name: str, numbers: dict[str, Any]) -> str:
    shares = f"{numbers['mean_attribute']:>20.1%}{numbers['all_attributes']:>16.1%}"
    return f"{name:14}{shares}{numbers['kernel_distance']:>18.3f}"


def _side_by_side(finetuned: Path, scratch: Path, picture: Path) -> Path:
    """Draws held-out captions: a real image of each, and one of either model from the same noise."""
    split = dataset(runs.RunConfig.read(finetuned)).validation_split
    assert split is not None  # Rendered images always have one.
    numbers = np.linspace(0, split.num_images - 1, _ROWS, dtype=np.int64)
    captions = [split.captions[position] for position in split.caption_of_each(numbers)]
    models = [TextToImage.from_preset(run) for run in (finetuned, scratch)]
    images = [split.pixels(numbers), *(model.generate(captions) for model in models)]
    grid = draw_grid(np.stack(images, axis=1), captions, _HEADINGS)
    write_file(picture, png(grid, provenance(models[0].fingerprint(), grid=()), composite=True))
    return picture


def _draw_with_litert(directory: Path, caption: str, picture: Path) -> float:
    """Draws one image with the exported bundle; returns the milliseconds that one takes."""
    bundle = LiteRTBundle(directory)
    picture.write_bytes(bundle.png(caption))
    return float(bundle.description["measured"]["milliseconds"])
