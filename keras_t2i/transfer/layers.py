"""The layers of a network by names that are the same in every process, and how a layer is frozen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import keras

from keras_t2i.core.keras_internals import own_layers

__all__ = ["blocks", "freeze_layer", "layers_matching", "named_layers", "own_weights", "top_level"]

_NUMBERED = re.compile(r".+_(\d+)$")


def named_layers(network: keras.Model) -> dict[str, keras.Layer]:
    """The layers that have weights of their own, from input to output, for instance `"block_0/conv_in"`.

    A layer of the network goes by its name, a layer within that by the attribute that holds it: Keras numbers the names
    of such layers through, differently in every process.
    """
    found: dict[str, keras.Layer] = {}
    unfolded = [getattr(network, name) for name in getattr(network, "unfolded", ())]
    for layer in network.layers:
        for each in layer.layers if any(layer is other for other in unfolded) else [layer]:
            _add(each.name, each, found)
    return found


def own_weights(layer: keras.Layer) -> list[keras.Variable]:
    """The weights that a layer has beside those of the layers within it."""
    inside = {id(weight) for child in _children(layer) for weight in child.weights}
    return [weight for weight in layer.weights if id(weight) not in inside]


def freeze_layer(layer: keras.Layer) -> None:
    """Takes a layer's own weights out of training; moving statistics stay as they are and are what it computes with."""
    if any(child.weights for child in _children(layer)):
        for weight in own_weights(layer):  # `trainable` of the layer would reach the layers within it as well.
            weight.trainable = False
    else:
        layer.trainable = False


def layers_matching(network: keras.Model, patterns: Sequence[str], side: str) -> list[str]:
    """Names in `named_layers` that a pattern means: `*` and `?` as in file names; a layer stands for all within it.

    Raises:
        ValueError: for a pattern that means none; the message lists the layers.
    """
    names = list(named_layers(network))
    found = set()
    for pattern in patterns:
        matching = [name for name in names if any(fnmatchcase(part, pattern) for part in _prefixes(name))]
        if not matching:
            raise ValueError(
                f"No layer of the {side} is called {pattern!r}. Its layers are {', '.join(top_level(network))}; "
                f"those within one are called like {max(names, key=len)!r}."
            )
        found.update(matching)
    return [name for name in names if name in found]


def top_level(network: keras.Model) -> list[str]:
    """Names of the network's layers that hold weights, in order."""
    return list(dict.fromkeys(name.partition("/")[0] for name in named_layers(network)))


def blocks(network: keras.Model) -> list[list[str]]:
    """Names of the network's blocks, from the first created to the last: those that end in a number, by this number.

    `conv_8` and `normalization_8` are one block.
    """
    found: dict[str, list[str]] = {}
    for name in top_level(network):
        if match := _NUMBERED.match(name):
            found.setdefault(match[1], []).append(name)
    return list(found.values())


def _add(name: str, layer: keras.Layer, found: dict[str, keras.Layer]) -> None:
    if own_weights(layer):
        found[name] = layer
    for child_name, child in _named_children(layer):
        _add(f"{name}/{child_name}", child, found)


def _children(layer: keras.Layer) -> list[keras.Layer]:
    return own_layers(layer, recursive=False)


def _named_children(layer: keras.Layer) -> list[tuple[str, keras.Layer]]:
    attributes: dict[int, str] = {}
    for name, value in vars(layer).items():
        if isinstance(value, keras.Layer):
            attributes.setdefault(id(value), name)
        elif isinstance(value, list | tuple) and name not in ("_layers", "_operations"):
            attributes.update({id(item): f"{name}_{number}" for number, item in enumerate(value)})
    return [(attributes.get(id(child), child.name), child) for child in _children(layer)]


def _prefixes(name: str) -> list[str]:
    parts: list[Any] = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
