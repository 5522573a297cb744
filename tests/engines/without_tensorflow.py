"""What a machine does that has JAX and no TensorFlow: reads packed images, trains, draws, and says what it cannot do.

KERAS_BACKEND=jax python without_tensorflow.py PACKED OUTPUT
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

import keras_t2i
from keras_t2i.data import PackedImages
from keras_t2i.models import build_gan


def message(function: Any, *arguments: Any, **options: Any) -> str:
    """What it fails with."""
    try:
        function(*arguments, **options)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def huge(images: Any) -> Any:
    """Images as they are, by way of half a terabyte."""
    return images + 0 * ops.mean(ops.sort(ops.tile(ops.reshape(images, (-1,)), 10**7)))


def main(source: str, output: Path) -> None:
    installed = {name: importlib.util.find_spec(name) is not None for name in ("tensorflow", "keras_nlp", "keras_hub")}
    packed = PackedImages.read(source)
    gan = build_gan("mlp", None, packed.image_size, embedding_dim=packed.embedding_dim, penalty="r1")
    gan.text_of = packed.text_of
    gan.adapt(packed.train.embeddings.astype("float32"))
    before = [np.array(weight) for weight in gan.generator.trainable_weights]
    held_out = packed.batches("validation", batch_size=4)
    history = gan.fit(packed.batches(batch_size=4), epochs=3, validation_data=held_out, verbose=0).history
    after = [np.array(weight) for weight in gan.generator.trainable_weights]
    gan.save_to_preset(output / "preset")
    text = packed.train.embeddings[:5].astype("float32")
    again = keras_t2i.TextToImageGAN.from_preset(output / "preset")
    shapes = keras_t2i.TextToImageGAN.from_preset("shapes_64")
    spoiled = {"images": np.full((4, 32, 32, 3), np.nan, np.float32), "sentence_embeddings": text[:4]}
    weights = gan.get_weights()
    too_large = build_gan("mlp", None, packed.image_size, embedding_dim=packed.embedding_dim, augmentation=huge)
    told = {
        "installed": installed,
        "history": history,
        "moved": [not np.array_equal(old, new) for old, new in zip(before, after, strict=True)],
        "evaluated": gan.evaluate(held_out, verbose=0, return_dict=True),
        "captions": message(shapes.generate, "a red star"),
        "export": message(gan.export, output / "export"),
        "strings": message(gan.fit, {"images": spoiled["images"], "captions": np.array(["a"] * 4)}, verbose=0),
        "not_finite": message(gan.fit, spoiled, batch_size=4, verbose=0),
        "memory": message(too_large.fit, packed.batches(batch_size=4), verbose=0),
        "kept": all(np.array_equal(old, new) for old, new in zip(weights, gan.get_weights(), strict=True)),
        "batches": len(packed.batches(batch_size=4)),
        "steps": int(gan.generator_optimizer.iterations.value),
    }
    (output / "told.json").write_text(json.dumps(told, default=float), encoding="utf-8")
    np.savez(
        output / "drawn.npz",
        trained=gan.generate_from_embeddings(text, seed=3),
        again=again.generate_from_embeddings(text, seed=3),
        shapes=shapes.generate_from_embeddings(np.load(output / "text.npy"), seed=3),
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
