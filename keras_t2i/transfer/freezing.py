"""Ways that train a part of the networks as they are: all of it, by name, by depth, FreezeD, the modulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_t2i.transfer.layers import blocks, freeze_layer, layers_matching, named_layers, own_weights, top_level
from keras_t2i.transfer.plan import Plan, start_from_average

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN

__all__ = ["biases", "freeze", "freeze_d", "full", "modulation"]

_BIASES = ("bias", "beta", "gamma", "scale")
"""Weights that a layer adds to features, or multiplies them by, one by one."""

_MODULATION = ("modulation_in", "modulation_out", "affines_in_0", "affines_in_1", "affines_out_0", "affines_out_1")
"""Attributes of blocks that scale and shift channels."""


def full(gan: TextToImageGAN) -> Plan:
    """Trains both networks whole: the most that can be learned, and the soonest overfit.

    Reference:
        Transferring GANs: generating images from limited data (Wang et al., 2018), arXiv:1805.01677.

    Args:
        gan: A model with trained weights, before `compile`.
    """
    start_from_average(gan)
    return Plan.of(gan, "full")


def freeze(
    gan: TextToImageGAN,
    generator: Sequence[str] = (),
    discriminator: Sequence[str] = (),
    early_blocks: int = 0,
    late_blocks: int = 0,
    trained_blocks: int = 0,
) -> Plan:
    """Freezes layers of the networks by name, and the generator's first or last blocks by number.

    Early blocks decide what is where, late ones colors and texture: freeze the early ones where the new images have the
    same layout, the late ones where they look alike in detail. Layers that read the caption are trained in any case,
    unless they are named.

    A frozen layer of batch normalisation computes with its moving statistics, which stay as they are.

    Reference:
        On Leveraging Pretrained GANs for Generation with Limited Data (Zhao et al., 2020), arXiv:2002.11810.

    Args:
        gan: A model with trained weights, before `compile`.
        generator: Names of layers, as `Plan.weights` has them: `"block_0"` for all of a block, `"block_*/shortcut"`.
        discriminator: Likewise.
        early_blocks: So many of the generator's first blocks are frozen, and the layer that feeds them.
        late_blocks: So many of its last blocks are frozen, and the layers that turn them into an image.
        trained_blocks: So many of its last blocks, and the layers that turn them into an image, are all that is left to
            be trained of it: what reads the caption is frozen too.

    Raises:
        ValueError: if nothing is named, a name is no layer's, there are fewer blocks, or nothing is left to train.
    """
    if not (generator or discriminator or early_blocks or late_blocks or trained_blocks):
        raise ValueError(
            "Nothing to freeze: pass `generator`, `discriminator`, `early_blocks`, `late_blocks` or `trained_blocks`. "
            f"The generator's layers are {', '.join(top_level(gan.generator))}."
        )
    by_depth = [*_early(gan, early_blocks), *_late(gan, late_blocks), *_but_last(gan, trained_blocks)]
    chosen = {"generator": [*generator, *by_depth], "discriminator": list(discriminator)}
    names = {side: _named(gan, side, patterns) for side, patterns in chosen.items() if patterns}
    start_from_average(gan)
    for side, matching in names.items():
        layers = named_layers(getattr(gan, side))
        for name in matching:
            freeze_layer(layers[name])
    return Plan.of(gan, "freeze")


def freeze_d(gan: TextToImageGAN, trained_blocks: int = 2) -> Plan:
    """Freezes what the discriminator sees first: edges, colors and textures are the same in most images.

    The generator is trained whole, and so are the discriminator's last blocks, its heads and what reads the caption.

    Reference:
        Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs (Mo et al., 2020), arXiv:2002.10964. As there,
        the blocks from 16 pixels down are trained by default.

    Args:
        gan: A model with trained weights, before `compile`.
        trained_blocks: So many of the discriminator's last blocks are trained; 0 for its heads alone.

    Raises:
        ValueError: if it has fewer blocks, or none that are numbered.
    """
    network = gan.discriminator
    found = _numbered(network, "discriminator", trained_blocks, "trained_blocks")
    lower = {name for block in found[: len(found) - trained_blocks] for name in block}
    lower |= set(_before(network, found[0][0]))
    layers = named_layers(network)
    start_from_average(gan)
    for name in layers_matching(network, sorted(lower), "discriminator"):
        freeze_layer(layers[name])
    return Plan.of(gan, "freeze_d")


def modulation(gan: TextToImageGAN) -> Plan:
    """Trains of the generator only what reads the caption and what scales and shifts channels; no convolution.

    The discriminator is trained whole, as in the comparison of the paper on FreezeD (arXiv:2002.10964).

    Reference:
        Image Generation From Small Datasets via Batch Statistics Adaptation (Noguchi and Harada, 2019),
        arXiv:1904.01774. Differs: it is adversarial, and the scales and shifts are those of the modulation.

    Args:
        gan: A model with trained weights, before `compile`.

    Raises:
        ValueError: if its generator has no modulation: choose `compact` or `df_gan`, or another way.
    """
    layers = named_layers(gan.generator)
    modulating = {name for name in layers if set(name.split("/")) & set(_MODULATION)}
    if not modulating:
        raise ValueError(
            f"{type(gan.generator).__name__} has no modulation to train; CompactGenerator and DFGANGenerator have. "
            "Choose another way, for instance `freeze`."
        )
    start_from_average(gan)
    for name, layer in layers.items():
        if name not in modulating and name.partition("/")[0] not in gan.generator.reading_text:
            freeze_layer(layer)
    return Plan.of(gan, "modulation")


def biases(gan: TextToImageGAN) -> Plan:
    """Trains of the generator only biases, and what scales and shifts features where they are normalised.

    Few of the weights, in every layer: of Stable Diffusion about one in a thousand. A discriminator is trained whole.

    Reference:
        BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models (Ben Zaken et al.,
        2021), arXiv:2106.10199.

    Args:
        gan: A model with trained weights, before `compile`.

    Raises:
        ValueError: if its generator has none.
    """
    start_from_average(gan)
    for layer in named_layers(gan.generator).values():
        for weight in own_weights(layer):
            if weight.name not in _BIASES:
                weight.trainable = False
    return Plan.of(gan, "biases")


def _named(gan: TextToImageGAN, side: str, patterns: Sequence[str]) -> list[str]:
    """The layers of one of a model's networks that are meant."""
    parts = gan.parts()
    if side not in parts:
        raise ValueError(f"{type(gan).__name__} has no {side} to freeze layers of: name those of its generator.")
    return layers_matching(parts[side].network, patterns, side)


