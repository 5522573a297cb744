"""A whole run on one accelerator in one go: what each size costs there, and then a model in the minutes that are left.

Command:  keras-t2i data pack my_images --image-size 128 --output packed
          KERAS_BACKEND=jax python examples/benchmarks/whole_run.py packed --output RESULT --frozen-features FILE \\
            --minutes 9
Needs:    JAX, Keras, NumPy and Pillow; for the family projected the weights of MobileNetV2 as a file. No TensorFlow
Cost:     as many minutes as it is given, compiling included
Result:   RESULT/speed.json and a table: images a second in training and the share of the device's own matrix product,
          float32 and bfloat16; RESULT/training.jsonl: steps, images and losses; RESULT/grid-*.png; and
          RESULT/preset-*: presets in float16, of which the last is the result

Speeds are measured for at most a share of the minutes, the cheapest first; what there was no time for is named. A step
counts as three passes of the generator and six of the discriminator (real and generated images, forward, and backward
to weights and inputs), as XLA counts one pass; penalties are not counted, and no family is measured at a step with one.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from jax import numpy as jnp
from PIL import Image

from keras_t2i.data import PackedImages
from keras_t2i.data.packed import PackedSplit
from keras_t2i.image_features.mobilenet_v2 import read_arrays
from keras_t2i.models import TextToImageGAN, build_gan
from keras_t2i.objectives.augmentation import DiffAugment

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
TIMED_STEPS, WARM_STEPS = 30, 5


def main() -> None:
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="packed images")
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--frozen-features", type=Path, help="weights of MobileNetV2, for the family projected")
    parser.add_argument("--family", default="projected")
    parser.add_argument("--size", default="base", help="of the model that is trained")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--precision", choices=tuple(PRECISIONS), default="bfloat16", help="of the model that is trained"
    )
    parser.add_argument("--speed-share", type=float, default=0.4, help="share of the minutes for measuring speed")
    parser.add_argument("--sizes", default="small,base,large")
    parser.add_argument("--image-sizes", default="64,128,256")
    parser.add_argument("--matrix", type=int, default=8192, help="rows of the matrices whose product is the peak")
    parser.add_argument("--looks", type=int, default=6, help="presets and grids while training")
    parser.add_argument("--flip", action="store_true")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    packed = PackedImages.read(options.data)
    print(f"{jax.devices()[0].device_kind}, {packed.train.num_images} images of {packed.image_size} px", flush=True)
    speeds = list(measured_speeds(options, packed.embedding_dim, begun + 60 * options.minutes * options.speed_share))
    (options.output / "speed.json").write_text(json.dumps(speeds, indent=2), encoding="utf-8")
    train(options, packed, begun + 60 * options.minutes)


def model(
    options: argparse.Namespace, image_size: int, size: str, embedding_dim: int, precision: str
) -> TextToImageGAN:
    keras.config.set_dtype_policy(PRECISIONS[precision])
    augmentation = DiffAugment()
    gan = build_gan(options.family, None, image_size, embedding_dim=embedding_dim, size=size, augmentation=augmentation)
    if hasattr(gan.discriminator, "initialize_backbone"):
        if options.frozen_features is None:
            raise SystemExit(f"The family {options.family} looks through MobileNetV2: pass --frozen-features FILE.")
        pairs = read_arrays(options.frozen_features)
        gan.discriminator.initialize_backbone([array for pair in pairs for array in pair])
    return gan


def measured_speeds(options: argparse.Namespace, embedding_dim: int, until: float) -> Iterator[dict[str, Any]]:
    """Rows of the table, the cheapest first, as long as there is time."""
    peaks = {name: matrix_product(options.matrix, name) for name in PRECISIONS}
    print(", ".join(f"{name} {peak / 1e12:.3g} TFLOP/s" for name, peak in peaks.items()), "(matrix product)")
    header = "| pixels | size | precision | batch | images/s | TFLOP an image | share of peak |"
    print(header, "|---" * 7 + "|", sep="\n")
    wanted = [
        (image_size, size, precision)
        for image_size in map(int, options.image_sizes.split(","))
        for size in options.sizes.split(",")
        for precision in PRECISIONS
    ]
    for image_size, size, precision in wanted:
        row: dict[str, Any] = {"image_size": image_size, "size": size, "precision": precision}
        if time.monotonic() > until:
            print(f"| {image_size} | {size} | {precision} | no time left | | | |", flush=True)
            continue
        try:
            row |= speed(options, image_size, size, embedding_dim, precision)
        except MemoryError as error:
            print(f"| {image_size} | {size} | {precision} | {error} | | | |", flush=True)
            continue
        row["share_of_peak"] = row["images_per_second"] * row["flop_an_image"] / peaks[precision]
        told = f"{row['images_per_second']:.0f} | {row['flop_an_image'] / 1e12:.3g} | {row['share_of_peak']:.1%}"
        print(f"| {image_size} | {size} | {precision} | {options.batch_size} | {told} |", flush=True)
        yield row


def matrix_product(size: int, precision: str) -> float:
    """Floating point operations a second of the product of two square matrices, the best of five."""
    matrix = jnp.ones((size, size), precision)
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def speed(options: argparse.Namespace, image_size: int, size: str, text_dim: int, precision: str) -> dict[str, Any]:
    """Images a second of whole training steps on random images, data pipeline included, and what one costs."""
    gan = model(options, image_size, size, text_dim, precision)
    random = np.random.default_rng(0)
    count = 2 * options.batch_size
    split = PackedSplit(
        random.integers(0, 256, (count, image_size, image_size, 3), np.uint8),
        [str(number) for number in range(count)],
        random.standard_normal((count, text_dim)).astype(np.float16),
        np.arange(count, dtype=np.int32),
        np.arange(count + 1),
    )
    packed = PackedImages(split, None, image_size, text_dim, "random", {})
    clock = Clock(WARM_STEPS)
    epochs = -(-(WARM_STEPS + TIMED_STEPS) // 2)
    gan.fit(packed.batches(batch_size=options.batch_size), epochs=epochs, verbose=0, callbacks=[clock])
    text = (options.batch_size, text_dim)
    drawing = flop(gan.generator, (options.batch_size, *gan.generator.noise_shape), text)
    judging = flop(gan.discriminator, (options.batch_size, image_size, image_size, 3), text)
    return {
        "batch_size": options.batch_size,
        "images_per_second": options.batch_size * clock.steps / clock.seconds,
        "flop_an_image": (3 * drawing + 6 * judging) / options.batch_size,
    }


def flop(network: Any, *shapes: tuple[int, ...]) -> float:
    """Floating point operations of one pass, as XLA counts them."""
    state = [variable.value for variable in network.variables]

    def call(state: Any, *inputs: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(network.variables, state, strict=True)):
            return network(*inputs, training=False)

    arrays = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    return float(jax.jit(call).lower(state, *arrays).compile().cost_analysis()["flops"])


class Clock(keras.callbacks.Callback):
    """Seconds of the steps after the first few."""

    def __init__(self, warm: int) -> None:
        super().__init__()
        self.warm, self.steps, self.seconds, self._begun, self._done = warm, 0, 0.0, 0.0, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done += 1
        if self._done < self.warm:
            return
        float(logs["generator_loss"])  # Waits for the step.
        if self._done == self.warm:
            self._begun = time.perf_counter()
        self.steps, self.seconds = self._done - self.warm, time.perf_counter() - self._begun


class Looks(keras.callbacks.Callback):
    """Writes a preset and a grid every so many seconds, and ends training when time is up."""

    def __init__(self, output: Path, embeddings: np.ndarray, until: float, looks: int, batch_size: int) -> None:
        super().__init__()
        self.output, self.embeddings, self.until, self.batch_size = output, embeddings, until, batch_size
        self.begun = time.monotonic()
        self.moments = np.linspace(self.begun, until, looks + 1)[1:]
        self.steps = self.taken = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.taken < len(self.moments) and time.monotonic() >= self.moments[self.taken]:
            self.model.jax_state_sync()
            self.look(logs)
        if time.monotonic() >= self.until:
            self.model.stop_training = True

    def look(self, logs: Any) -> None:
        self.taken += 1
        self.model.save_to_preset(self.output / f"preset-{self.taken:02d}", dtype="float16")
        drawn = self.model.generate_from_embeddings(np.repeat(self.embeddings, 8, axis=0))
        size = drawn.shape[1]
        grid = drawn.reshape(len(self.embeddings), 8, size, size, 3).swapaxes(1, 2).reshape(-1, 8 * size, 3)
        Image.fromarray(grid).save(self.output / f"grid-{self.taken:02d}.png")
        told = {"steps": self.steps, "images": self.steps * self.batch_size, "seconds": time.monotonic() - self.begun}
        told |= {name: float(value) for name, value in (logs or {}).items()}
        with (self.output / "training.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
        print(told, flush=True)


def train(options: argparse.Namespace, packed: PackedImages, until: float) -> None:
    """Trains until then, with some seconds left for the last look."""
    gan = model(options, packed.image_size, options.size, packed.embedding_dim, options.precision)
    gan.text_of = packed.text_of
    gan.adapt(packed.train.embeddings.astype(np.float32))
    shown = packed.validation or packed.train
    chosen = np.random.default_rng(0).choice(len(shown.captions), min(8, len(shown.captions)), replace=False)
    (options.output / "captions.txt").write_text("\n".join(shown.captions[i] for i in chosen), encoding="utf-8")
    looks = Looks(
        options.output, shown.embeddings[chosen].astype(np.float32), until - 10, options.looks, options.batch_size
    )
    batches = packed.batches(batch_size=options.batch_size, horizontal_flip=options.flip)
    gan.fit(batches, epochs=10**6, verbose=0, callbacks=[looks])
    looks.look({})


if __name__ == "__main__":
    main()
