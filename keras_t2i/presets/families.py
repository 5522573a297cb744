"""The one table of names: each network family with the recipe that its authors, or our measurements, give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from keras_t2i import losses, networks, penalties
from keras_t2i.gan import TextToImageGAN
from keras_t2i.networks.base import Discriminator, Generator
from keras_t2i.text import Unconditional

__all__ = ["FAMILIES", "Family", "build_gan"]


@dataclass(frozen=True)
class Family:
    """A generator, a discriminator and how they are trained.

    Args:
        generator: Called with `image_size` and `vocabulary_size`.
        discriminator: Called with the same.
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
    "self_attention": Family(
        partial(networks.DCGANGenerator, spectral_normalization=True, attention_at=32),
        partial(networks.DCGANDiscriminator, normalization="spectral", attention_at=32),
        loss="hinge",
        penalty=None,
        learning_rates=(1e-4, 4e-4),
        betas=(0.0, 0.9),
        reference="arXiv:1805.08318",
    ),
    # The paper gives the critic five steps a step of the generator; here it has one, four times as long.
    "wgan_gp": Family(
        networks.DCGANGenerator,
        partial(networks.DCGANDiscriminator, normalization="none"),
        loss="wasserstein",
        penalty=penalties.WGANGP,
        learning_rates=(1e-4, 4e-4),
        betas=(0.0, 0.9),
        reference="arXiv:1704.00028",
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
        text_encoder: A `keras_t2i.text.TextEncoder`; with `TokenIds` both networks get a text tower of their own, with
            `Unconditional` the terms that compare captions are off.
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
    common = {"image_size": image_size, "vocabulary_size": getattr(text_encoder, "vocabulary_size", None)}
    gan = TextToImageGAN(text_encoder, recipe.generator(**common), recipe.discriminator(**common))
    if isinstance(text_encoder, Unconditional):  # Nothing is mismatched where all captions are the same.
        compile_arguments = {"matching_weight": 0.0, "contrastive_weight": 0.0, **compile_arguments}
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
