"""A tiny training run, the same each time it is made."""

from __future__ import annotations

import hashlib
import zlib

import keras
import numpy as np

from keras_t2i.data.synthetic import shapes
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from keras_t2i.networks.mlp import MLPDiscriminator, MLPGenerator

EMBEDDING_DIM = 6
STEPS_PER_EPOCH = 8


class TableEncoder:
    """Embeds each caption as random numbers that follow from its characters."""

    embedding_dim = EMBEDDING_DIM

    def __init__(self, fingerprint: str = "a" * 64) -> None:
        self.fingerprint = fingerprint

    def encode(self, captions):
        rows = [
            np.random.default_rng(zlib.crc32(caption.encode())).standard_normal(EMBEDDING_DIM) for caption in captions
        ]
        return np.asarray(rows, np.float32)


class ShortEpochs:
    """The captioned shapes, with epochs of few steps and little to validate on."""

    def __init__(self, batch_size: int = 4) -> None:
        self._dataset = shapes(image_size=32, batch_size=batch_size, seed=3).encode(TableEncoder())
        self.steps_per_epoch = STEPS_PER_EPOCH
        self.train_split, self.validation_split = self._dataset.train_split, self._dataset.validation_split
        self.train_from = self._dataset.train_from

    def validation_sample(self, max_images):
        return self._dataset.validation_sample(max_images).take(2)


def make_gan(
    family: str = "mlp", seed: int = 0, encoder: TableEncoder | None = None, **compile_arguments
) -> TextToImageGAN:
    """A compiled model: mlp with dropout and a penalty that draws random numbers, dcgan with batch normalisation."""
    keras.utils.set_random_seed(seed)
    if family == "mlp":
        generator = MLPGenerator(32, latent_dim=4, text_width=4, widths=(8, 8))
        discriminator = MLPDiscriminator(32, text_width=4, widths=(8, 8))
    else:
        generator = DCGANGenerator(32, latent_dim=4, text_width=4, width=2)
        discriminator = DCGANDiscriminator(32, text_width=4, width=2)
    gan = TextToImageGAN(encoder, generator, discriminator, embedding_dim=EMBEDDING_DIM)
    gan.compile(**{"penalty": "wgan_gp" if family == "mlp" else None, **compile_arguments})
    return gan


def digest(gan: TextToImageGAN) -> dict[str, str]:
    """SHA-256 of each network and each optimizer, slots included."""
    parts = ("generator", "discriminator", "ema_generator", "generator_optimizer", "discriminator_optimizer")
    hashes = {}
    for part in parts:
        values = [variable.numpy() for variable in getattr(gan, part).variables]
        hashes[part] = hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()
    return hashes
