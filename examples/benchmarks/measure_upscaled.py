"""What a second stage (`finetune --strategy upscale`) is worth, beside enlarging: on photos and on what is drawn.

Command:  python examples/benchmarks/measure_upscaled.py RUN --weights FILE --output GRID.png
Needs:    a run of `upscale`; SqueezeNet's weights, as for measure_in_squeezenet.py
Cost:     about 4 minutes of one core
Result:   a table: kernel distance to 1,600 photos of the full size, in SqueezeNet's features; of photos that were
          reduced and enlarged again, also the signal-to-noise ratio and the perceptual distance to themselves. The grid
          has the rows photos, enlarged by Lanczos, by the second stage; drawn and enlarged, drawn with the second stage
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from measure_in_squeezenet import NUM_IMAGES, SIZE, chosen, distance_of, squeezenet
from PIL import Image

import keras_t2i
from keras_t2i.core.latents import latents_for
from keras_t2i.core.pixels import from_bytes, resize, to_uint8
from keras_t2i.metrics import perceptual_distances
from keras_t2i.models.sampling import Sampler, prompt_embeddings
from keras_t2i.networks import UpscaledGenerator
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

IN_GRID = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    features = keras_t2i.ImageFeatures(squeezenet(options.weights), f"squeezenet-{SIZE}")
    gan = keras_t2i.TextToImageGAN.from_preset(options.run)
    network = gan.drawer
    assert isinstance(network, UpscaledGenerator), "this run draws in one stage"
    config = RunConfig.read(options.run)
    dataset = dataset_of(config)
    held_out, train = dataset.validation_split, dataset.train_split
    assert held_out is not None
    random = np.random.default_rng(1234)
    numbers, captions = chosen(held_out, random)
    photos = held_out.pixels(numbers)
    chosen_others = random.permutation(train.num_images)[: 2 * NUM_IMAGES]
    others = train.pixels(chosen_others)
    small_size, size = network.source.image_size, network.image_size
    # As the first stage saw them: made smaller in another way they are farther from what it draws.
    small_others = dataset_of(replace(config, image_size=small_size)).train_split.pixels(chosen_others)

    def reduced(pixels: np.ndarray) -> np.ndarray:
        parts = [resize(from_bytes(some.astype(np.float32)), small_size) for some in in_parts(pixels)]
        return np.concatenate([np.asarray(part) for part in parts])

    def second_stage(images: np.ndarray) -> np.ndarray:
        return np.concatenate([to_uint8(np.asarray(network.upscaler(some))) for some in in_parts(images)])

    def lanczos(pixels: np.ndarray) -> np.ndarray:
        kind = Image.Resampling.LANCZOS
        return np.stack([np.asarray(Image.fromarray(each).resize((size, size), kind)) for each in pixels])

    small = reduced(photos)
    noise = latents_for(77, len(captions), network.noise_shape)
    drawn = Sampler(network.source)(noise, prompt_embeddings(gan, captions, 1.0, None))
    rows = {
        "photos": photos,
        "photos, reduced, enlarged by Lanczos": lanczos(to_uint8(small)),
        "photos, reduced, by the second stage": second_stage(small),
        "drawn, enlarged by Lanczos": lanczos(drawn),
        "drawn, by the second stage": gan.generate(captions, seed=77),
    }
    of_others, of_small = features(others), features(small_others)

    def distance(real: np.ndarray, images: np.ndarray) -> str:
        return f"{distance_of(real, features(images)).value:.3f}"

    print("| images | kernel distance | dB | perceptual distance |", "|---|---|---|---|", sep="\n")
    print(f"| drawn, {small_size} px, against photos of {small_size} px | {distance(of_small, drawn)} | | |")
    for name, images in rows.items():
        cells = ["", ""]
        if "reduced" in name:
            decibels = np.mean(tf.image.psnr(images, photos, 255))
            cells = [f"{decibels:.1f}", f"{perceptual_distances(features, images, photos).mean():.3f}"]
        print(f"| {name}, {size} px | {distance(of_others, images)} | {' | '.join(cells)} |", flush=True)
    grid = np.concatenate([np.concatenate(list(images[:IN_GRID]), axis=1) for images in rows.values()])
    Image.fromarray(grid).save(options.output)


def in_parts(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + 50] for start in range(0, len(images), 50)]


if __name__ == "__main__":
    main()
