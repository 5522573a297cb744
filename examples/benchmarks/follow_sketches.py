"""How far drawings follow sketches (`finetune --strategy sketch`): lines where they were sketched, and no others.

Command:  keras-t2i finetune MODEL DATA --strategy sketch --output RUN
          python examples/benchmarks/follow_sketches.py RUN --output GRID.png
Needs:    a run of that strategy
Cost:     about a minute of one core
Result:   a table over 200 held-out images and sketches that were made of them as in training: how many of the sketched
          pixels are near an outline of the drawing, and how many pixels of its outlines are near one of the image; for
          what the caption alone draws, for its drawing from the sketch, from the sketch shifted by an eighth of its
          size, and from another image's, each beside what it was given. The grid has the rows: images, sketches, drawn
          from the caption alone, from both, sketches of others, and drawn from these
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image

import keras_t2i
from keras_t2i.core.pixels import from_bytes
from keras_t2i.networks import IMAGE_INPUTS
from keras_t2i.networks.outlines import outlines
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

NUM_IMAGES, IN_GRID = 200, 12
NEAR = 0.04
"""Of the size: what lies no farther from a line is near it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    gan = keras_t2i.TextToImageGAN.from_preset(options.run)
    held_out = dataset_of(RunConfig.read(options.run)).validation_split
    assert held_out is not None
    numbers = np.random.default_rng(1234).permutation(held_out.num_images)[: 2 * NUM_IMAGES]
    images = held_out.pixels(numbers)
    lines = np.asarray(IMAGE_INPUTS["sketch"].make(from_bytes(images.astype(np.float32)), 1))
    kept = np.flatnonzero(lines.max(axis=(1, 2, 3)) > 0.5)[:NUM_IMAGES]
    images, lines = images[kept], lines[kept]
    captions = [held_out.captions[number] for number in held_out.caption_of_each()[numbers[kept]]]
    sketches = np.rint(255 * (1 - lines)).astype(np.uint8).repeat(3, axis=-1)
    shifted = moved(sketches)
    others, of_others = np.roll(sketches, 1, axis=0), np.roll(images, 1, axis=0)
    alone = gan.generate(captions, seed=1)
    followed = gan.complete(sketches, None, captions, seed=1)
    of_other_sketches = gan.complete(others, None, captions, seed=1)
    print("| drawn from | sketched lines that are drawn | outlines that are the image's |", "|---" * 3 + "|", sep="\n")
    for name, drawing, sketch, image in (
        ("the caption alone", alone, sketches, images),
        ("caption and sketch", followed, sketches, images),
        ("caption and shifted sketch", gan.complete(shifted, None, captions, seed=1), shifted, moved(images)),
        ("caption and the sketch of another", of_other_sketches, others, of_others),
        ("the same drawing, beside the caption's own", of_other_sketches, sketches, images),
    ):
        drawn, sketched = outlined(drawing), sketch[..., 0] < 128
        print(f"| {name} | {near(sketched, drawn):.1%} | {near(drawn, outlined(image)):.1%} |")
    rows = [images, sketches, alone, followed, others, of_other_sketches]
    Image.fromarray(np.concatenate([np.concatenate(list(row[:IN_GRID]), axis=1) for row in rows])).save(options.output)


def moved(images: np.ndarray) -> np.ndarray:
    return np.roll(images, images.shape[1] // 8, axis=(1, 2))


def outlined(images: np.ndarray) -> np.ndarray:
    """Where outlines are, bool, shape `(N, H, W)`."""
    return np.asarray(outlines(from_bytes(images.astype(np.float32))))[..., 0] > 0.5


def near(these: np.ndarray, those: np.ndarray) -> float:
    """The share of these places that is near any of those."""
    window = 2 * round(NEAR * these.shape[1]) + 1
    around = np.asarray(ops.max_pool(those[..., None].astype(np.float32), window, strides=1, padding="same"))[..., 0]
    return float((these & (around > 0)).sum() / max(these.sum(), 1))


if __name__ == "__main__":
    main()
