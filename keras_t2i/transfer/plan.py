"""Plan: exactly which weights a way to transfer trains, and what it adds to the generator's loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_t2i.core.keras_internals import is_created_frozen
from keras_t2i.objectives.losses import is_alone
from keras_t2i.transfer.layers import named_layers, own_weights

if TYPE_CHECKING:
    from keras_t2i.models import TextToImage
    from keras_t2i.objectives.losses import GeneratorTerm

__all__ = ["Plan", "Weight", "start_from_average"]

_TRAINED, _STATISTICS, _FROZEN = "trained", "statistics", "frozen"
_READING_FIRST = ("text", "to_text", "project_text")
"""Layers that embeddings of captions come to first."""


@dataclass(frozen=True)
class Weight:
    """One weight of a network and what training does to it.

    Args:
        network: The trained part of the model that it is in, such as `"generator"` or `"discriminator"`.
        layer: Name of its layer, see `keras_t2i.transfer.layers.named_layers`; empty for the network's own.
        name: Its name within the layer, for instance `"kernel"`.
        shape: Its shape.
        role: `"trained"` by gradients; `"statistics"` of a layer that is not frozen, which follow the batches (batch
            normalisation, spectral normalisation); or `"frozen"`.
    """

    network: str
    layer: str
    name: str
    shape: tuple[int, ...]
    role: str

    @property
    def path(self) -> str:
        return "/".join(part for part in (self.network, self.layer, self.name) if part)

    @property
    def count(self) -> int:
        """Numbers in it."""
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True)
class Plan:
    """What a way to transfer leaves to be trained, and what goes with it into `compile`.

    `gan.compile(generator_terms=plan.terms)` trains what `trained` lists. Beside it `statistics` move; nothing else
    does, in `generator` and `discriminator` as well as, for the generator's weights, in `ema_generator`.

    Args:
        name: The way, or the ways joined by `+`.
        weights: Every weight of the trained parts.
        terms: Terms of the generator's loss, for `TextToImageGAN.compile(generator_terms=...)`.
    """

    name: str
    weights: tuple[Weight, ...]
    terms: tuple[GeneratorTerm, ...] = ()

    @classmethod
    def of(cls, gan: TextToImage, name: str, terms: Sequence[GeneratorTerm] = ()) -> Plan:
        """Reads off a model what it trains as it is now.

        Raises:
            ValueError: if a network has nothing to train.
        """
        sides = {name: part.network for name, part in gan.parts().items() if part.is_trained}
        weights = [weight for side, network in sides.items() for weight in _weights(network, side)]
        # What a discriminator that nobody asks has learned may stay as it is.
        asked = [side for side in sides if side != "discriminator" or not any(map(is_alone, terms))]
        for side in asked:
            if not any(weight.network == side and weight.role == _TRAINED for weight in weights):
                raise ValueError(f"This would leave the {side} nothing to train; freeze less of it.")
        return cls(name, tuple(weights), tuple(terms))

    @property
    def trained(self) -> tuple[Weight, ...]:
        return tuple(weight for weight in self.weights if weight.role == _TRAINED)

    @property
    def statistics(self) -> tuple[Weight, ...]:
        return tuple(weight for weight in self.weights if weight.role == _STATISTICS)

    @property
    def frozen(self) -> tuple[Weight, ...]:
        return tuple(weight for weight in self.weights if weight.role == _FROZEN)

    @property
    def reads_as_before(self) -> bool:
        """Whether what reads captions first in the generator is frozen: it knows them only as they were centered."""
        first = [w for w in self.weights if w.network == "generator" and w.layer.split("/")[-1] in _READING_FIRST]
        return bool(first) and all(weight.role == _FROZEN for weight in first)

    def count(self, network: str, role: str | None = None) -> int:
        """Numbers in the weights of one network, all of them or those of one role."""
        return sum(w.count for w in self.weights if w.network == network and role in (None, w.role))

    def summary(self) -> str:
        """A table for people: of each layer of both networks, how much is trained and how much is frozen."""
        rows: list[tuple[str, str, str]] = [(self.name, _TRAINED, _FROZEN)]
        for network in dict.fromkeys(weight.network for weight in self.weights):
            ours = [weight for weight in self.weights if weight.network == network]
            rows.append((network, *self._counts(ours)))
            for layer in dict.fromkeys(weight.layer.partition("/")[0] for weight in ours):
                inside = [weight for weight in ours if weight.layer.partition("/")[0] == layer]
                rows.append((f"  {layer or 'text_mean, text_scale'}", *self._counts(inside)))
        left, middle, right = (max(len(row[column]) for row in rows) for column in range(3))
        return "\n".join(f"{a:<{left}}  {b:>{middle}}  {c:>{right}}" for a, b, c in rows)

    @staticmethod
    def _counts(weights: Sequence[Weight]) -> tuple[str, str]:
        """Statistics count as neither: no gradient reaches them."""
        trained, frozen = (sum(w.count for w in weights if w.role == role) for role in (_TRAINED, _FROZEN))
        return tuple(f"{count:,}" if count else "-" for count in (trained, frozen))  # type: ignore[return-value]


def start_from_average(gan: TextToImage) -> None:
    """Gives each part the weights of its average, which draws better; what is frozen is then equal in both."""
    parts = gan.parts()
    for part in parts.values():
        if part.average_of is not None:
            parts[part.average_of].network.set_weights(part.network.get_weights())


def _weights(network: Any, side: str) -> list[Weight]:
    found = [Weight(side, "", weight.name, tuple(weight.shape), _FROZEN) for weight in own_weights(network)]
    for name, layer in named_layers(network).items():
        for weight in own_weights(layer):
            found.append(Weight(side, name, weight.name, tuple(weight.shape), _role(layer, weight)))
    return found


def _role(layer: Any, weight: Any) -> str:
    if weight.trainable:
        return _TRAINED
    return _STATISTICS if is_created_frozen(layer, weight) and layer.trainable else _FROZEN
