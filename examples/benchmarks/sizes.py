"""What a size costs: weights, multiply-adds, a training step, and one image by LiteRT on one thread.

    python examples/benchmarks/sizes.py --families compact,projected --image-sizes 64,128

Prints a table; what to expect: `examples/results/sizes.md`. A step is the median of five after the first, in batches
of 32, without the text encoder; LiteRT's file is float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from keras_t2i.metrics import count_multiply_adds
from keras_t2i.models import TextToImageGAN, build_gan
from keras_t2i.networks import SIZES

EMBEDDING_DIM, BATCH = 128, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default="compact", help="separated by commas")
    parser.add_argument("--image-sizes", default="64,128", help="in pixels, likewise")
    parser.add_argument("--sizes", default=",".join(SIZES), help="likewise")
    parser.add_argument("--steps", type=int, default=5, help="training steps that are timed; 0 for none")
    options = parser.parse_args()
    print("| family | pixels | size | weights | multiply-adds | LiteRT | step |\n|---|---|---|---|---|---|---|")
    for family in options.families.split(","):
        for image_size in map(int, options.image_sizes.split(",")):
            for size in options.sizes.split(","):
                print(row(family, image_size, size, options.steps), flush=True)


def row(family: str, image_size: int, size: str, steps: int) -> str:
    gan = build_gan(family, None, image_size, embedding_dim=EMBEDDING_DIM, size=size)
    if hasattr(gan.discriminator, "initialize_backbone"):  # Any weights take as long.
        gan.discriminator.initialize_backbone([w + 0.01 for w in gan.discriminator.backbone.get_weights()])
    weights = [network.count_params() / 1e6 for network in (gan.generator, gan.discriminator)]
    shape = (image_size, image_size, 3)
    multiply_adds = [
        count_multiply_adds(gan.generator, gan.generator.noise_shape, (EMBEDDING_DIM,)) / 1e6,
        count_multiply_adds(gan.discriminator, shape, (EMBEDDING_DIM,)) / 1e6,
    ]
    milliseconds, megabytes = exported(gan)
    step = f"{seconds_a_step(gan, steps):.2f} s" if steps else "-"
    return (
        f"| `{family}` | {image_size} | {size} | {weights[0]:.1f} M, {weights[1]:.1f} M | {multiply_adds[0]:.0f} M, "
        f"{multiply_adds[1]:.0f} M | {milliseconds:.1f} ms, {megabytes:.1f} MB | {step} |"
    )


def exported(gan: TextToImageGAN) -> tuple[float, float]:
    """Milliseconds an image, and megabytes of the generator's file."""
    with tempfile.TemporaryDirectory() as folder:
        gan.export(Path(folder) / "litert", format="litert")
        bundle = json.loads((Path(folder) / "litert" / "bundle.json").read_text(encoding="utf-8"))
    return bundle["measured"]["milliseconds"], bundle["bytes"]["generator.tflite"] / 1e6


def seconds_a_step(gan: TextToImageGAN, steps: int) -> float:
    random = np.random.default_rng(0)
    batch = {
        "images": random.uniform(-1, 1, (BATCH, gan.image_size, gan.image_size, 3)).astype(np.float32),
        "sentence_embeddings": random.normal(size=(BATCH, EMBEDDING_DIM)).astype(np.float32),
    }
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        gan.train_on_batch(batch)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


if __name__ == "__main__":
    main()
