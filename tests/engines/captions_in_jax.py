"""Keras on JAX with TensorFlow installed beside it: captions are read, and `tf.data` is trained on.

KERAS_BACKEND=jax python captions_in_jax.py OUTPUT.npz
"""

from __future__ import annotations

import sys

import numpy as np
import tensorflow as tf

from keras_t2i import TextToImageGAN
from keras_t2i.models import build_gan


def main(output: str) -> None:
    gan = TextToImageGAN.from_preset("shapes_64")
    captions = ["a red star", "a blue circle"]
    embeddings = gan.text_encoder.encode(captions)
    trained = build_gan("mlp", gan.text_encoder, 32)
    random = np.random.default_rng(0)
    batch = {"images": random.uniform(-1, 1, (2, 32, 32, 3)).astype("float32"), "sentence_embeddings": embeddings}
    history = trained.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0).history
    np.savez(
        output,
        embeddings=embeddings,
        images=gan.generate(captions, seed=3),
        losses=history["generator_loss"] + history["discriminator_loss"],
        steps=int(trained.generator_optimizer.iterations.value),
    )


if __name__ == "__main__":
    main(sys.argv[1])
