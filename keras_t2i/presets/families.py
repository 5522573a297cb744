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

__all__ = ["FAMILIES", "Family", "build_gan", "compile_gan", "family_of"]


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
    # Its frozen network gets its weights by `initialize_backbone`: see `keras_t2i.networks.ProjectedDiscriminator`.
    "projected": Family(
        networks.CompactGenerator,
        networks.ProjectedDiscriminator,
        loss="hinge",
        penalty=None,
        learning_rates=(6e-4, 6e-4),
        betas=(0.0, 0.9),
        reference="arXiv:2111.01007",
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
    family: str, text_encoder: Any, image_size: int = 64, seed: int = 0, **compile_arguments: Any
) -> TextToImageGAN:
    """Builds and compiles a GAN of a family with its own recipe.

    Args:
        family: A name in `FAMILIES`.
        text_encoder: A `keras_t2i.text.TextEncoder`; with `TokenIds` both networks get a text tower of their own.
        image_size: Height and width in pixels.
        seed: Seed of the initial weights and of the training latents.
        **compile_arguments: Passed to `compile_gan`.

    Raises:
        ValueError: if there is no family of that name, or it cannot make images of that size.
    """
    recipe = _recipe(family)
    keras.utils.set_random_seed(seed)
    common = {"image_size": image_size, "vocabulary_size": getattr(text_encoder, "vocabulary_size", None)}
    gan = TextToImageGAN(text_encoder, recipe.generator(**common), recipe.discriminator(**common))
    compile_gan(gan, family, seed=seed, **compile_arguments)
    return gan


def compile_gan(
    gan: TextToImageGAN,
    family: str,
    loss: str | losses.AdversarialLoss | None = None,
    penalty: Any = "default",
    learning_rate_scale: float = 1.0,
    **compile_arguments: Any,
) -> None:
    """Compiles a GAN by the recipe of a family, for the weights that are trainable now.

    Args:
        gan: A model of that family; where its captions are all the same (`keras_t2i.text.Unconditional`), the terms
            that compare them are off.
        family: A name in `FAMILIES`.
        loss: Another loss than the family's.
        penalty: Another gradient penalty than the family's, or `None` for none.
        learning_rate_scale: Factor on both learning rates.
        **compile_arguments: Passed to `TextToImageGAN.compile`.

    Raises:
        ValueError: if there is no family of that name.
    """
    recipe = _recipe(family)
    if isinstance(gan.text_encoder, Unconditional):  # Nothing is mismatched where all captions are the same.
        compile_arguments = {"matching_weight": 0.0, "contrastive_weight": 0.0, **compile_arguments}
    if penalty == "default":
        penalty = recipe.penalty and recipe.penalty()
    generator_optimizer, discriminator_optimizer = (
        keras.optimizers.Adam(rate * learning_rate_scale, beta_1=recipe.betas[0], beta_2=recipe.betas[1])
        for rate in recipe.learning_rates
    )
    gan.compile(
        loss=loss or recipe.loss,
        penalty=penalty,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=discriminator_optimizer,
        **compile_arguments,
    )


def family_of(gan: TextToImageGAN) -> str:
    """The family that a model belongs to: what its card says, else by the classes and settings of its networks.

    Raises:
        ValueError: if there is none.
    """
    if gan.card.get("family") in FAMILIES:
        return str(gan.card["family"])
    fitting = {name: _fit(family.generator, gan.generator) for name, family in FAMILIES.items()}
    fitting = {n: fit + _fit(FAMILIES[n].discriminator, gan.discriminator) for n, fit in fitting.items()}
    best = max(fitting, key=lambda name: fitting[name])
    if fitting[best] < 0:
        raise ValueError(
            f"No family has {type(gan.generator).__name__} and {type(gan.discriminator).__name__}: compile it yourself."
        )
    return best


def _fit(build: Callable[..., Any], network: Any) -> float:
    """How many settings of a family's network are those of `network`; minus infinity where it is another."""
    settings = build.keywords if isinstance(build, partial) else {}
    cls = build.func if isinstance(build, partial) else build
    config = network.get_config()
    return len(settings) if type(network) is cls and settings.items() <= config.items() else float("-inf")


def _recipe(family: str) -> Family:
    if family not in FAMILIES:
        raise ValueError(f"Unknown family {family!r}. Expected one of: {', '.join(FAMILIES)}.")
    return FAMILIES[family]
