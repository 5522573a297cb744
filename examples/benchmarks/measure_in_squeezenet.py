"""A second opinion on images whose training used MobileNetV2: the kernel distance in features of SqueezeNet 1.0.

Command:  python examples/benchmarks/measure_in_squeezenet.py RUN... --weights FILE
Needs:    runs on the same data; SqueezeNet's weights as an .npz of `conv1.k`, `conv1.b`, `fire2/conv1x1_1.k` and so on,
          as the Caffe model names them: kernels (height, width, in, out), RGB turned to BGR, means subtracted
Cost:     about 1 minute of one core a run
Result:   a table: kernel distance of 800 images of held-out captions to 1,600 real ones, with its 95 % interval, and on
          the last line that of 800 real images to the same number of others, which no generator can beat

Features are the 512 of the last fire module, averaged over the image at 128 pixels, scaled to a root mean square of 1
over the real images: the distance depends on their scale.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_t2i
from keras_t2i.metrics import kernel_distance
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

NUM_IMAGES = 800
SIZE = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, required=True)
    options = parser.parse_args()
    features = keras_t2i.ImageFeatures(squeezenet(options.weights), f"squeezenet-{SIZE}")
    dataset = dataset_of(RunConfig.read(options.runs[0]))
    held_out, train = dataset.validation_split, dataset.train_split
    assert held_out is not None
    random = np.random.default_rng(1234)
    numbers = random.permutation(held_out.num_images)[:NUM_IMAGES]
    others = random.permutation(train.num_images)
    fill = 2 * NUM_IMAGES - len(numbers)
    real = features(np.concatenate([held_out.pixels(numbers), train.pixels(others[:fill])]))
    scale = 1.0 / np.sqrt(np.mean(real**2))
    captions = [held_out.captions[position] for position in held_out.caption_of_each()[numbers]]
    print("| images | kernel distance | 95 % interval |\n|---|---|---|")
    for run in options.runs:
        generated = keras_t2i.TextToImageGAN.from_preset(run).generate(captions, seed=77)
        print(row(str(run), scale * real, scale * features(generated)))
    unseen = features(train.pixels(others[fill : fill + NUM_IMAGES]))
    print(row("other real images", scale * real, scale * unseen))


def row(name: str, real: np.ndarray, images: np.ndarray) -> str:
    found = kernel_distance(real, images)
    return f"| {name} | {found.value:.3f} | {found.low:.3f} to {found.high:.3f} |"


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
    for number in range(2, 10):
        if number in (2, 5, 9):  # Caffe rounds sizes up.
            x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x))
        squeezed = conv(x, f"fire{number}/conv1x1_1")
        x = layers.Concatenate()([conv(squeezed, f"fire{number}/conv{size}_2") for size in ("1x1", "3x3")])
    return keras.Model(images, {"pool": layers.GlobalAveragePooling2D()(x)})


if __name__ == "__main__":
    main()
