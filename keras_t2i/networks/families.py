"""The table of network families: what is built, and the recipe that its authors, or our measurements, give it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keras_t2i.core.tables import Table

__all__ = ["ACTIVATIONS", "FAMILIES", "SIZES", "Family"]

SIZES: Mapping[str, int] = {"small": 1, "base": 2, "large": 4}
"""How many times the channels of the smallest: weights and multiply-adds grow with the square."""

ACTIVATIONS: Table[Callable[[Any], Any]] = Table(
    "activation", {name: f"keras_t2i.networks.blocks:{name}" for name in ("leaky", "relu", "silu", "gelu")}
)
"""What layers put their sums through. One of your own is a function of a tensor, in `keras.ops`."""

Settings = tuple[dict[str, Any], dict[str, Any]]
"""Keyword arguments of a generator and of a discriminator."""


@dataclass(frozen=True)
class Family:
    """A generator, a discriminator and how they are trained; or a network that learns without one.

    Args:
        generator: Called with `image_size` and `vocabulary_size`.
        discriminator: Called with the same; `None` where there is none, as for flows.
        loss: Adversarial loss, by its name in `keras_t2i.objectives.LOSSES`; `None` without a discriminator.
        penalty: Gradient penalty, by its name in `keras_t2i.objectives.PENALTIES`, or `None`.
        learning_rates: Adam's, of generator and discriminator, or of the only network.
        betas: Adam's beta_1 and beta_2.
        reference: Where the family comes from.
        label: What tables and charts call it.
        description: One or two sentences: what is particular about it.
        tiny: Called with an image size, it returns settings of generator and discriminator with which they have a few
            thousand weights: what tests build.
        wider: Called with an image size and how many times the usual channels, it returns settings of both; `None`
            where the family has one size.
        caption_dropout: Share of captions that training drops unless it is told otherwise.
    """

    generator: Callable[..., Any]
    discriminator: Callable[..., Any] | None
    loss: str | None
    penalty: str | None
    learning_rates: tuple[float, ...]
    betas: tuple[float, float]
    reference: str
    label: str
    description: str
    tiny: Callable[[int], Settings]
    wider: Callable[[int, int], Settings] | None = None
    caption_dropout: float = 0.0

    def has(self, choices: Iterable[str]) -> bool:
        """Whether there is a choice of all of these: `"size"`, `"activation"`, `"discriminator depth"`."""
        return self.wider is not None and (self.discriminator is not None or set(choices) <= {"size"})

    def settings(
        self, image_size: int, size: str = "small", activation: str | None = None, depth: int | None = None
    ) -> Settings:
        """Settings of generator and discriminator.

        Args:
            image_size: Height and width in pixels.
            size: One of the `SIZES`.
            activation: One of the `ACTIVATIONS`, for both; `None` for the family's.
            depth: Convolutions a scale of the discriminator; `None` for the family's.

        Raises:
            ValueError: if there is no such size or activation, or the family has no other than its own.
        """
        if size not in SIZES:
            raise ValueError(f"Unknown size {size!r}. Expected one of: {', '.join(SIZES)}.")
        asked = {"size": None if SIZES[size] == 1 else size, "activation": activation, "discriminator depth": depth}
        asked = {what: value for what, value in asked.items() if value is not None}
        if not asked:
            return {}, {}
        if not self.has(asked):
            what, value = next(item for item in asked.items() if not self.has([item[0]]))
            having = [name for name, f in FAMILIES.items() if f.has([what])]
            raise ValueError(
                f"{self.label} has one {what}, not {value!r}. Families with a choice: {', '.join(having)}."
            )
        wider = self.wider if SIZES[size] > 1 else None
        of_generator, of_discriminator = ({}, {}) if wider is None else wider(image_size, SIZES[size])
        if activation is not None:
            ACTIVATIONS[activation]  # Raises where it is unknown.
            of_generator["activation"] = of_discriminator["activation"] = activation
        if depth is not None:
            of_discriminator["depth"] = depth
        return of_generator, of_discriminator


FAMILIES: Table[Family] = Table(
    "family",
    {
        "compact": "keras_t2i.networks.compact:COMPACT",
        "df_gan": "keras_t2i.networks.df_gan:DF_GAN",
        "dcgan": "keras_t2i.networks.dcgan:DCGAN",
        "self_attention": "keras_t2i.networks.dcgan:SELF_ATTENTION",
        "wgan_gp": "keras_t2i.networks.dcgan:WGAN_GP",
        "projected": "keras_t2i.networks.projected:PROJECTED",
        "mlp": "keras_t2i.networks.mlp:MLP",
        "flow": "keras_t2i.networks.flow:FLOW",
    },
)
"""Every family. One of your own is a `Family`, or where to find it: `FAMILIES["mine"] = "my_package.networks:MINE"`."""
