"""A second opinion on images whose training used MobileNetV2: distance and variety in features of SqueezeNet 1.0.

Command:  python examples/benchmarks/measure_in_squeezenet.py RUN... --weights FILE
Needs:    runs on the same data, or presets and --data FOLDER; SqueezeNet's weights as an .npz of `conv1.k`, `conv1.b`,
          `fire2/conv1x1_1.k` and so on, as the Caffe model names them: kernels (height, width, in, out), RGB turned to
          BGR, means subtracted
Cost:     about a minute of one core a run, and two for the judge
Result:   a table: kernel distance of 800 images of held-out captions to 1,600 real ones, with its 95 % interval;
          variety within a caption, and of its forms, 40 captions with 8 images each, divided by that of real images
          that share one;
          colors obeyed; captions found, 1 of 100, by a judge trained on real pairs; hatching, and the worst band of the
          spectrum with its sign. On the last line the same of other real images, which no generator can beat

Distances are in the 512 features of the last fire module, averaged over the image at 128 pixels, scaled to a root mean
square of 1 over the real images: the distance depends on their scale. Variety is in the maps of every second fire
module.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_t2i
from keras_t2i.data import Split
from keras_t2i.data.pairs import real_pairs
from keras_t2i.metrics import (
    color_accuracy,
    diversity_within_caption,
    forms_within_caption,
    hatching,
    kernel_distance,
    perceptual_distances,
    spectral_difference,
)
from keras_t2i.metrics.kernel import KernelEstimate
from keras_t2i.metrics.retriever import Retriever
from keras_t2i.metrics.text_image import r_precision
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

NUM_IMAGES = 800
NUM_CAPTIONS, IMAGES_EACH = 40, 8
SIZE = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", help="folder of captioned images; by default that of the first run")
    parser.add_argument("--truncation", type=float, default=1.0, help="factor on the noise")
    options = parser.parse_args()
    features = keras_t2i.ImageFeatures(squeezenet(options.weights), f"squeezenet-{SIZE}")
    config = RunConfig(options.data) if options.data else RunConfig.read(options.runs[0])
    dataset = dataset_of(config)
    held_out, train = dataset.validation_split, dataset.train_split
    assert held_out is not None
    random = np.random.default_rng(1234)
    numbers, captions = chosen(held_out, random)
    others = random.permutation(train.num_images)
    fill = 2 * NUM_IMAGES - len(numbers)
    pixels = np.concatenate([held_out.pixels(numbers), train.pixels(others[:fill])])
    measure = Measures(features, pixels, captions, train)
    print(
        "| images | kernel distance | variety | of forms | colors obeyed | found | hatching, dB | worst band, dB |",
        "|---" * 8 + "|",
        sep="\n",
    )
    for run in options.runs:
        gan = keras_t2i.TextToImage.from_preset(run)
        images = gan.generate(captions, seed=77, truncation=options.truncation)
        some = gan.generate(captions[:NUM_CAPTIONS], IMAGES_EACH, seed=5, truncation=options.truncation)
        print(measure.row(str(run), images, captions, some), flush=True)
    those = others[fill : fill + NUM_IMAGES]
    theirs = [train.captions[position] for position in train.caption_of_each(those)]
    print(measure.row("other real images", train.pixels(those), theirs, None))
    found = measure.found(pixels[: len(numbers)], captions)
    print(f"\nCaptions of the held-out images themselves are found in {found:.1%}.")


def chosen(held_out: Split, random: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """Numbers of the held-out images whose captions are drawn, and a caption of each."""
    numbers = random.permutation(held_out.num_images)[:NUM_IMAGES]
    return numbers, [held_out.captions[position] for position in held_out.caption_of_each()[numbers]]


def distance_of(real: np.ndarray, found: np.ndarray) -> KernelEstimate:
    """Kernel distance of features that are scaled so that the real ones have a root mean square of 1."""
    scale = 1.0 / np.sqrt(np.mean(real**2))
    return kernel_distance(scale * real, scale * found)


class Measures:
    """What is measured of images, beside real ones."""

    def __init__(
        self, features: keras_t2i.ImageFeatures, pixels: np.ndarray, captions: list[str], train: Split
    ) -> None:
        self.features, self.pixels = features, pixels
        self.real = features(pixels)
        known = set(train.captions)
        pairs = real_pairs(train, [caption for caption in captions[:256] if caption in known])
        assert pairs is not None, "no two images share a caption"
        of_pairs = pairs.pixels(train)
        self.apart = float(perceptual_distances(features, *of_pairs).mean())
        self.forms = forms_within_caption(np.stack(of_pairs, axis=1))
        self.judge = Retriever(features)
        texts = [[train.captions[position] for position in ids] for ids in train.caption_ids]
        self.judge.fit(train.pixels(np.arange(train.num_images)), texts)

    def found(self, images: np.ndarray, captions: list[str]) -> float:
        embeddings = self.judge.image_embeddings(images), self.judge.text_embeddings(captions)
        return r_precision(*embeddings, captions).share

    def row(self, name: str, images: np.ndarray, captions: list[str], of_each: np.ndarray | None) -> str:
        distance = distance_of(self.real, self.features(images))
        cells = [f"{distance.value:.3f} ({distance.low:.3f} to {distance.high:.3f})"]
        if of_each is None:
            cells += ["1", "1"]
        else:
            by_caption = of_each.reshape(-1, IMAGES_EACH, *of_each.shape[1:])
            cells.append(f"{diversity_within_caption(self.features, by_caption) / self.apart:.2f}")
            cells.append(f"{forms_within_caption(by_caption) / self.forms:.2f}")
        cells += [f"{color_accuracy(images, captions).share:.1%}", f"{self.found(images, captions):.1%}"]
        bands = spectral_difference(images, self.pixels)
        worst = max(bands, key=lambda band: abs(bands[band]))
        cells += [f"{hatching(images, self.pixels)[0]:.1f}", f"{bands[worst]:+.1f} ({worst})"]
        return f"| {name} | {' | '.join(cells)} |"


def squeezenet(weights: Path) -> keras.Model:
    """SqueezeNet 1.0 up to its last fire module, from images in [-1, 1]."""
    with np.load(weights) as file:
        arrays = {name: file[name].astype(np.float32) for name in file.files}

    def conv(x: keras.KerasTensor, name: str, strides: int = 1, padding: str = "same") -> keras.KerasTensor:
        kernel, bias = arrays[f"{name}.k"], arrays[f"{name}.b"]
        layer = layers.Conv2D(kernel.shape[-1], kernel.shape[:2], strides, padding, activation="relu")
        y = layer(x)
        layer.set_weights([kernel, bias])
        return y

    images = keras.Input((SIZE, SIZE, 3))
    bgr = keras.ops.flip(images, axis=-1)
    x = layers.Rescaling(127.5, offset=[127.5 - mean for mean in (104.0, 117.0, 123.0)])(bgr)
    x = conv(x, "conv1", strides=2, padding="valid")
    maps = {}
    for number in range(2, 10):
        if number in (2, 5, 9):  # Caffe rounds sizes up.
            x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
        squeezed = conv(x, f"fire{number}/conv1x1_1")
        x = layers.Concatenate()([conv(squeezed, f"fire{number}/conv{size}_2") for size in ("1x1", "3x3")])
        if number % 2:
            maps[f"fire{number}"] = x
    return keras.Model(images, {"pool": layers.GlobalAveragePooling2D()(x), **maps})


if __name__ == "__main__":
    main()
