"""What several tests share: tiny networks of every family, seeded batches, and comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from keras_t2i import networks
from keras_t2i.models import DiffusionTextToImage, TextToImageGAN, compile_gan

FAMILIES = tuple(name for name, family in networks.FAMILIES.items() if family.discriminator is not None)
"""Those with a discriminator: a new one is in every test of families at once."""
EMBEDDING_DIM = 8
LATENT_DIM = 6


def sizes_of(family: str) -> tuple[int, ...]:
    return (32, 64) if family == "mlp" else (32, 64, 128, 256)


def tiny_networks(
    family: str, image_size: int = 32, **kwargs: Any
) -> tuple[networks.Generator, networks.Discriminator]:
    """A generator and a discriminator with a few thousand weights; `kwargs` go to both, as `dtype` does."""
    found = networks.FAMILIES[family]
    of_generator, of_discriminator = found.tiny(image_size)
    common = {"image_size": image_size, **kwargs}
    generator = found.generator(**common, latent_dim=LATENT_DIM, **of_generator)
    return generator, found.discriminator(**common, **of_discriminator)


def built_networks(
    family: str, image_size: int = 32, **kwargs: Any
) -> tuple[networks.Generator, networks.Discriminator]:
    """The same, with weights for sentence embeddings of `EMBEDDING_DIM`."""
    pair = tiny_networks(family, image_size, **kwargs)
    for network in pair:
        network.build_for(EMBEDDING_DIM)
    return pair


def tiny_gan(family: str = "dcgan", text_encoder: Any = None, image_size: int = 32, **kwargs: Any) -> TextToImageGAN:
    """A compiled GAN of that family; `kwargs` go to `compile`. Without an encoder it takes `EMBEDDING_DIM` numbers."""
    embedding_dim = EMBEDDING_DIM if text_encoder is None else None
    gan = TextToImageGAN(text_encoder, *tiny_networks(family, image_size), embedding_dim=embedding_dim)
    if family == "projected":  # Any weights will do, but some must be given.
        gan.discriminator.initialize_backbone([weight + 0.01 for weight in gan.discriminator.backbone.get_weights()])
    for network in (gan.generator, gan.ema_generator, gan.discriminator):
        if getattr(network, "attention", None) is not None:
            network.attention.share.assign(1.0)  # From zero, a tiny network would need long to get anywhere.
    gan.compile(**kwargs)
    return gan


def tiny_flow(text_encoder: Any = None, image_size: int = 32, **settings: Any) -> DiffusionTextToImage:
    """A compiled model that draws in steps, whose weights have left what they start from."""
    of_generator, _ = networks.FAMILIES["flow"].tiny(image_size)
    network = networks.FlowGenerator(image_size, **{**of_generator, **settings})
    model = DiffusionTextToImage(text_encoder, network, EMBEDDING_DIM if text_encoder is None else None)
    move_weights(model.generator)
    model.ema_generator.set_weights(model.generator.get_weights())
    compile_gan(model, "flow")
    return model


def make_batch(size: int = 4, image_size: int = 32, seed: int = 0) -> dict[str, np.ndarray]:
    """Smooth random images with random sentence embeddings."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(-1, 1, (size, 4, 4, 3)).astype(np.float32)
    images = coarse.repeat(image_size // 4, axis=1).repeat(image_size // 4, axis=2)
    return {"images": images, "sentence_embeddings": random.normal(size=(size, EMBEDDING_DIM)).astype(np.float32)}


def tensors(batch: dict[str, np.ndarray]) -> dict[str, tf.Tensor]:
    """The batch as `train_step` gets it from `fit`."""
    return {key: tf.constant(value) for key, value in batch.items()}


def make_latents(size: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, LATENT_DIM)).astype(np.float32)


def move_weights(network: Any, amount: float = 0.1, seed: int = 0) -> None:
    """Adds noise to every trainable weight, so that none is left at a neutral starting value."""
    random = np.random.default_rng(seed)
    assert network.trainable_weights, "an average has none: move the network that it follows"
    for weight in network.trainable_weights:
        weight.assign(weight.numpy() + amount * random.normal(size=weight.shape).astype(np.float32))


def move_average(gan: Any, amount: float = 0.1, seed: int = 0) -> None:
    """The same for what images are drawn with, whose weights are not trained but follow those that are."""
    move_weights(gan.generator, amount, seed)
    gan.ema_generator.set_weights(gan.generator.get_weights())


def copies(variables: Any) -> dict[str, np.ndarray]:
    """The present values of variables, by path and position."""
    return {f"{number} {variable.path}": variable.numpy().copy() for number, variable in enumerate(variables)}


def one_line(error: Any) -> str:
    """The message of a caught error, which must be one line."""
    message = str(error.value)
    assert message, "the error has no message"
    assert "\n" not in message
    return message
