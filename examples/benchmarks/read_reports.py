"""What is read of chest phantoms' reports, and what a model trained on them draws and tells apart.

Command:  python examples/benchmarks/read_reports.py [RUN...] [--output GRID.png]
Needs:    for each RUN: keras-t2i train phantoms --sequence-length 128 --output RUN --minutes 60
Cost:     about 3 minutes of one core, and half a minute a run
Result:   how often two small layers find all eight attributes in embeddings of reports of held-out combinations, by
          tokens read. Of each run: attributes that the packaged judge finds in drawings of all held-out reports; how
          often the discriminator scores the right report of a real held-out picture above one of another picture, and
          above its own with one finding changed. The grid has four held-out reports, eight drawings each
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

import keras_t2i
from keras_t2i.core.pixels import from_bytes
from keras_t2i.data import PHANTOM_ATTRIBUTES, Split, phantom_reports, phantoms
from keras_t2i.metrics import AttributeJudge, attribute_accuracy
from keras_t2i.text import TextEncoder

LENGTHS = (32, 64, 128)
SIZES = [len(words) for words in PHANTOM_ATTRIBUTES.values()]
NAMES = list(PHANTOM_ATTRIBUTES)
EPOCHS, BATCH = 30, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--output", type=Path, help="where to write the grid of the last run")
    options = parser.parse_args()
    for run in options.runs:
        gan = keras_t2i.TextToImageGAN.from_preset(run)
        print(json.dumps({"run": run.name, **drawn(gan), **told_apart(gan)}))
        if options.output is not None:
            write_grid(gan, options.output)
    if not options.runs:
        for length in LENGTHS:
            print(json.dumps({"tokens": length, **read(TextEncoder.from_preset("caption_mini_en", length))}))


def read(encoder: TextEncoder) -> dict[str, float]:
    """How often attributes are found in embeddings of reports, by two layers trained on others."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    data = phantoms()
    held_out = of(data)
    labels, reports = all_of(np.unique(data.train_split.labels, axis=0))
    embeddings = encoder.encode(reports)
    mean, spread = embeddings.mean(axis=0), embeddings.std(axis=0) + 1e-6
    network = keras.Sequential([keras.layers.Dense(128, activation="leaky_relu"), keras.layers.Dense(sum(SIZES))])
    network.build((None, encoder.embedding_dim))
    optimizer = keras.optimizers.Adam(2e-3)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step(rows: tf.Tensor, wanted: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            parts = tf.split(network(rows), SIZES, axis=1)
            losses = [
                tf.nn.sparse_softmax_cross_entropy_with_logits(wanted[:, i], part) for i, part in enumerate(parts)
            ]
            loss = tf.reduce_mean(tf.add_n(losses))
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)

    inputs = ((embeddings - mean) / spread).astype(np.float32)
    for _ in range(EPOCHS):
        order = random.permutation(len(labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            step(tf.constant(inputs[rows]), tf.constant(labels[rows]))
    asked, tests = all_of(held_out.labels)
    logits = np.asarray(network(((encoder.encode(tests) - mean) / spread).astype(np.float32)))
    seen = np.stack([part.argmax(axis=1) for part in np.split(logits, np.cumsum(SIZES)[:-1], axis=1)], axis=1)
    return attribute_accuracy(seen, asked, NAMES)


def drawn(gan: keras_t2i.TextToImageGAN) -> dict[str, float]:
    """Attributes found in drawings of every held-out report."""
    judge = AttributeJudge.packaged("phantoms")
    assert judge is not None
    labels, reports = all_of(of(phantoms(image_size=gan.image_size)).labels)
    return attribute_accuracy(judge.predict(gan.generate(reports, seed=1)), labels, NAMES)


def told_apart(gan: keras_t2i.TextToImageGAN) -> dict[str, float]:
    """How often the discriminator scores the right report of a real held-out picture above a wrong one."""
    held_out, random = of(phantoms(image_size=gan.image_size)), np.random.default_rng(0)
    count = len(held_out.labels)
    images = from_bytes(held_out.pixels(np.arange(count)).astype(np.float32))
    other = (np.arange(count) + random.integers(1, count, count)) % count
    column = random.integers(0, len(SIZES), count)
    changed = held_out.labels.copy()
    for row, place in enumerate(column):
        changed[row, place] = (changed[row, place] + random.integers(1, SIZES[place])) % SIZES[place]

    def scores(labels: np.ndarray) -> np.ndarray:
        text = gan.text_encoder.encode([phantom_reports(row)[number % 6] for number, row in enumerate(labels)])
        return np.concatenate(
            [
                np.asarray(gan.discriminator(images[start : start + BATCH], text[start : start + BATCH])).ravel()
                for start in range(0, count, BATCH)
            ]
        )

    right = scores(held_out.labels)
    return {
        "above_another": float(np.mean(right > scores(held_out.labels[other]))),
        "above_one_changed": float(np.mean(right > scores(changed))),
    }


def write_grid(gan: keras_t2i.TextToImageGAN, target: Path) -> None:
    labels = of(phantoms()).labels
    rows = labels[np.random.default_rng(4).permutation(len(labels))[:4]]
    reports = [phantom_reports(row)[number] for number, row in enumerate(rows)]
    images = gan.generate(reports, num_images=8, seed=3)
    size = images.shape[1]
    grid = images.reshape(4, 8, size, size, 3).swapaxes(1, 2).reshape(4 * size, 8 * size, 3)
    Image.fromarray(grid).resize((8 * size * 2, 4 * size * 2), Image.Resampling.NEAREST).save(target)
    for report in reports:
        print(report)


def of(data: keras_t2i.data.CaptionedImages) -> Split:
    assert data.validation_split is not None
    return data.validation_split


def all_of(labels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The reports of some combinations, and the labels of each."""
    reports = [phantom_reports(row) for row in labels]
    return np.repeat(labels, len(reports[0]), axis=0), [report for each in reports for report in each]


if __name__ == "__main__":
    main()