def _early(gan: TextToImageGAN, number: int) -> list[str]:
    if number == 0:
        return []
    found = _generator_blocks(gan, number, "early_blocks")
    return [*_before(gan.generator, found[0][0]), *(name for block in found[:number] for name in block)]


def _late(gan: TextToImageGAN, number: int) -> list[str]:
    if number == 0:
        return []
    found = _generator_blocks(gan, number, "late_blocks")
    names = top_level(gan.generator)
    last = max(names.index(name) for block in found for name in block)
    return [
        *(name for block in found[len(found) - number :] for name in block),
        *(name for name in names[last + 1 :] if name != "attention"),
    ]


def _but_last(gan: TextToImageGAN, number: int) -> list[str]:
    """All layers in front of the last blocks."""
    if number == 0:
        return []
    found = _generator_blocks(gan, number, "trained_blocks")
    names = top_level(gan.generator)
    trained = {name for block in found[len(found) - number :] for name in block}
    return names[: min(names.index(name) for name in trained)]


def _generator_blocks(gan: TextToImageGAN, number: int, argument: str) -> list[list[str]]:
    """A generator's blocks, whose numbers rise from input to output."""
    found = _numbered(gan.generator, "generator", number, argument)
    return sorted(found, key=lambda block: int(block[0].rpartition("_")[2]))


def _numbered(network: object, side: str, number: int, argument: str) -> list[list[str]]:
    found = blocks(network)
    if not found:
        raise ValueError(
            f"{type(network).__name__} has no numbered blocks; name layers instead: freeze(gan, {side}=[...])."
        )
    if not 0 <= number <= len(found):
        raise ValueError(f"`{argument}` must be from 0 to {len(found)}, the {side}'s blocks; got {number}.")
    return found


def _before(network: Any, block: str) -> list[str]:
    """The layers on the way to the first block that do not read the caption."""
    names = top_level(network)
    numbered = {name for group in blocks(network) for name in group}
    return [n for n in names[: names.index(block)] if n not in numbered and n not in network.reading_text]
