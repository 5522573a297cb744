"""Models by the name of a family: built, and compiled by the recipe that the family gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras

from keras_t2i.models.base import TextToImage
from keras_t2i.models.diffusion import DiffusionTextToImage
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.networks import FAMILIES
from keras_t2i.networks.families import Family
from keras_t2i.networks.stable_diffusion import STABLE_DIFFUSION_3
from keras_t2i.objectives import losses
from keras_t2i.objectives.augmentation import CaptionAugmentation

__all__ = ["build_gan", "compile_gan", "family_of", "recipe_of"]

_PRETRAINED: Mapping[str, Family] = {"stable_diffusion_3": STABLE_DIFFUSION_3}
"""Families of which a model is only ever loaded."""


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
) -> TextToImage:
    """Builds and compiles a model of a family with its own recipe: a `TextToImageGAN`, or a `DiffusionTextToImage`.

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
        of_generator = _inherited(recipe.generator, start_from["generator"]) | of_generator
        if recipe.discriminator is not None and "discriminator" in start_from:
            of_discriminator = _inherited(recipe.discriminator, start_from["discriminator"]) | of_discriminator
    generator = recipe.generator(**common, **of_generator)
    model: TextToImage
    if recipe.discriminator is None:
        model = DiffusionTextToImage(text_encoder, generator, embedding_dim)
    else:
        discriminator = recipe.discriminator(**common, **of_discriminator)
        model = TextToImageGAN(text_encoder, generator, discriminator, embedding_dim)
    compile_gan(model, family, seed=seed, **compile_arguments)
    return model


def compile_gan(
    gan: TextToImage,
    family: str,
    loss: str | losses.AdversarialLoss | None = None,
    penalty: Any = "default",
    learning_rate_scale: float = 1.0,
    **compile_arguments: Any,
) -> None:
    """Compiles a model by the recipe of a family, for the weights that are trainable now.

    Args:
        gan: A model of that family; where its captions are all the same (`keras_t2i.text.Unconditional`), the terms
            that compare them are off.
        family: A name in `FAMILIES`.
        loss: Another loss than the family's.
        penalty: Another gradient penalty than the family's, or `None` for none.
        learning_rate_scale: Factor on both learning rates.
        **compile_arguments: Passed to the model's `compile`.

    Raises:
        ValueError: if there is no family of that name, or it has no discriminator and something is asked of one.
    """
    recipe = recipe_of(family)
    if isinstance(gan, DiffusionTextToImage):
        _compile_flow(gan, family, loss, penalty, learning_rate_scale, compile_arguments)
        return
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


def _compile_flow(
    model: DiffusionTextToImage,
    family: str,
    loss: Any,
    penalty: Any,
    learning_rate_scale: float,
    compile_arguments: dict[str, Any],
) -> None:
    recipe = recipe_of(family)
    adversarial = {"loss": loss, "penalty": None if penalty == "default" else penalty or "none"}
    for name in ("augmentation", "generator_terms", "variety"):
        adversarial[name] = compile_arguments.pop(name, None)
    if asked := [name for name, value in adversarial.items() if value]:
        raise ValueError(
            f"{family} is trained without a discriminator, and {' and '.join(asked)} would change one, or what it is "
            f"trained with: leave {'it' if len(asked) == 1 else 'them'} out."
        )
    if compile_arguments.get("caption_augmentation") is None and model.generator.text_tower is None:
        compile_arguments["caption_augmentation"] = CaptionAugmentation(
            recipe.caption_dropout, 0.0, seed=compile_arguments.get("seed", 0)
        )
    (rate,) = recipe.learning_rates
    beta_1, beta_2 = recipe.betas
    optimizer = keras.optimizers.Adam(rate * learning_rate_scale, beta_1=beta_1, beta_2=beta_2)
    model.compile(generator_optimizer=optimizer, **compile_arguments)


def recipe_of(family: str) -> Family:
    """The family of that name: one in the table, or one that is only ever loaded.

    Raises:
        ValueError: if there is none.
    """
    return _PRETRAINED[family] if family in _PRETRAINED else FAMILIES[family]


def family_of(gan: TextToImage | Mapping[str, Any]) -> str:
    """The family that a model belongs to: what its card says, else by the classes and settings of its networks.

    Args:
        gan: A model, or the `config.json` of a preset.

    Raises:
        ValueError: if there is none.
    """
    about = {**gan.get_config(), "card": gan.card} if isinstance(gan, TextToImage) else gan
    known = about["card"].get("family")
    if known in FAMILIES or known in _PRETRAINED:
        return str(known)
    sides = [side for side in ("generator", "discriminator") if side in about]
    networks = {side: _first_stage(about[side]) for side in sides}
    for name, family in _PRETRAINED.items():
        if networks["generator"]["class_name"] == getattr(family.generator, "__name__", None):
            return name
    fitting = {
        name: sum(_fit(getattr(family, side), networks[side]) for side in sides)
        for name, family in FAMILIES.items()
        if (family.discriminator is not None) == ("discriminator" in about)
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
