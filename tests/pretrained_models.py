"""Models that stand for trained ones, and what `fit` moves in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from checks import EMBEDDING_DIM, make_batch, make_latents, move_weights, one_line, tensors, tiny_networks

from keras_t2i import transfer
from keras_t2i.export.litert_runner import LiteRTBundle
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.transfer.layers import named_layers, own_weights

CAPTIONS = np.random.default_rng(5).normal(size=(12, EMBEDDING_DIM)).astype(np.float32)


def pretrained(family: str = "compact", seed: int = 0, text_encoder: Any = None) -> TextToImageGAN:
    """A model of that family, not compiled, whose average is not its generator; the same for the same seed."""
    import keras

    keras.utils.set_random_seed(seed)
    dim = EMBEDDING_DIM if text_encoder is None else None
    gan = TextToImageGAN(text_encoder, *tiny_networks(family), embedding_dim=dim)
    if family == "projected":
        gan.discriminator.initialize_backbone([weight + 0.01 for weight in gan.discriminator.backbone.get_weights()])
    for number, network in enumerate((gan.generator, gan.discriminator)):
        if getattr(network, "attention", None) is not None:
            network.attention.share.assign(1.0)
        move_weights(network, seed=number)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    move_weights(gan.generator, seed=7)
    for network in (gan.generator, gan.ema_generator, gan.discriminator):  # Statistics other than 0 and 1.
        for layer in named_layers(network).values():
            if hasattr(layer, "moving_mean"):
                layer.moving_mean.assign(layer.moving_mean + 0.1)
                layer.moving_variance.assign(layer.moving_variance * 1.3)
    return gan


def fit(gan: TextToImageGAN, steps: int = 2) -> None:
    batches = [tensors(make_batch(4, gan.image_size, seed=number)) for number in range(steps)]
    stacked = {key: tf.concat([batch[key] for batch in batches], axis=0) for key in batches[0]}
    gan.fit(tf.data.Dataset.from_tensor_slices(stacked).batch(4), verbose=0)


def refusal(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(ValueError, match=r".") as error:
        call(*args, **kwargs)
    return one_line(error)


def values(gan: TextToImageGAN, side: str) -> dict[str, np.ndarray]:
    """Every weight of a network by the path that a plan gives it, `"generator/..."` for the averaged one too."""
    network = getattr(gan, side)
    named = [("", network), *named_layers(network).items()]
    found = {}
    for name, layer in named:
        for weight in own_weights(layer):
            found["/".join(part for part in (side, name, weight.name) if part)] = weight.numpy().copy()
    assert len(found) == len(network.weights)
    return found


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not np.array_equal(before[name], after[name])}


def check_exports_draw_the_same(gan: TextToImageGAN, place: Path) -> np.ndarray:
    """Exports to LiteRT and as a SavedModel, and draws two captions with each; returns what the model drew."""
    latents, text = make_latents(2), CAPTIONS[:2]
    expected = gan.ema_generator(latents, text, training=False).numpy()
    gan.export(place / "litert", format="litert")
    np.testing.assert_allclose(LiteRTBundle(place / "litert").draw(latents, text), expected, atol=1e-5)
    gan.export(place / "serving")
    served = tf.saved_model.load(str(place / "serving")).signatures["generate_from_embeddings"]
    images = served(latents=tf.constant(latents), sentence_embeddings=tf.constant(text))["images"]
    np.testing.assert_allclose(images, expected, atol=1e-6)
    return expected


def check_only_the_plan_moves(gan: TextToImageGAN, plan: transfer.Plan, run_eagerly: bool = True) -> None:
    """Compiles, trains, and compares to the last bit with what the plan lists."""
    gan.compile(generator_terms=plan.terms, penalty=None, run_eagerly=run_eagerly)
    sides = ("generator", "discriminator", "ema_generator")
    before = {side: values(gan, side) for side in sides}
    fit(gan)
    changed = {side: moved(before[side], values(gan, side)) for side in sides}
    may_move = {weight.path for weight in (*plan.trained, *plan.statistics)}
    assert changed["generator"] | changed["discriminator"] == may_move
    of_generator = {path for path in may_move if path.startswith("generator")}
    assert changed["ema_generator"] == {f"ema_{path}" for path in of_generator}
    assert {weight.path for weight in plan.weights} == before["generator"].keys() | before["discriminator"].keys()
