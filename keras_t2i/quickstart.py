"""The whole story in one go: train on captioned shapes, measure, draw, export, and run the export."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_t2i import TextToImageGAN, runs
from keras_t2i.export.litert import run_generator
from keras_t2i.latents import latents_for

__all__ = ["quickstart"]

_CAPTIONS = (
    "a large red star in the center on a white background",
    "small cyan ring, at the top left, navy background",
    "a yellow heart, large, at the bottom right of a gray picture",
)
_TIMED_RUNS = 20


def quickstart(output: Path, minutes: float, say: Callable[[str], None], verbose: int | str = "auto") -> dict[str, Any]:
    """Trains on captioned shapes, offline, and leaves everything that a user would want to look at in `output`.

    Args:
        output: Directory to write to. Where a quickstart was stopped there, it goes on.
        minutes: Minutes of training.
        say: Told what is going on, some lines at a time.
        verbose: As in `fit`.

    Returns:
        The numbers of `runs.evaluate`, and where everything is.
    """
    run, drawn = output / "run", output / "images"
    output.mkdir(parents=True, exist_ok=True)  # A place that cannot be written is better known at once.
    say(f"1/4  Training on captioned shapes for {minutes:g} minutes. Watch {run / 'grids'} as it learns.")
    runs.train(runs.RunConfig("shapes"), run, minutes=minutes, verbose=verbose)

    say("2/4  Drawing held-out captions, and judging what was drawn by a classifier of real shapes.")
    result = runs.evaluate(run, judge="none")  # Attributes tell more of shapes, and need no training.

    say("3/4  Drawing captions of your own, and exporting to a SavedModel and to LiteRT.")
    grid = runs.generate(run, _CAPTIONS, drawn)["grid"]
    gan = TextToImageGAN.from_preset(run)
    gan.export(output / "serving", format="tf_saved_model")
    gan.export(output / "litert", format="litert")

    say("4/4  Running the exported LiteRT generator once.")
    milliseconds = _draw_with_litert(output / "litert", gan, _CAPTIONS[0], drawn / "litert.png")
    say(
        f"""
All five attributes right in {result["all_attributes"]:.1%} of {result["num_images"]} images of held-out captions
(the judge itself is right on {result["judge_on_real"]:.1%} of real ones). One image by LiteRT: {milliseconds:.1f} ms.

  how it learned       {run / "grids"}
  your captions        {grid}
  for TF Serving       {output / "serving"}
  for phones, the web  {output / "litert"}

Next:
  keras-t2i generate {run} "a small green diamond at the top right on a black background"
  keras-t2i train shapes --output {run} --minutes {minutes * 3:g}      # the same run, three times as long
  keras-t2i data check MY_IMAGES && keras-t2i train MY_IMAGES --output my_run"""
    )
    places = {"run": run, "grid": grid, "serving": output / "serving", "litert": output / "litert"}
    return {**result, "litert_milliseconds": round(milliseconds, 2), **{name: str(at) for name, at in places.items()}}


def _draw_with_litert(bundle: Path, gan: TextToImageGAN, caption: str, picture: Path) -> float:
    """Draws one image with the exported generator; returns the milliseconds that one takes."""
    embedding = gan.text_encoder.encode([caption])
    latents = latents_for(0, 1, gan.generator.latent_dim)
    image = run_generator(bundle, latents, embedding)[0]
    Image.fromarray(np.rint((image + 1) * 127.5).clip(0, 255).astype(np.uint8)).save(picture)
    start = time.perf_counter()
    run_generator(bundle, latents.repeat(_TIMED_RUNS, axis=0), embedding.repeat(_TIMED_RUNS, axis=0))
    return (time.perf_counter() - start) / _TIMED_RUNS * 1000
