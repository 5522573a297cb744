"""What a training step of Stable Diffusion takes of a device's memory, counted before anything is allocated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keras_t2i.core.keras_internals import unallocated
from keras_t2i.models import DiffusionTextToImage
from keras_t2i.networks.stable_diffusion import StableDiffusion3Generator
from keras_t2i.transfer import strategies

__all__ = ["DEVICES", "Memory", "memory_of", "shapes_of"]

DEVICES = (16, 24, 40)
"""Gigabytes of the graphics cards that are asked about."""

_FEATURES, _SCORES, _SCORES_AT_ONCE = 25.5, 2.0, 1.25
"""Numbers that a block keeps for its gradient, by token and channel, and by pair of tokens and head; and those of the
second kind that the gradient needs beside them. Measured: see `examples/results/stable_diffusion.md`."""
_ENDS = 4
"""Numbers by place and channel before the first block and behind the last."""
_CAPTION_AT_LAST = 0.15
"""Share of them that the last block keeps of a caption's tokens, which nobody reads after it."""
_SLOTS = 2
"""Of Adam, for each weight that is trained."""
_FREE = 0.9
"""Share of a card's memory that a program gets."""
_BLOCK = re.compile(r"joint_block_(\d+)")


@dataclass(frozen=True)
class Memory:
    """Bytes that a training step takes.

    Args:
        weights: Of all networks, the frozen ones and the autoencoder among them, as they are kept.
        gradients: Of the weights that are trained.
        slots: Of the optimizer, Adam.
        activations: What is kept of the way forward for the way back, and what is needed beside it.
    """

    weights: int
    gradients: int
    slots: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.slots + self.activations

    @property
    def fits(self) -> tuple[int, ...]:
        """Those of `DEVICES` that it fits into."""
        return tuple(size for size in DEVICES if self.total <= _FREE * size * 1e9)


def memory_of(generator: StableDiffusion3Generator, batch_size: int) -> Memory:
    """What a step takes with the weights that are trainable now, on codes and rows that were computed ahead of time.

    Weights, gradients and slots are exact. Activations follow a formula that agrees within a fifth with what XLA takes
    for small networks in float32; TensorFlow without XLA takes more.

    Args:
        generator: The network, which may be built of shapes alone: see `shapes_of`.
        batch_size: Images in a step.
    """
    trained = _bytes(generator.trainable_weights)
    return Memory(
        weights=_bytes(generator.weights),
        gradients=trained,
        slots=_SLOTS * trained,
        activations=_activations(generator, batch_size),
    )


def shapes_of(config: Mapping[str, Any], strategy: str, **changes: Any) -> StableDiffusion3Generator:
    """A network of which nothing is there but the shapes of its weights, those trainable that a strategy trains.

    Args:
        config: What `StableDiffusion3Generator` is built from, as in the `config.json` of a preset.
        strategy: See `keras_t2i.transfer.strategies.parse`.
        **changes: Settings that are to be others, for instance `image_size`, `dtype` or `rematerialized`.

    Raises:
        ValueError: if the strategy cannot be used with it, or it cannot make images of that size.
    """
    with unallocated():
        generator = StableDiffusion3Generator.from_config({**config, **changes})
    strategies.apply(strategy, DiffusionTextToImage(None, generator, generator.row_length))
    return generator


def _bytes(weights: Iterable[Any]) -> int:
    found = 0
    for weight in weights:
        count = 1
        for length in weight.shape:
            count *= length
        found += count * (2 if weight.dtype in ("bfloat16", "float16") else 4)
    return found


def _activations(generator: StableDiffusion3Generator, batch_size: int) -> int:
    diffuser, side = generator.diffuser, generator.noise_shape[0]
    places, words = (side // diffuser.patch_size) ** 2, 2 * generator.text_length
    tokens = places + words
    features, scores = tokens * diffuser.hidden_dim, diffuser.num_heads * tokens**2
    first = _first_trained(generator)
    kept, numbers = 0.0, float(_ENDS * places * diffuser.hidden_dim)
    for number in range(first, diffuser.num_layers):
        dual = number in diffuser.dual_attention_indices
        share = 1.0 + (places / tokens) * 0.3 * dual
        if number == diffuser.num_layers - 1:
            share -= (1.0 - _CAPTION_AT_LAST) * words / tokens
        pairs = diffuser.num_heads * (tokens**2 + places**2 * dual)
        block = _FEATURES * share * features + _SCORES * pairs
        # What is computed again is kept for one block at a time, and of the others what goes into them.
        kept = max(kept, block) if generator.rematerialized else kept + block
        numbers += features if generator.rematerialized else 0.0
    width = 2 if generator.compute_dtype in ("bfloat16", "float16") else 4
    return int(batch_size * width * (numbers + kept + _SCORES_AT_ONCE * scores))


def _first_trained(generator: StableDiffusion3Generator) -> int:
    """The first block that a gradient goes through."""
    trained = {id(weight) for weight in generator.trainable_weights}
    found = generator.diffuser.num_layers
    for layer in generator.diffuser.layers:
        if any(id(weight) in trained for weight in layer.weights) and not layer.name.startswith("output"):
            block = _BLOCK.fullmatch(layer.name)
            found = min(found, int(block[1]) if block else 0)
    return found
