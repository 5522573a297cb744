"""Keras on JAX with TensorFlow beside it: captions are read, `tf.data` is trained on, runs resumed, images enlarged.

KERAS_BACKEND=jax python captions_in_jax.py OUTPUT.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_t2i import TextToImageGAN, metrics, runs, transfer
from keras_t2i.models import build_gan, compile_gan


def main(output: str) -> None:
    gan = TextToImageGAN.from_preset("shapes_64")
    captions = ["a red star", "a blue circle"]
    embeddings = gan.text_encoder.encode(captions)
    trained = build_gan("mlp", gan.text_encoder, 32)
    random = np.random.default_rng(0)
    batch = {"images": random.uniform(-1, 1, (2, 32, 32, 3)).astype("float32"), "sentence_embeddings": embeddings}
    history = trained.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0).history
    wrong = {**batch, "images": (batch["images"] + 1) * 127.5}
    out_of_range = []
    for data in (wrong, tf.data.Dataset.from_tensors(wrong)):
        try:
            trained.fit(data, verbose=0)
        except ValueError as error:
            out_of_range.append(str(error))
    config = runs.RunConfig("shapes:64", "mlp", image_size=32, batch_size=16)
    run = Path(output).with_name("run")
    trained_to = [runs.train(config, run, epochs=epochs, verbose=0)["steps"] for epochs in (1, 2)]
    try:
        refused = str(metrics.Texture())
    except ValueError as error:
        refused = str(error)
    steps = int(trained.generator_optimizer.iterations.value)
    source = trained.ema_generator.get_weights()
    plan = transfer.upscale(trained, width=4, depth=1)
    compile_gan(trained, "mlp", generator_terms=plan.terms)
    large = {**batch, "images": random.uniform(-1, 1, (2, 64, 64, 3)).astype("float32")}
    enlarged = trained.fit(tf.data.Dataset.from_tensors(large).repeat(2), verbose=0).history
    kept = zip(source, trained.ema_generator.source.get_weights(), strict=True)
    np.savez(
        output,
        embeddings=embeddings,
        images=gan.generate(captions, seed=3),
        losses=[*history["generator_loss"], *history["discriminator_loss"], *enlarged["generator_loss"]],
        source_kept=all(np.array_equal(before, after) for before, after in kept),
        enlarged=trained.generate(captions),
        trained_to=trained_to,
        steps=steps,
        refused=refused,
        out_of_range=out_of_range,
    )


if __name__ == "__main__":
    main(sys.argv[1])
