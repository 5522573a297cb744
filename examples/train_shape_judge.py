"""Trains the classifier that judges generated shapes, and stores it in the package.

Command:  python examples/train_shape_judge.py
Cost:     about 1 minute of one core
Result:   all five attributes right in at least 99.9 % of 5,000 freshly rendered shapes; printed as JSON
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

import keras_t2i
from keras_t2i.data.synthetic import ATTRIBUTES, render_shapes
from keras_t2i.metrics.attributes import AttributeJudge, attribute_accuracy

TARGET = Path(keras_t2i.__file__).parent / "presets" / "shape_judge.npz"


@tf.function
def draw(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    columns = [
        tf.random.stateless_uniform((64,), (step, column), 0, len(words), tf.int64)
        for column, words in enumerate(ATTRIBUTES.values())
    ]
    labels = tf.stack(columns, axis=1)
    seeds = tf.stack([tf.fill((64,), tf.cast(step, tf.int64)), 1000 + tf.range(64, dtype=tf.int64)], axis=1)
    return render_shapes(labels, seeds, 64), labels


def main() -> None:
    tf.keras.utils.set_random_seed(0)
    judge = AttributeJudge(ATTRIBUTES)
    judge.fit(lambda step: draw(tf.constant(step)))
    temporary = TARGET.with_suffix(".part")
    judge.save(temporary)
    temporary.replace(TARGET)

    judge = AttributeJudge.load(ATTRIBUTES, TARGET)
    batches = [draw(tf.constant(10**6 + step)) for step in range(80)]
    images = np.concatenate([((batch.numpy() + 1) * 127.5).round().astype("uint8") for batch, _ in batches])
    labels = np.concatenate([labels.numpy() for _, labels in batches])
    print(json.dumps({"file": TARGET.name, **attribute_accuracy(judge.predict(images), labels, list(ATTRIBUTES))}))


if __name__ == "__main__":
    main()
