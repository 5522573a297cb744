"""Trains the classifier that judges generated shapes, faces or phantoms, and stores it in the package.

Command:  python examples/benchmarks/train_judges.py shapes        (or faces, or phantoms)
Cost:     1 to 2 minutes of one core
Result:   all attributes right in at least 99.9 % of 5,120 freshly rendered images; printed as JSON
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

import keras_t2i
from keras_t2i.data import (
    FACE_ATTRIBUTES,
    PHANTOM_ATTRIBUTES,
    SHAPE_ATTRIBUTES,
    render_faces,
    render_phantoms,
    render_shapes,
)
from keras_t2i.metrics import AttributeJudge, attribute_accuracy

JUDGES = Path(keras_t2i.__file__).parent / "metrics" / "judges"
DOMAINS = {
    "shapes": (SHAPE_ATTRIBUTES, render_shapes, JUDGES / "shapes.npz"),
    "faces": (FACE_ATTRIBUTES, render_faces, JUDGES / "faces.npz"),
    "phantoms": (PHANTOM_ATTRIBUTES, render_phantoms, JUDGES / "phantoms.npz"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("domain", choices=DOMAINS, help="what the classifier is to judge")
    attributes, render, target = DOMAINS[parser.parse_args().domain]

    @tf.function
    def draw(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        columns = [
            tf.random.stateless_uniform((64,), (step, column), 0, len(words), tf.int64)
            for column, words in enumerate(attributes.values())
        ]
        labels = tf.stack(columns, axis=1)
        seeds = tf.stack([tf.fill((64,), tf.cast(step, tf.int64)), 1000 + tf.range(64, dtype=tf.int64)], axis=1)
        return render(labels, seeds, 64), labels

    tf.keras.utils.set_random_seed(0)
    judge = AttributeJudge(attributes)
    judge.fit(lambda step: draw(tf.constant(step)))
    temporary = target.with_suffix(".part")
    judge.save(temporary)
    temporary.replace(target)

    judge = AttributeJudge.load(attributes, target)
    batches = [draw(tf.constant(10**6 + step)) for step in range(80)]
    images = np.concatenate([((batch.numpy() + 1) * 127.5).round().astype("uint8") for batch, _ in batches])
    labels = np.concatenate([labels.numpy() for _, labels in batches])
    print(json.dumps({"file": target.name, **attribute_accuracy(judge.predict(images), labels, list(attributes))}))


if __name__ == "__main__":
    main()
