"""The methods that a comparison can choose from: each a set of options of `train`, with what the field calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["METHODS", "Method", "file_name", "method"]


def _is_true(value: str) -> bool:
    return value.lower() == "true"


def _count(value: str) -> int:
    if (number := int(value)) < 1:
        raise ValueError("it must be at least 1")
    return number


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "family": str,
    "loss": str,
    "penalty": str,
    "text_encoder": str,
    "augment": _is_true,
    "batch_size": _count,
    "mixed_precision": _is_true,
}
"""Options of a run that a variant of a method may change, with what reads the value of each."""


@dataclass(frozen=True)
class Method:
    """A way to train a generator.

    Args:
        label: What tables and charts call it.
        description: One or two sentences: what is particular about it.
        reference: Where it comes from.
        options: Fields of `keras_t2i.config.RunConfig` that it sets.
        pretrained: Whether its networks are trained first, with the same budget, on a built-in domain that the
            comparison is not about: shapes, or faces where the comparison is about shapes.
    """

    label: str
    description: str
    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False


METHODS: dict[str, Method] = {
    "compact": Method(
        "Compact (ours)",
        "Modulated residual generator, projection discriminator, contrastive term over the batch; frozen pretrained "
        "text encoder.",
        "keras_t2i",
    ),
    "mlp": Method(
        "MLP GAN",
        "Caption and noise into fully connected layers: the floor that convolutions are measured against.",
        "Mirza and Osindero 2014, arXiv:1411.1784",
        {"family": "mlp"},
    ),
    "dcgan": Method(
        "DCGAN",
        "Convolutions with batch normalization, the caption joined once, and a matching-aware discriminator.",
        "Reed et al. 2016, arXiv:1605.05396",
        {"family": "dcgan"},
    ),
    "dcgan_finetuned": Method(
        "DCGAN, fine-tuned",
        "The same DCGAN, pretrained for as many minutes on another domain and fine-tuned whole on this one.",
        "Wang et al. 2018, arXiv:1805.01677",
        {"family": "dcgan"},
        pretrained=True,
    ),
    "wasserstein": Method(
        "Wasserstein GAN",
        "The same networks without normalization in the critic, Wasserstein loss with gradient penalty, one step of "
        "the critic for each of the generator.",
        "Gulrajani et al. 2017, arXiv:1704.00028",
        {"family": "wgan_gp"},
    ),
    "self_attention": Method(
        "Self-attention GAN",
        "DCGAN networks with a self-attention block and spectral normalization, hinge loss.",
        "Zhang et al. 2019, arXiv:1805.08318",
        {"family": "self_attention"},
    ),
    "content_style": Method(
        "DCGAN with content and style losses",
        "DCGAN whose generator is also drawn towards the real image of its caption in frozen image features: "
        "content by feature maps, style by Gram matrices.",
        "Johnson et al. 2016, arXiv:1603.08155",
        {"family": "dcgan", "content_features": "mobilenet_v2"},
    ),
    "df_gan": Method(
        "DF-GAN",
        "Deep text-image fusion blocks, hinge loss with matching-aware gradient penalty.",
        "Tao et al. 2022, arXiv:2008.05865",
        {"family": "df_gan"},
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
    "finetuned": Method(
        "Fine-tuned whole",
        "Starts from a trained model; both networks are trained whole.",
        "Wang et al. 2018, arXiv:1805.01677",
        {"strategy": "full"},
    ),
    "freeze_early": Method(
        "Early blocks frozen",
        "Starts from a trained model; of the generator, the blocks up to 16 pixels stay as they are.",
        "Zhao et al. 2020, arXiv:2002.11810",
        {"strategy": "freeze:early_blocks=2"},
    ),
    "freeze_d": Method(
        "FreezeD",
        "Starts from a trained model; of the discriminator, the last blocks and the heads alone are trained.",
        "Mo et al. 2020, arXiv:2002.10964",
        {"strategy": "freeze_d"},
    ),
    "modulation": Method(
        "Modulation only",
        "Starts from a trained model; of the generator, what reads the caption and what scales and shifts channels is "
        "trained.",
        "Noguchi and Harada 2019, arXiv:1904.01774",
        {"strategy": "modulation"},
    ),
    "lora": Method(
        "LoRA",
        "Starts from a trained model; small factors beside the generator's kernels are trained.",
        "Hu et al. 2021, arXiv:2106.09685",
        {"strategy": "lora"},
    ),
    "ewc": Method(
        "Elastic weight consolidation",
        "Starts from a trained model; moving what mattered on the source has a price.",
        "Li et al. 2020, arXiv:2012.02780",
        {"strategy": "ewc"},
    ),
    "correspondence": Method(
        "Cross-domain correspondence",
        "Starts from a trained model; images go on differing from each other as the source's did.",
        "Ojha et al. 2021, arXiv:2104.06820",
        {"strategy": "correspondence"},
    ),
    "mix_source": Method(
        "Source mixed in",
        "Starts from a trained model; half of every batch is what that was trained on.",
        "keras_t2i",
        {"strategy": "mixing"},
    ),
    "augmented": Method(
        "Compact, augmented",
        "Compact with differentiable augmentation of all that the discriminator sees.",
        "Zhao et al. 2020, arXiv:2006.10738",
        {"augment": True},
    ),
}


def method(name: str) -> Method:
    """Returns the method of that name, or a variant of it: `"compact:loss=hinge:text_encoder=bert_tiny_en_uncased"`.

    Raises:
        ValueError: if there is none, or it has no such option.
    """
    base, *changes = name.split(":")
    if base not in METHODS:
        raise ValueError(f"Unknown method {base!r}. Expected some of: {', '.join(METHODS)}.")
    if not changes:
        return METHODS[base]
    options: dict[str, Any] = {}
    for change in changes:
        option, _, value = change.partition("=")
        if option not in _OPTIONS or not value:
            raise ValueError(
                f"{change!r} changes nothing of {base!r}. Expected option=value of: {', '.join(_OPTIONS)}."
            )
        try:
            options[option] = _OPTIONS[option](value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no {option} for {base!r}: {error}.") from error
    known = METHODS[base]
    label = f"{known.label}, {', '.join(change.replace('_', ' ') for change in changes)}"
    return replace(known, label=label, options={**known.options, **options})


def file_name(name: str) -> str:
    """The name of a method as part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in name)
