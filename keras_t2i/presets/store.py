"""The parts of a preset, written whole, and what may be built of them."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

from keras_t2i import networks
from keras_t2i.core.files import CHECKSUMS, check_room, write_checksums, written_atomically
from keras_t2i.core.gate import Stored, check_classes
from keras_t2i.networks.families import FAMILIES
from keras_t2i.presets.card import model_card
from keras_t2i.presets.half import halve_weights
from keras_t2i.presets.names import CONFIG

__all__ = ["network_class", "stored", "weights_file", "write"]

_CARD = "README.md"
_HDF5_BYTES = 2048
"""What HDF5 needs for an array beside its numbers."""


def write(
    directory: str | os.PathLike[str],
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    dtype: str | None = None,
    further: Callable[[Path], None] | None = None,
    page: str | None = None,
) -> None:
    """Writes a preset: configuration, weights, a model card and a checksum of each file.

    Args:
        directory: Where to; an older preset there is replaced at once, in the end.
        config: What JSON can hold; its `card` is what a reader should know.
        weights: What has a `save_weights`, by the name of its part.
        dtype: `"float16"` for half the size; the loaded model computes in float32 all the same. By default the
            weights are kept as they are, to the bit.
        further: Called with the directory before it takes its place, to put more into it.
        page: What people read of it, in Markdown; by default what `model_card` says of a generator.

    Raises:
        ValueError: if other files are in the way, or the weights do not fit the `dtype`.
        OSError: if it cannot be written.
    """
    if dtype not in (None, "float16"):
        raise ValueError(
            f"Presets hold weights as they are, or in float16; got dtype {dtype!r}. Pass 'float16' or None."
        )
    with written_atomically(directory, marker=CHECKSUMS) as folder:
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for name, part in weights.items():
            file = weights_file(folder, name)
            numbers = part.count_params() * (4 if dtype is None else 6)  # Halved beside the whole ones.
            check_room(folder, numbers + _HDF5_BYTES * (len(part.weights) + 32))
            part.save_weights(file)
            if dtype is not None:
                halve_weights(file)
        page = page or model_card(Path(os.path.abspath(directory)).name, config)
        (folder / _CARD).write_text(page, encoding="utf-8")
        if further is not None:
            further(folder)
        write_checksums(folder)


def weights_file(directory: Path, part: str) -> Path:
    """Where the weights of a part are."""
    return directory / f"{part}.weights.h5"


def stored(directory: Path, shared: Iterable[str] = ()) -> Stored:
    """What the files of weights in a preset hold, looked through as `keras_t2i.core.gate.check_weights` does.

    Args:
        directory: The preset.
        shared: Parts whose weights another has too: they count twice.

    Raises:
        ValueError: if one holds anything but finite numbers, or declares more than it stores; it is named.
    """
    again = [weights_file(directory, part) for part in shared]
    return Stored.of([*sorted(directory.glob(weights_file(Path(), "*").name)), *again])


def network_class(config: Any, base: type[keras.Model]) -> type[Any]:
    """The class of a serialised network: one registered in Keras, whose configuration holds plain values alone.

    Raises:
        ValueError: if it is another.
    """
    list(FAMILIES.values())  # Imports every network there is a name for, and so registers it.
    importlib.import_module("keras_t2i.networks.stable_diffusion")
    getattr(networks, str(config["class_name"]), None)  # Likewise, where the package offers it.
    name = str(config["registered_name"])
    found = keras.saving.get_registered_object(name)
    if not (isinstance(found, type) and issubclass(found, base) and found.__name__ == config["class_name"]):
        raise ValueError(
            f"{config['class_name']!r} is not a {base.__name__.lower()} that is known here: import the module that "
            "registers it first."
        )
    settings = dict(config["config"])
    for nested in getattr(found, "nested", ()):
        network_class(settings.pop(nested), base)
    check_classes(settings, allowed=())
    return found
