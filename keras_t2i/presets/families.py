"""The one table of names: each network family with the recipe that its authors, or our measurements, give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_t2i import losses, networks, penalties
from keras_t2i.gan import TextToImageGAN
from keras_t2i.networks.base import Discriminator, Generator

__all__ = ["FAMILIES", "Family", "build_gan"]


@dataclass(frozen=True)
class Family:
    """A generator, a discriminator and how they are trained.

    Args:
        generator: Called with `image_size`.
        discriminator: Called with `image_size`.
        loss: Adversarial loss.
        penalty: Called without arguments for a fresh gradient penalty, or `None`.
        learning_rates: Adam's, of generator and discriminator.
        betas: Adam's beta_1 and beta_2.
        reference: Where the family comes from.
    """

    generator: Callable[..., Generator]
    discriminator: Callable[..., Discriminator]
    loss: str
    penalty: Callable[[], penalties.GradientPenalty] | None
    learning_rates: tuple[float, float]
    betas: tuple[float, float]
    reference: str


FAMILIES: dict[str, Family] = {
    "compact": Family(
        networks.CompactGenerator,
        networks.CompactDiscriminator,
        loss="non_saturating",
        penalty=penalties.R1,
        learning_rates=(6e-4, 6e-4),
        betas=(0.0, 0.9),
        reference="ours",
    ),
    "df_gan": Family(
        networks.DFGANGenerator,
        networks.DFGANDiscriminator,
        loss="hinge",
        penalty=penalties.MAGP,
        learning_rates=(1e-4, 4e-4),
        betas=(0.0, 0.9),
        reference="arXiv:2008.05865",
    ),
    "dcgan": Family(
        networks.DCGANGenerator,
        networks.DCGANDiscriminator,
        loss="non_saturating",
        penalty=None,
        learning_rates=(2e-4, 2e-4),
        betas=(0.5, 0.999),
        reference="arXiv:1605.05396",
    ),
    "mlp": Family(
        networks.MLPGenerator,
        networks.MLPDiscriminator,
        loss="non_saturating",
        penalty=None,
        learning_rates=(2e-4, 2e-4),
        betas=(0.5, 0.999),
        reference="arXiv:1411.1784",
    ),
}


def build_gan(
    family: str,
    text_encoder: Any,
    image_size: int = 64,
    loss: str | losses.AdversarialLoss | None = None,
    penalty: Any = "default",
    seed: int = 0,
    **compile_arguments: Any,
) -> TextToImageGAN:
    """Builds and compiles a GAN of a family with its own recipe.

    Args:
        family: A name in `FAMILIES`.
        text_encoder: A `keras_t2i.text.TextEncoder`.
        image_size: Height and width in pixels.
        loss: Another loss than the family's.
        penalty: Another gradient penalty than the family's, or `None` for none.
        seed: Seed of the initial weights and of the training latents.
        **compile_arguments: Passed to `TextToImageGAN.compile`.

    Raises:
        ValueError: if there is no family of that name, or it cannot make images of that size.
    """
    if family not in FAMILIES:
        raise ValueError(f"Unknown family {family!r}. Expected one of: {', '.join(FAMILIES)}.")
    recipe = FAMILIES[family]
    keras.utils.set_random_seed(seed)
    gan = TextToImageGAN(
        text_encoder=text_encoder,
        generator=recipe.generator(image_size=image_size),
        discriminator=recipe.discriminator(image_size=image_size),
    )
    if penalty == "default":
        penalty = recipe.penalty and recipe.penalty()
    generator_optimizer, discriminator_optimizer = (
        keras.optimizers.Adam(rate, beta_1=recipe.betas[0], beta_2=recipe.betas[1]) for rate in recipe.learning_rates
    )
    gan.compile(
        loss=loss or recipe.loss,
        penalty=penalty,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=discriminator_optimizer,
        seed=seed,
        **compile_arguments,
    )
    return gan
