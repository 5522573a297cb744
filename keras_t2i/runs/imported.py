"""Stable Diffusion 3 of KerasHub as a preset of this package, made once: a run can then begin with it as with any."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from keras_t2i.core.cache import cache_directory
from keras_t2i.core.files import CHECKSUMS
from keras_t2i.models.stable_diffusion import is_stable_diffusion_3, stable_diffusion_3

__all__ = ["imported", "taken_apart"]

_DTYPES = ("float32", "bfloat16", "mixed_bfloat16", "float16", "mixed_float16")
_AGAIN = "remat"


def imported(source: str) -> str:
    """The preset that a model of KerasHub has become, in the user's cache; anything else is returned as it is.

    Args:
        source: A name or a directory as `keras_t2i.models.stable_diffusion_3` takes it; with a number behind it, as in
            `stable_diffusion_3.5_medium:512`, for images of that size instead of its own; with what its weights are
            kept in, as in `stable_diffusion_3.5_medium:512:bfloat16`; and `:remat` for blocks that are computed again.

    Raises:
        ValueError: if it cannot be loaded, or not make images of that size.
        OSError: if it cannot be written.
    """
    name, settings = taken_apart(source)
    if not is_stable_diffusion_3(name):
        return source
    directory = cache_directory() / "imported" / _key(name, str(settings))
    if not (directory / CHECKSUMS).is_file():
        print(f"Reading {name}, once, into {directory}.", file=sys.stderr, flush=True)
        directory.parent.mkdir(parents=True, exist_ok=True)
        about = {"family": "stable_diffusion_3", "start_from": Path(name).name}
        stable_diffusion_3(name, **settings).save_to_preset(directory, card=about)
    return str(directory)


def taken_apart(source: str) -> tuple[str, dict[str, Any]]:
    """The name in a source as `imported` takes it, and the arguments of `stable_diffusion_3` that are behind it."""
    name, *words = source.split(":")
    settings: dict[str, Any] = {}
    for word in words:
        if word.isdecimal():
            settings["image_size"] = int(word)
        elif word in _DTYPES:
            settings["dtype"] = word
        elif word == _AGAIN:
            settings["rematerialized"] = True
        else:
            return source, {}  # A place on a hub, or a path with colons.
    return name, settings


def _key(name: str, settings: str) -> str:
    """A name that changes with the files of a directory."""
    facts = [name, settings]
    for path in sorted(Path(name).rglob("*")) if os.path.isdir(name) else ():
        found = path.stat()
        facts += [str(path), str(found.st_size), str(found.st_mtime_ns)]
    return f"{Path(name).name}-{hashlib.sha256(chr(0).join(facts).encode()).hexdigest()[:16]}"
