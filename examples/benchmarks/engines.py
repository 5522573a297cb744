"""TensorFlow and JAX side by side: seconds a step, and what as many steps from the same start have learned.

    python examples/benchmarks/engines.py --output DIR --steps 200

Both train `compact` on the same rendered shapes, from the same weights, in batches of 32 at 64 pixels, one after the
other in processes of their own; TensorFlow then judges both on the same held-out captions. The noise is another on
each, so that the two models differ as two seeds do. A step's seconds are the median after the first. What to expect:
`examples/results/engines.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENGINES = ("tensorflow", "jax")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", "-o", type=Path, required=True, help="directory to write to")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--role", choices=("all", "start", "train", "judge"), default="all", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "all":
        side_by_side(options)
    elif options.role == "start":
        model(options).save_to_preset(options.output / "start")
    elif options.role == "train":
        train(options)
    else:
        judge(options)


def side_by_side(options: argparse.Namespace) -> None:
    """Runs each part in a process of its own, and prints what came out."""
    own = ["--output", str(options.output), "--steps", str(options.steps), "--image-size", str(options.image_size)]
    parts = [("start", "tensorflow"), *(("train", engine) for engine in ENGINES), ("judge", "tensorflow")]
    for role, engine in parts:
        environment = {**os.environ, "KERAS_BACKEND": engine}
        subprocess.run([sys.executable, __file__, "--role", role, *own], env=environment, check=True)
    print(json.dumps(json.loads((options.output / "judged.json").read_text(encoding="utf-8")), indent=2))


def model(options: argparse.Namespace) -> Any:
    from keras_t2i.models import build_gan
    from keras_t2i.text import TextEncoder

    return build_gan("compact", TextEncoder.from_preset("caption_mini_en"), options.image_size)


def shapes(options: argparse.Namespace, gan: Any) -> Any:
    from keras_t2i import data
    from keras_t2i.runs.prepare import cached

    return data.shapes(image_size=options.image_size).encode(cached(gan.text_encoder))


def train(options: argparse.Namespace) -> None:
    """So many steps from the common start, on the engine that Keras runs on here."""
    import keras

    from keras_t2i.models import files

    gan = model(options)
    files.initialize(gan, options.output / "start")
    images = shapes(options, gan)
    gan.adapt(images.train_split.embeddings)
    seconds: list[float] = []
    begun = [time.perf_counter()]

    def clock(batch: int, logs: Any) -> None:
        float(logs["generator_loss"])  # Waits for the step.
        seconds.append(time.perf_counter() - begun[0])
        begun[0] = time.perf_counter()

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=clock)
    gan.fit(images.train_from(), steps_per_epoch=options.steps, epochs=1, callbacks=[callback], verbose=2)
    engine = keras.backend.backend()
    gan.save_to_preset(options.output / engine)
    told = {"seconds_a_step": statistics.median(seconds[1:]), "first_step_seconds": seconds[0]}
    (options.output / f"{engine}.json").write_text(json.dumps(told), encoding="utf-8")


def judge(options: argparse.Namespace) -> None:
    """Both models on the same held-out captions."""
    from keras_t2i import TextToImageGAN
    from keras_t2i.data import SHAPE_ATTRIBUTES
    from keras_t2i.metrics import evaluate_model
    from keras_t2i.metrics.instruments import instruments_for

    found: dict[str, Any] = {}
    for engine in ENGINES:
        gan = TextToImageGAN.from_preset(options.output / engine)
        images = shapes(options, gan)
        instruments = instruments_for(images, "shapes", judge="none")
        numbers = evaluate_model(gan, images, num_images=2, **instruments.as_arguments()).numbers
        told = json.loads((options.output / f"{engine}.json").read_text(encoding="utf-8"))
        kept = ("all_attributes", *SHAPE_ATTRIBUTES, "kernel_distance")
        found[engine] = {**told, **{name: numbers[name] for name in kept}}
    (options.output / "judged.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
