"""What completion (`finetune --strategy complete`) is worth on shapes: the shape is hidden, a caption says what it was.

Command:  keras-t2i finetune shapes_64 shapes --strategy complete --minutes 10 --output RUN
          python examples/benchmarks/complete_shapes.py RUN --output GRID.png
Needs:    a run of that strategy
Cost:     about a minute of one core beside training
Result:   a table over an image of each held-out combination: how often the packaged judge finds all five attributes
          right, how far neighbors across the seam are from each other beyond what they were, how many known pixels are
          the same; and how far two answers differ in the hole. The grid has the rows: picture, hidden, completed by its
          caption, twice, and by another's

The hole is a square around the place of the shape, as large as the largest shape needs. The other caption is one of
another held-out combination with the same background and position. Beside the model stands what it started from, drawn
from the caption alone and put into the hole.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import keras_t2i
from keras_t2i.core.latents import latents_for
from keras_t2i.data import SHAPE_ATTRIBUTES, Split, shapes
from keras_t2i.metrics.attributes import AttributeJudge, attribute_accuracy
from keras_t2i.models.sampling import Sampler, prompt_embeddings

IN_GRID = 12
CENTERS = np.array([(0.5, 0.5), (0.28, 0.28), (0.72, 0.28), (0.28, 0.72), (0.72, 0.72)])
"""Of the positions, in the order of their words: across and down, as shares of the size."""
REACH = 0.28
"""Half of the hole's side, likewise."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    gan = keras_t2i.TextToImageGAN.from_preset(options.run)
    judge = AttributeJudge.packaged("shapes")
    assert judge is not None
    held_out = shapes(image_size=gan.image_size).validation_split
    assert held_out is not None
    numbers = np.random.default_rng(0).permutation(held_out.num_images)
    labels, pictures = held_out.labels[numbers], held_out.pixels(numbers)
    captions = captions_of(held_out, numbers)
    others = others_of(held_out, labels)
    masks = np.stack([hole_of(position, gan.image_size) for position in labels[:, 3]])
    noise = latents_for(1, len(captions), gan.drawer.noise_shape)
    alone = Sampler(gan.drawer.source)(noise, prompt_embeddings(gan, captions))
    twice = gan.complete(pictures, masks, captions, num_images=2, seed=1)
    first, second = twice[::2], twice[1::2]
    changed = gan.complete(pictures, masks, captions_of(held_out, others), seed=1)
    rows = {
        "pictures": (pictures, labels),
        "caption alone, put into the hole": (np.where(masks[..., None], alone, pictures), labels),
        "completed": (first, labels),
        "completed, another seed": (second, labels),
        "completed, the caption of another": (changed, held_out.labels[others]),
    }
    print("| images | all five right | each | seam | known pixels the same |", "|---|---|---|---|---|", sep="\n")
    before = seam(pictures, masks)
    for name, (images, asked) in rows.items():
        found = attribute_accuracy(judge.predict(images), asked, list(SHAPE_ATTRIBUTES))
        shares = [f"{100 * share:.1f}" for share in found.values()]
        same = (images == pictures).all(axis=-1)[~masks].mean()
        step = seam(images, masks) - before
        print(f"| {name} | {shares[0]} % | {', '.join(shares[1:])} | {step:.1f} | {100 * same:.2f} % |")
    apart = np.abs(first.astype(float) - second)[masks].mean()
    alike = 100 * (first == second).all(axis=(1, 2, 3)).mean()
    print(f"\nTwo answers differ by {apart:.1f} of 255 in the hole; {alike:.1f} % of them are the same.")
    hidden = np.where(masks[..., None], 128, pictures).astype(np.uint8)
    shown = (pictures, hidden, first, second, changed)
    grid = np.concatenate([np.concatenate(list(images[:IN_GRID]), axis=1) for images in shown])
    Image.fromarray(grid).save(options.output)
    for caption, other in zip(captions[:IN_GRID], captions_of(held_out, others[:IN_GRID]), strict=True):
        print(f"- {caption} -> {other}")


def captions_of(split: Split, numbers: np.ndarray) -> list[str]:
    return [split.captions[number] for number in split.caption_of_each()[numbers]]


def others_of(split: Split, labels: np.ndarray) -> np.ndarray:
    """For each row of labels the number of another image with the same background and position, and nothing else."""
    random, found = np.random.default_rng(1), []
    assert split.labels is not None
    for row in labels:
        same = (split.labels == row)[:, 2:4].all(axis=1) & (split.labels != row)[:, [0, 1]].all(axis=1)
        found.append(random.choice(np.flatnonzero(same)))
    return np.asarray(found)


def hole_of(position: int, size: int) -> np.ndarray:
    places = (np.arange(size) + 0.5) / size
    across, down = CENTERS[position]
    return (np.abs(places[:, None] - down) < REACH) & (np.abs(places[None, :] - across) < REACH)


def seam(images: np.ndarray, masks: np.ndarray) -> float:
    """How far neighbors across the seam are from each other, of 255."""
    steps = []
    for axis in (1, 2):
        across = np.diff(masks, axis=axis)
        steps.append(np.abs(np.diff(images.astype(float), axis=axis)).mean(axis=-1)[across])
    return float(np.concatenate(steps).mean())


if __name__ == "__main__":
    main()
