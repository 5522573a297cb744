"""Ways to transfer, chosen by name: what the strategy of a run means.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from keras_t2i.data import CaptionedImages
    from keras_t2i.gan import TextToImageGAN
    from keras_t2i.transfer import MixedImages, Plan

__all__ = ["STRATEGIES", "Strategy", "apply", "mixed", "needs_source", "parse"]

_MIXING = "mixing"


@dataclass(frozen=True)
class Strategy:
    """A way to transfer.

    Args:
        description: What it trains and when to choose it, in a line; the command line shows it.
        options: What can be set of it, with the type of each; a `tuple` is written with commas.
        source: Whether it needs the data that the model was trained on.
    """

    description: str
    options: Mapping[str, type] = field(default_factory=dict)
    source: bool = False


STRATEGIES: dict[str, Strategy] = {
    "full": Strategy("Both networks whole: learns most, and overfits first."),
    "freeze": Strategy(
        "All but some layers: early_blocks=2 or late_blocks=1 of the generator, or by name, generator=text,block_0 and "
        "discriminator=stem.",
        {"generator": tuple, "discriminator": tuple, "early_blocks": int, "late_blocks": int},
    ),
    "freeze_d": Strategy(
        "The generator whole, the discriminator's last blocks (trained_blocks=2) and heads: hundreds of images.",
        {"trained_blocks": int},
    ),
    "modulation": Strategy(
        "Of the generator, what reads the caption and what scales and shifts channels: other colors and styles of "
        "known forms. compact and df_gan."
    ),
    "lora": Strategy(
        "Of the generator, small factors beside its kernels (rank=4, alpha, adapt=block_*), in a file of their own: "
        "many variants of one model.",
        {"rank": int, "alpha": float, "adapt": tuple},
    ),
    "ewc": Strategy(
        "Both whole, with a price (weight=0.01) on moving what mattered on the source: tens of images near it.",
        {"weight": float, "num_images": int},
        source=True,
    ),
    "correspondence": Strategy(
        "Both whole, while images go on differing as the source's did (weight=1000): about ten images.",
        {"weight": float, "num_images": int},
    ),
    _MIXING: Strategy(
        "Both whole, with a share=0.5 of every batch from the source's data: the model is to keep what it can.",
        {"share": float},
        source=True,
    ),
}


def parse(spec: str) -> list[tuple[str, dict[str, Any]]]:
    """Reads a strategy: `"lora"`, `"lora:rank=8"`, `"freeze:generator=text,style"`, or several, `"freeze_d+ewc"`.

    Returns:
        Names with their options, in order.

    Raises:
        ValueError: if there is none of that name, or it has no such option or value.
    """
    found = []
    for part in spec.split("+"):
        name, *settings = part.split(":")
        if name not in STRATEGIES:
            raise ValueError(
                f"Unknown strategy {name!r}. Expected one of: {', '.join(STRATEGIES)}, or some joined by +."
            )
        options: dict[str, Any] = {}
        for setting in settings:
            option, _, value = setting.partition("=")
            known = STRATEGIES[name].options
            try:
                options[option] = tuple(value.split(",")) if known[option] is tuple else known[option](value)
            except (KeyError, ValueError) as error:
                expected = ", ".join(f"{option}={type_.__name__}" for option, type_ in known.items()) or "no options"
                raise ValueError(f"{setting!r} cannot be set of {name!r}. Expected: {expected}.") from error
        found.append((name, options))
    return found


def needs_source(spec: str) -> bool:
    """Whether a strategy needs the data that the model was trained on."""
    return any(STRATEGIES[name].source for name, _ in parse(spec))


def apply(spec: str, gan: TextToImageGAN, source_embeddings: np.ndarray | None = None) -> Plan:
    """Prepares a model with trained weights for a strategy; compile it with the plan's terms.

    Where several are joined, each takes away from what the ones before it leave to be trained.

    Args:
        spec: See `parse`.
        gan: The model, its text centered on the new captions.
        source_embeddings: Embeddings of the source's captions, where `needs_source`.

    Raises:
        ValueError: if a strategy cannot be used with this model.
    """
    from keras_t2i import transfer

    terms: list[Any] = []
    for name, options in parse(spec):
        if name == _MIXING:
            plan = transfer.full(gan)
        elif STRATEGIES[name].source:
            plan = getattr(transfer, name)(gan, source_embeddings, **options)
        else:
            plan = getattr(transfer, name)(gan, **options)
        terms += plan.terms
    return transfer.Plan.of(gan, spec, terms)


def mixed(spec: str, dataset: CaptionedImages, source: CaptionedImages | None) -> CaptionedImages | MixedImages:
    """The training images of a strategy: `dataset`, with source images in it where that is part of the strategy."""
    from keras_t2i import transfer

    for name, options in parse(spec):
        if name == _MIXING and source is not None:
            dataset = transfer.mix_source(dataset, source, **options)
    return dataset
