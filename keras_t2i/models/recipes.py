"""Models by the name of a family: built, and compiled by the recipe that the family gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.networks import FAMILIES
from keras_t2i.objectives import losses

__all__ = ["build_gan", "compile_gan", "family_of"]


def build_gan(
    family: str,
    text_encoder: Any,
    image_size: int = 64,
    seed: int = 0,
    embedding_dim: int | None = None,
    size: str = "small",
    activation: str | None = None,
    discriminator_depth: int | None = None,
    start_from: Mapping[str, Any] | None = None,
    **compile_arguments: Any,
) -> TextToImageGAN:
    """Builds and compiles a GAN of a family with its own recipe.

    Args:
        family: A name in `FAMILIES`.
        text_encoder: A `keras_t2i.text.TextEncoder`; with `TokenIds` both networks get a text tower of their own.
        image_size: Height and width in pixels.
        seed: Seed of the initial weights and of the training latents.
        embedding_dim: Length of the sentence embeddings, where there is no text encoder.
        size: One of `keras_t2i.networks.SIZES`; `"small"` is what every family has.
        activation: One of `keras_t2i.networks.ACTIVATIONS`, for families that have sizes.
        discriminator_depth: Convolutions a scale of the discriminator, likewise.
        start_from: The `config.json` of a preset whose weights the model is to get: what older models of the family
            have otherwise than new ones is as it is there.
        **compile_arguments: Passed to `compile_gan`.

    Raises:
        ValueError: if there is no family of that name, or it cannot make images of that size, or has no such networks.
    """
    recipe = FAMILIES[family]
    keras.utils.set_random_seed(seed)
    common = {"image_size": image_size, "vocabulary_size": getattr(text_encoder, "vocabulary_size", None)}
    of_generator, of_discriminator = recipe.settings(image_size, size, activation, discriminator_depth)
    if start_from is not None:
        of_generator |= _inherited(recipe.generator, start_from["generator"])
        of_discriminator |= _inherited(recipe.discriminator, start_from["discriminator"])
    networks = recipe.generator(**common, **of_generator), recipe.discriminator(**common, **of_discriminator)
    gan = TextToImageGAN(text_encoder, *networks, embedding_dim=embedding_dim)
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
    recipe = FAMILIES[family]
    if getattr(gan.text_encoder, "is_unconditional", False):  # Nothing is mismatched where all captions are the same.
        compile_arguments = {"matching_weight": 0.0, "contrastive_weight": 0.0, **compile_arguments}
    if penalty == "default":
        penalty = recipe.penalty
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


def family_of(gan: TextToImageGAN | Mapping[str, Any]) -> str:
    """The family that a model belongs to: what its card says, else by the classes and settings of its networks.

    Args:
        gan: A model, or the `config.json` of a preset.

    Raises:
        ValueError: if there is none.
    """
    about = {**gan.get_config(), "card": gan.card} if isinstance(gan, TextToImageGAN) else gan
    if about["card"].get("family") in FAMILIES:
        return str(about["card"]["family"])
    sides = ("generator", "discriminator")
    networks = {side: _first_stage(about[side]) for side in sides}
    fitting = {
        name: sum(_fit(getattr(family, side), networks[side]) for side in sides) for name, family in FAMILIES.items()
    }
    best = max(fitting, key=lambda name: fitting[name])
    if fitting[best] < 0:
        raise ValueError(
            f"No family has {' and '.join(about[side]['class_name'] for side in sides)}: compile it yourself."
        )
    return best


def _inherited(build: Callable[..., Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """What a network of a family takes over from a serialised one; nothing where that is of another class."""
    cls = _class_of(build)
    names = getattr(cls, "inherited", ()) if network["class_name"] == getattr(cls, "__name__", None) else ()
    # What is not told, because there was no choice yet, is the default.
    defaults = inspect.signature(cls).parameters
    return {name: network["config"].get(name, defaults[name].default) for name in names}


def _first_stage(network: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a serialised generator that enlarges what another draws, the other."""
    return _first_stage(network["config"]["source"]) if "source" in network["config"] else network


def _class_of(build: Callable[..., Any]) -> Callable[..., Any]:
    return build.func if isinstance(build, partial) else build


def _fit(build: Callable[..., Any], network: Mapping[str, Any]) -> float:
    """How many settings of a family's network a serialised one has; minus infinity where it is another."""
    cls, settings = _class_of(build), build.keywords if isinstance(build, partial) else {}
    settings = {name: value for name, value in settings.items() if name not in getattr(cls, "inherited", ())}
    fits = network["class_name"] == getattr(cls, "__name__", None) and settings.items() <= network["config"].items()
    return len(settings) if fits else float("-inf")
