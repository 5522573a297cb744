"""The methods that a comparison can choose from: each a set of options of `train`, with what the field calls it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args, get_type_hints

from keras_t2i.core import specs
from keras_t2i.core.tables import Table
from keras_t2i.networks.families import FAMILIES
from keras_t2i.runs.config import RunConfig, options_of
from keras_t2i.runs.option import TAUGHT_RECONSTRUCTION
from keras_t2i.transfer.strategies import STRATEGIES

__all__ = ["METHODS", "Method", "file_name", "method", "method_names"]


@dataclass(frozen=True)
class Method:
    """A way to train a generator.

    Args:
        label: What tables and charts call it.
        description: One or two sentences: what is particular about it.
        reference: Where it comes from.
        options: Fields of `keras_t2i.runs.RunConfig` that it sets.
        first: What is trained first, with the same budget: `"source"`, the same networks, which it starts from, on a
            built-in domain that the comparison is not about (shapes, or faces where it is about shapes); or
            `"teacher"`, a flow on the same images, from which it learns. `None` for nothing.
    """

    label: str
    description: str
    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)
    first: Literal["source", "teacher"] | None = None


METHODS: Table[Method] = Table(
    "method",
    {
        "dcgan_finetuned": Method(
            "DCGAN, fine-tuned",
            "The same DCGAN, pretrained for as many minutes on another domain and fine-tuned whole on this one.",
            "Wang et al. 2018, arXiv:1805.01677",
            {"family": "dcgan"},
            first="source",
        ),
        "distilled": Method(
            "Compact, distilled",
            "Compact, taught by a flow that was trained as long on the same images: it learns what the flow draws, "
            "noise by noise.",
            "Kang et al. 2024, arXiv:2405.05967",
            {"reconstruction": TAUGHT_RECONSTRUCTION, "num_drawn": 5000},
            first="teacher",
        ),
        "content_style": Method(
            "DCGAN with content and style losses",
            "DCGAN whose generator is also drawn towards the real image of its caption in frozen image features: "
            "content by feature maps, style by Gram matrices.",
            "Johnson et al. 2016, arXiv:1603.08155",
            {"family": "dcgan", "content_features": "mobilenet_v2"},
        ),
        "text_from_scratch": Method(
            "Compact, text from scratch",
            "Compact, but the networks learn to read token ids themselves: no pretrained text encoder.",
            "keras_t2i",
            {"text_encoder": "from_scratch"},
        ),
        "relativistic": Method(
            "Compact, relativistic",
            "Compact with relativistic pairing, R1 and R2, as R3GAN has it.",
            "Huang et al. 2024, arXiv:2501.05441",
            {"loss": "relativistic", "penalty": "r1+r2"},
        ),
        "augmented": Method(
            "Compact, augmented",
            "Compact with differentiable augmentation of all that the discriminator sees.",
            "Zhao et al. 2020, arXiv:2006.10738",
            {"augment": True},
        ),
        "freeze_early": Method(
            "Early blocks frozen",
            "Starts from a trained model; of the generator, the blocks up to 16 pixels stay as they are.",
            "Zhao et al. 2020, arXiv:2002.11810",
            {"strategy": "freeze:early_blocks=2"},
        ),
    },
    aliases={"wasserstein": "wgan_gp"},
)
"""Methods that are more than the name of a family or of a strategy: each of those is a method too, see `method`."""


def method_names() -> Iterator[str]:
    """All names that `method` knows: families, the methods made of them, and, with a trained model, strategies."""
    yield from FAMILIES
    yield from METHODS
    yield from (name for name in STRATEGIES if name not in ("freeze", *FAMILIES, *METHODS))


def method(name: str) -> Method:
    """Returns the method of that name, or a variant of it: `"compact:loss=hinge:text_encoder=bert_tiny_en_uncased"`.

    A family is a method, and so is a strategy, which starts from a trained model.

    Raises:
        ValueError: if there is none, or it has no such option.
    """
    spec = specs.parse_one(name)
    known = _known(spec.name)
    if not (spec.settings or spec.words):
        return known
    options = specs.values(spec, _readers())
    for option, value in options.items():
        least = options_of()[option][1].limits[0]
        if least is not None and value < least:
            raise ValueError(f"{value!r} is no {option} for {spec.name!r}: it must be at least {least:g}.")
    changes = [f"{option.replace('_', ' ')}={value}" for option, value in spec.settings.items()]
    return replace(known, label=f"{known.label}, {', '.join(changes)}", options={**known.options, **options})


def _known(name: str) -> Method:
    if name in METHODS and METHODS.canonical(name) == name:
        return METHODS[name]
    if (family := METHODS.canonical(name)) in FAMILIES:
        found = FAMILIES[family]
        return Method(found.label, found.description, found.reference, {"family": family})
    if name in STRATEGIES:
        strategy = STRATEGIES[name]
        what = f"Starts from a trained model. {strategy.description}"
        return Method(strategy.label, what, strategy.reference, {"strategy": STRATEGIES.canonical(name)})
    raise ValueError(f"Unknown method {name!r}. Expected some of: {', '.join(method_names())}.")


def _readers() -> dict[str, Any]:
    """Options that a variant may change, and what reads the value of each."""
    types = get_type_hints(RunConfig)
    varying = [name for name, (_, option) in options_of().items() if option.varies]
    return {name: next(kind for kind in (get_args(types[name]) or (types[name],))) for name in varying}


def file_name(name: str) -> str:
    """The name of a method as part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in name)
