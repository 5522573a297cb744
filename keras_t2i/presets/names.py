"""Where the name of a preset leads, and what one says of itself, without building it."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any

from keras_t2i.core.files import CHECKSUMS, bytes_below, verify
from keras_t2i.core.gate import read_json
from keras_t2i.presets import hub
from keras_t2i.presets.card import quality_of

__all__ = [
    "CONFIG",
    "FORMAT",
    "SHARING",
    "describe",
    "is_name",
    "packaged_presets",
    "read_config",
    "resolve",
    "verified",
]

CONFIG = "config.json"
RUN_PRESET = "preset"
"""The folder of a run that holds its model."""
FORMAT = "keras_t2i preset 3"
SHARING = "keras_t2i preset 4"
"""The format of a preset in which a part has the weights of another, so that they are there once."""
_FORMATS = (SHARING, FORMAT, "keras_t2i preset 2", "keras_t2i preset 1")  # Less in them, read by the same rules.


def packaged_presets() -> dict[str, Path]:
    """Names and directories of the trained models inside the package."""
    folders = Path(str(resources.files("keras_t2i.presets"))).iterdir()
    return {folder.name: folder for folder in sorted(folders) if (folder / CHECKSUMS).is_file()}


def is_name(name: str | os.PathLike[str]) -> bool:
    """Whether a name means the same preset from every working directory: a packaged one, or one on a hub."""
    return str(name) in packaged_presets() or hub.is_remote(name)


def resolve(name: str | os.PathLike[str]) -> Path:
    """Returns the preset directory that `name` means. It is the one place where this is decided.

    A packaged name means what is in the package, whatever the working directory holds: write `./NAME` for a folder.

    Args:
        name: A packaged name; a preset directory, or the directory of a training run, which holds one as `preset`; or
            a name on a hub, as KerasNLP has them, which is fetched: `hf://USER/MODEL` or
            `kaggle://USER/MODEL/FRAMEWORK/VARIATION`.

    Raises:
        ValueError: if it means none, or cannot be fetched.
    """
    packaged = packaged_presets()
    if str(name) in packaged:
        return packaged[str(name)]
    if hub.is_remote(name):
        return hub.fetch(name)
    path = Path(name).expanduser()
    for directory in (path, path / RUN_PRESET):
        if (directory / CHECKSUMS).is_file():
            return directory
    known = f", or a packaged name ({', '.join(packaged)})" if packaged else ""
    state = "has no preset in it" if path.is_dir() else "is not a directory"
    raise ValueError(f"{str(name)!r} {state}; pass a preset directory or a training run that has saved one{known}.")


def describe(name: str | os.PathLike[str]) -> dict[str, Any]:
    """What a preset says of itself, without building it.

    Args:
        name: See `resolve`.

    Returns:
        `image_size` in pixels, `bytes` on the disk, and, where its card has them, `description`, `quality` (what was
        measured first, in a line) and `license`; else `None`.

    Raises:
        ValueError: if it is not a preset.
    """
    directory = resolve(name)
    config = read_config(directory)
    card = config.get("card", {})
    try:
        image_size = int(config["generator"]["config"]["image_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{CONFIG} of {directory} does not say what size its images have.") from error
    return {
        "description": card.get("description"),
        "image_size": image_size,
        "bytes": bytes_below(directory),
        "quality": next((f"{label}: {value}" for label, value in quality_of(card).items()), None),
        "license": card.get("license"),
    }


def verified(name: str | os.PathLike[str]) -> Path:
    """The directory of a preset, every file of which has matched its checksum.

    Raises:
        ValueError: if it means none, or is damaged.
    """
    directory = resolve(name)
    verify(directory)
    return directory


def read_config(directory: Path) -> dict[str, Any]:
    """The configuration of a preset.

    Raises:
        ValueError: if it is not one, or of another release.
    """
    config = read_json(directory / CONFIG)
    if not isinstance(config, dict) or config.get("format") not in _FORMATS:
        raise ValueError(f"{CONFIG} does not say {FORMAT!r}; it comes from another program or another release.")
    if not isinstance(config.get("card", {}), dict):
        raise ValueError(f"The card in {CONFIG} is a {type(config['card']).__name__}; a card holds values by name.")
    return config
