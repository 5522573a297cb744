"""Ways to transfer, chosen by name: what the strategy of a run means.

Nothing heavy is imported before a strategy is used, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_t2i.core import specs
from keras_t2i.core.tables import Table, load
from keras_t2i.networks.image_inputs import IMAGE_INPUTS

if TYPE_CHECKING:
    import numpy as np

    from keras_t2i.data import CaptionedImages
    from keras_t2i.models import TextToImage, TextToImageGAN
    from keras_t2i.transfer.mixing import MixedImages
    from keras_t2i.transfer.plan import Plan

__all__ = ["STRATEGIES", "Strategy", "apply", "enlarged", "image_size", "is_frozen", "mixed", "needs_source", "parse"]


@dataclass(frozen=True)
class Strategy:
    """A way to transfer.

    Args:
        apply: A function of a model with trained weights, not yet compiled, and options, that freezes or adds weights
            and returns a `keras_t2i.transfer.Plan`; or where to find it, as `"package.module:name"`. With `source`, the
            embeddings of the source's captions come second.
        label: What tables and charts call it.
        description: What it trains and when to choose it, in a line; the command line shows it.
        reference: Where it comes from.
        options: What can be set of it, with what reads the text of each; a `tuple` is written with commas.
        source: Whether it needs the captions of the data that the model was trained on.
        mix: What it makes of the new images and the source's, with the options; or where to find it. It needs the
            source's data. `None` where it trains on the new ones alone.
        enlarges: The size that images have afterwards, from the one before and the options; `None` where it stays.
        adversarial: Whether it is about what a discriminator does, or the generator against it.
        frozen: Whether the generator stays as it is, within a larger one. Captions then stay centered as they were, not
            on the new data.
        captions: Whether it needs captions of the new data: their embeddings come as `captions`.
        keeps: What is kept beside the preset in the end: a function of the model and the run's directory that returns
            the file it has written, or where to find it.
    """

    apply: Callable[..., Plan] | str
    label: str
    description: str
    reference: str
    options: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)
    source: bool = False
    mix: Callable[..., MixedImages] | str | None = None
    enlarges: Callable[..., int] | None = None
    keeps: Callable[..., Any] | str | None = None
    adversarial: bool = False
    frozen: bool = False
    captions: bool = False


def _ways(module: str) -> str:
    return f"keras_t2i.transfer.{module}"


def enlarged(size: int, image_size: int | None = None, **_: Any) -> int:
    """The size of images by `upscale`, from that before it and the one that is asked for, twice by default.

    Raises:
        ValueError: if it is not 2 or 4 times the one before.
    """
    image_size = image_size or 2 * size
    if image_size not in (2 * size, 4 * size):
        raise ValueError(f"`upscale` makes images 2 or 4 times as large: of {size} pixels not {image_size}.")
    return image_size


FEATURES = "mobilenet_v2"
"""What stands for image features that are no file."""


def _features(name: str) -> str:
    """What image features are called: a name, or a file."""
    return name


def _guide(image_input: str, gan: TextToImageGAN, **options: Any) -> Plan:
    from keras_t2i.transfer.guiding import guide

    return guide(gan, image_input, **options)


STRATEGIES: Table[Strategy] = Table(
    "strategy",
    {
        "full": Strategy(
            _ways("freezing:full"),
            "Fine-tuned whole",
            "Both networks whole: learns most, and overfits first.",
            "Wang et al. 2018, arXiv:1805.01677",
        ),
        "freeze": Strategy(
            _ways("freezing:freeze"),
            "Layers frozen",
            "All but some layers: early_blocks=2 or late_blocks=1 of the generator, all but its last trained_blocks=2, "
            "or by name, generator=text,block_0 and discriminator=stem.",
            "Zhao et al. 2020, arXiv:2002.11810",
            {
                "generator": tuple,
                "discriminator": tuple,
                "early_blocks": int,
                "late_blocks": int,
                "trained_blocks": int,
            },
        ),
        "freeze_d": Strategy(
            _ways("freezing:freeze_d"),
            "FreezeD",
            "The generator whole, the discriminator's last blocks (trained_blocks=2) and heads: hundreds of images.",
            "Mo et al. 2020, arXiv:2002.10964",
            {"trained_blocks": int},
            adversarial=True,
        ),
        "modulation": Strategy(
            _ways("freezing:modulation"),
            "Modulation only",
            "Of the generator, what reads the caption and what scales and shifts channels: other colors and styles of "
            "known forms. compact and df_gan.",
            "Noguchi and Harada 2019, arXiv:1904.01774",
        ),
        "biases": Strategy(
            _ways("freezing:biases"),
            "Biases only",
            "Of the generator, biases and the scales of normalisation: few weights, in every layer.",
            "Ben Zaken et al. 2021, arXiv:2106.10199",
        ),
        "lora": Strategy(
            _ways("adapters:lora"),
            "LoRA",
            "Of the generator, small factors beside its kernels (rank=4, alpha, adapt=block_*), in a file of their "
            "own: many variants of one model.",
            "Hu et al. 2021, arXiv:2106.09685",
            {"rank": int, "alpha": float, "adapt": tuple},
            keeps=_ways("adapters:keep_adapters"),
        ),
        "ewc": Strategy(
            _ways("consolidation:ewc"),
            "Elastic weight consolidation",
            "Both whole, with a price (weight=0.01) on moving what mattered on the source: tens of images near it.",
            "Li et al. 2020, arXiv:2012.02780",
            {"weight": float, "num_images": int},
            source=True,
            adversarial=True,
        ),
        "correspondence": Strategy(
            _ways("cross_domain:correspondence"),
            "Cross-domain correspondence",
            "Both whole, while images go on differing as the source's did (weight=1000): about ten images.",
            "Ojha et al. 2021, arXiv:2104.06820",
            {"weight": float, "num_images": int},
            adversarial=True,
        ),
        "mixing": Strategy(
            _ways("mixing:mixing"),
            "Source mixed in",
            "Both whole, with a share=0.5 of every batch from the source's data: the model is to keep what it can.",
            "keras_t2i",
            {"share": float},
            mix=_ways("mixing:mix_source"),
        ),
        "upscale": Strategy(
            _ways("upscaling:upscale"),
            "Second stage",
            "A second stage behind the generator, on the same images: twice the size (image_size=128; width=32, "
            "depth=4), forms and captions as before.",
            "Zhang et al. 2017, arXiv:1612.03242",
            {"image_size": int, "width": int, "depth": int},
            enlarges=enlarged,
            adversarial=True,
            frozen=True,
        ),
        "translate": Strategy(
            _ways("translating:translate"),
            "Translated drawings",
            "A network behind the generator learns from tens of pictures how they differ from what it draws of their "
            "captions, which are such as it knows: a look that it never had (width=16, depth=3, pixels=30).",
            "Isola et al. 2017, arXiv:1611.07004",
            {"width": int, "depth": int, "pixels": float},
            adversarial=True,
            frozen=True,
        ),
        "style": Strategy(
            _ways("styling:style"),
            "Style of a picture",
            "A network behind the generator draws what it drew in the style of a picture, image=FILE: captions are all "
            "that is used of the data (features=FILE of MobileNetV2, size of the picture in pixels, weight=5, "
            "colors=8 for those of captions).",
            "Johnson et al. 2016, arXiv:1603.08155",
            {
                "image": Path,
                "features": _features,
                "size": int,
                "weight": float,
                "colors": float,
                "width": int,
                "depth": int,
            },
            adversarial=True,
            frozen=True,
            captions=True,
        ),
        **{
            name: Strategy(
                partial(_guide, name),
                name.capitalize(),
                f"A branch beside the generator that reads an image (width=12). {given.description}",
                "Zhang et al. 2023, arXiv:2302.05543",
                {"width": int},
                adversarial=True,
                frozen=True,
            )
            for name, given in IMAGE_INPUTS.items()
        },
    },
    aliases={"finetuned": "full", "mix_source": "mixing"},
)
"""Every way to transfer, by name."""


def parse(spec: str) -> list[tuple[str, dict[str, Any]]]:
    """Reads a strategy: `"lora"`, `"lora:rank=8"`, `"freeze:generator=text,style"`, or several, `"freeze_d+ewc"`.

    Returns:
        Names with their options, in order.

    Raises:
        ValueError: if there is none of that name, or it has no such option or value.
    """
    return [
        (STRATEGIES.canonical(part.name), specs.values(part, STRATEGIES[part.name].options))
        for part in specs.parse(spec)
    ]


def needs_source(spec: str) -> bool:
    """Whether a strategy needs the data that the model was trained on."""
    return any(STRATEGIES[name].source or STRATEGIES[name].mix is not None for name, _ in parse(spec))


def image_size(spec: str, before: int) -> int:
    """The size that images have by a strategy, in pixels, from the one that the model draws before.

    Raises:
        ValueError: if a strategy does not lead there.
    """
    for name, options in parse(spec):
        if (enlarges := STRATEGIES[name].enlarges) is not None:
            before = enlarges(before, **options)
    return before


def is_frozen(spec: str) -> bool:
    """Whether the generator that a strategy starts from stays as it is, captions centered as it was trained on them."""
    return any(STRATEGIES[name].frozen for name, _ in parse(spec))


def located(spec: str, shorten: Callable[[str], str] = os.path.abspath) -> str:
    """A strategy whose files are named so that they are found from every working directory.

    Args:
        spec: See `parse`.
        shorten: What is made of the paths instead: `os.path.basename` for a text that is shared.
    """
    parts = []
    for part in specs.parse(spec):
        readers = STRATEGIES[part.name].options
        of_files = {name for name in part.settings if readers.get(name) in (Path, _features)}
        named = {
            name: shorten(value) if name in of_files and value != FEATURES else value
            for name, value in part.settings.items()
        }
        parts.append(":".join([part.name, *part.words, *(f"{name}={value}" for name, value in named.items())]))
    return "+".join(parts)


def apply(
    spec: str,
    gan: TextToImage,
    source_embeddings: np.ndarray | None = None,
    embeddings: np.ndarray | None = None,
) -> Plan:
    """Prepares a model with trained weights for a strategy; compile it with the plan's terms.

    Where several are joined, each takes away from what the ones before it leave to be trained.

    Args:
        spec: See `parse`.
        gan: The model, its text centered on the new captions.
        source_embeddings: Embeddings of the source's captions, where `needs_source`.
        embeddings: Embeddings of the new captions, for strategies that look at them.

    Raises:
        ValueError: if a strategy cannot be used with this model.
    """
    from keras_t2i.transfer.plan import Plan

    terms: list[Any] = []
    for name, options in parse(spec):
        strategy = STRATEGIES[name]
        if strategy.adversarial and "discriminator" not in gan.parts():
            having = [each for each, other in STRATEGIES.items() if not other.adversarial]
            raise ValueError(
                f"{name} needs a discriminator, and this model has none. Ways for it: {', '.join(having)}."
            )
        source = [source_embeddings] if strategy.source else []
        captions = {"captions": embeddings} if strategy.captions else {}
        given = {} if strategy.mix is not None else {**captions, **options}
        terms += _function(strategy.apply)(gan, *source, **given).terms
    return Plan.of(gan, spec, terms)


def mixed(spec: str, dataset: CaptionedImages, source: CaptionedImages | None) -> CaptionedImages:
    """The training images of a strategy: `dataset`, with source images in it where that is part of the strategy."""
    for name, options in parse(spec):
        if (mix := STRATEGIES[name].mix) is not None and source is not None:
            dataset = _function(mix)(dataset, source, **options)
    return dataset


def kept(spec: str, gan: TextToImage, run_dir: Any) -> dict[str, str]:
    """Writes what a strategy keeps beside the preset; returns where, by what it is."""
    found: dict[str, str] = {}
    for name, _ in parse(spec):
        if (keep := STRATEGIES[name].keeps) is not None:
            found |= _function(keep)(gan, run_dir)
    return found


def _function(reference: Callable[..., Any] | str) -> Callable[..., Any]:
    return load(reference) if isinstance(reference, str) else reference
