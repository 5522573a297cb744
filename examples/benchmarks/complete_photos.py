"""What completion (`finetune --strategy complete`) is worth on photos: a third is hidden, a caption says what it was.

Command:  python examples/benchmarks/complete_photos.py RUN --weights FILE --output GRID.png
Needs:    a run of that strategy on captioned photos; SqueezeNet's weights, as for measure_in_squeezenet.py; OpenCV with
          its contributed modules
Cost:     about 5 minutes of one core
Result:   a table over 800 held-out photos, the middle third of each hidden: kernel distance to 1,600 photos, and the
          mean perceptual distance to the photo itself, in SqueezeNet's features; how often the hole shows the color
          that the caption names. Beside it what is drawn from the caption alone, whole and put into the hole, and holes
          filled by their mean color, by Telea's method and by patches of what is known (shift maps). The grid has the
          rows: photos, hidden, filled by patches, completed, completed by the caption of another
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from measure_in_squeezenet import NUM_IMAGES, SIZE, chosen, distance_of, squeezenet
from PIL import Image

import keras_t2i
from keras_t2i.core.latents import latents_for
from keras_t2i.metrics import color_accuracy, perceptual_distances
from keras_t2i.models.sampling import Sampler, prompt_embeddings
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

IN_GRID = 12
SHARE = 1 / 3
"""Of the picture, that is hidden."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    features = keras_t2i.ImageFeatures(squeezenet(options.weights), f"squeezenet-{SIZE}")
    gan = keras_t2i.TextToImageGAN.from_preset(options.run)
    dataset = dataset_of(RunConfig.read(options.run))
    held_out, train = dataset.validation_split, dataset.train_split
    assert held_out is not None
    random = np.random.default_rng(1234)
    numbers, captions = chosen(held_out, random)
    photos = held_out.pixels(numbers)
    fill = 2 * NUM_IMAGES - len(numbers)
    real = features(np.concatenate([photos, train.pixels(random.permutation(train.num_images)[:fill])]))
    size = photos.shape[1]
    side = round(size * SHARE**0.5)
    hole = np.zeros((size, size), bool)
    start = (size - side) // 2
    hole[start : start + side, start : start + side] = True
    masks = np.repeat(hole[None], len(photos), axis=0)

    noise = latents_for(1, len(captions), gan.drawer.noise_shape)
    drawn = Sampler(gan.drawer.source)(noise, prompt_embeddings(gan, captions))
    rows = {
        "photos": photos,
        "drawn from the caption alone": drawn,
        "the same, put into the hole": np.where(hole[..., None], drawn, photos),
        "mean color of what is known": np.stack([mean_color(photo, hole) for photo in photos]),
        "Telea's method": np.stack([telea(photo, hole) for photo in photos]),
        "patches of what is known": np.stack([patches(photo, hole) for photo in photos]),
        "completed": gan.complete(photos, masks, captions, seed=1),
    }
    print(
        "| pictures | kernel distance to photos | perceptual distance to themselves | color of the hole |",
        "|---" * 4 + "|",
        sep="\n",
    )
    for name, pictures in rows.items():
        distance = distance_of(real, features(pictures))
        near = perceptual_distances(features, pictures, photos).mean()
        cut = pictures[:, start : start + side, start : start + side]
        color = color_accuracy(cut, captions).share
        print(
            f"| {name} | {distance.value:.3f} ({distance.low:.3f} to {distance.high:.3f}) | {near:.3f} | {color:.1%} |"
        )
    others = gan.complete(photos[:IN_GRID], masks[:IN_GRID], captions[1 : IN_GRID + 1], seed=1)
    hidden = np.where(hole[..., None], 128, photos).astype(np.uint8)
    grid = [photos[:IN_GRID], hidden[:IN_GRID], rows["patches of what is known"][:IN_GRID], rows["completed"][:IN_GRID]]
    stacked = np.concatenate([np.concatenate(list(row), axis=1) for row in [*grid, others]], axis=0)
    Image.fromarray(stacked).resize((2 * stacked.shape[1], 2 * stacked.shape[0]), Image.Resampling.NEAREST).save(
        options.output
    )


def mean_color(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.where(hole[..., None], np.rint(photo[~hole].mean(axis=0)).astype(np.uint8), photo)


def telea(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return cv2.inpaint(np.ascontiguousarray(photo), hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)


def patches(photo: np.ndarray, hole: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2Lab)
    found = np.zeros_like(lab)
    cv2.xphoto.inpaint(lab, np.where(hole, 0, 255).astype(np.uint8), found, cv2.xphoto.INPAINT_SHIFTMAP)
    return np.where(hole[..., None], cv2.cvtColor(found, cv2.COLOR_Lab2RGB), photo)


if __name__ == "__main__":
    main()
