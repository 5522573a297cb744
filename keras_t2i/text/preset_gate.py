"""KerasNLP presets of anybody: what they name and what they hold is checked before KerasNLP opens them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_t2i.core.gate import Stored, check_classes, check_lengths, file_size, read_json
from keras_t2i.core.keras_internals import KERAS_HUB_CLASSES, safe_mode
from keras_t2i.core.limits import built_within

__all__ = ["check_directory", "opened"]

_CLASSES = ("keras_hub>", "keras_nlp>")
_PATHS = ("vocabulary", "merges", "proto")
"""Settings of tokenizers which they would take for the path of a file, anywhere on this machine."""
_SIZED = ("config.json", "task.json")
_MOST_WORDS_BYTES = 64 << 20
_FETCHED = ("*.json", "*.txt", "*.model", "*.weights.h5", "*.safetensors", "assets/*")


@contextlib.contextmanager
def opened(source: str) -> Iterator[str]:
    """Yields where KerasNLP's `from_preset` may read a preset, for as long as the block lasts.

    A directory was looked through, and what is built of it cannot be larger than it; one from a hub is fetched first.
    What KerasNLP publishes under a name of its own is read as KerasNLP does.

    Args:
        source: A directory, a preset's name in KerasNLP, `hf://USER/MODEL` or `kaggle://...`.

    Raises:
        ValueError: if it names anything but classes of KerasNLP, or holds anything but what they are made of.
    """
    directory = _fetched(source)
    if directory is None:
        with safe_mode():
            yield source
    else:
        with built_within(check_directory(directory)):
            yield os.path.abspath(directory)


def check_directory(directory: Path) -> Stored:
    """Looks through a directory in KerasNLP's or Hugging Face's layout, and returns what its weights are.

    Raises:
        ValueError: if a file in it is not what KerasNLP, or Hugging Face, would have written.
    """
    import keras_nlp  # noqa: F401  # Registers the classes that a preset may name.

    configs = {path.name: read_json(path) for path in sorted(directory.glob("*.json"))}
    for name, config in configs.items():
        check_classes(config, _CLASSES, KERAS_HUB_CLASSES)
        _check_files(config, name)
    for path in [*directory.glob("*.txt"), *directory.glob("*.model"), *directory.glob("assets/**/*")]:
        if not path.is_dir() and file_size(path) > _MOST_WORDS_BYTES:
            raise ValueError(f"{path.name} has more than {_MOST_WORDS_BYTES >> 20} MiB.")
    stored = Stored.of(sorted([*directory.glob("*.weights.h5"), *directory.glob("*.safetensors")]))
    for name in _SIZED:
        check_lengths(configs.get(name), stored)
    return stored


def _check_files(config: Any, name: str) -> None:
    """Refuses what names files elsewhere than in the preset."""
    if isinstance(config, dict):
        settings = config.get("config")
        if "class_name" in config and isinstance(settings, dict):
            paths = [key for key in _PATHS if isinstance(settings.get(key), str)]
            if paths or not _is_plain(settings.get("config_file", "")):
                raise ValueError(f"{name} names files outside of the preset ({(*paths, 'config_file')[0]}).")
        shards = config.get("weight_map")
        for each in shards.values() if isinstance(shards, dict) else ():
            if not all(_is_plain(file) for file in (each if isinstance(each, list) else [each])):
                raise ValueError(f"{name} names files outside of the preset (weight_map).")
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        _check_files(value, name)


def _is_plain(name: Any) -> bool:
    return isinstance(name, str) and name not in (".", "..") and not set(name) & set("/\\:\0")


def _fetched(source: str) -> Path | None:
    """The directory that `source` means; `None` where it is a name that KerasNLP knows, or nobody."""
    scheme, found, handle = source.partition("://")
    if not found:
        return Path(source) if Path(source).is_dir() else None
    if scheme == "hf":
        import huggingface_hub

        return Path(huggingface_hub.snapshot_download(handle, allow_patterns=list(_FETCHED)))
    if scheme == "kaggle":
        import kagglehub

        return Path(kagglehub.model_download(handle))
    raise ValueError(f"presets come from hf:// and kaggle://, not from {scheme}://")
