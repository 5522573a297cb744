"""Presets from the hubs that KerasNLP reads from: `hf://USER/MODEL` and `kaggle://USER/MODEL/FRAMEWORK/VARIATION`."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from keras_t2i.core.cache import cache_directory
from keras_t2i.core.files import CHECKSUMS, verify, written_atomically

__all__ = ["fetch", "is_remote"]

_NAME = re.compile(r"(hf|kaggle):/{1,2}(.*)")
"""A path has the two slashes of a name as one: `Path("hf://user/model")` is `hf:/user/model`."""
_FORMS = {"hf": "hf://USER/MODEL", "kaggle": "kaggle://USER/MODEL/FRAMEWORK/VARIATION, and perhaps /VERSION"}
_SEGMENTS = {"hf": (2,), "kaggle": (4, 5)}
_MOST_FILES = 100
_MOST_LISTED = 1 << 16


def is_remote(name: str | os.PathLike[str]) -> bool:
    """Whether a name is one that `fetch` takes."""
    return _NAME.fullmatch(os.fspath(name)) is not None


def fetch(name: str | os.PathLike[str]) -> Path:
    """Returns the local copy of a preset on a hub, fetched by the hub's own client where it is not there yet.

    The client's settings, cache, proxies and credentials are those that KerasNLP uses too. Only files in the preset's
    list of checksums are fetched, and only what matches it is kept.

    Args:
        name: `hf://USER/MODEL`, or `kaggle://USER/MODEL/FRAMEWORK/VARIATION` with or without `/VERSION`.

    Returns:
        A preset directory in the user's cache, named after the checksum of its list of checksums.

    Raises:
        ValueError: if the name has another form, if it cannot be fetched, or if it is not a preset of this package.
    """
    found = _NAME.fullmatch(os.fspath(name))
    hub, handle = found.groups() if found else ("", "")
    segments = handle.split("/")
    if not found or not all(segments) or len(segments) not in _SEGMENTS[hub]:
        raise ValueError(
            f"{os.fspath(name)!r} is not the name of a preset on a hub; expected {_FORMS.get(hub, _FORMS)}."
        )
    name = f"{hub}://{handle}"
    download = {"hf": _from_hugging_face, "kaggle": _from_kaggle}[hub]
    with open(_download(download, handle, CHECKSUMS, name), "rb") as listing:
        listed = listing.read(_MOST_LISTED)
    target = cache_directory() / "presets" / hashlib.sha256(listed).hexdigest()[:32]
    if not (target / CHECKSUMS).is_file():
        with written_atomically(target, marker=CHECKSUMS) as folder:
            for file in _files(listed, name):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                # Copied, because a client's own cache may be made of links.
                shutil.copyfile(_download(download, handle, file, name), folder / file)
            (folder / CHECKSUMS).write_bytes(listed)
            try:
                verify(folder)
            except ValueError as error:
                raise ValueError(str(error).replace(str(folder), name)) from error
    return target


def _files(listed: bytes, name: str) -> list[str]:
    """The relative paths in a list of checksums from a stranger."""
    lines = listed.decode("utf-8", "replace").splitlines()
    files = [line[66:] for line in lines]
    for line, file in zip(lines, files, strict=True):
        parts = file.split("/")
        plain = re.fullmatch(r"[0-9a-f]{64}  [\w.\-/]+", line) and not any(part.strip(".") == "" for part in parts)
        if not plain or len(files) > _MOST_FILES:
            raise ValueError(f"{name} is not a preset of this package: its {CHECKSUMS} is not one that it writes.")
    return files


def _download(download: Callable[[str, str], str], handle: str, file: str, name: str) -> Path:
    try:
        return Path(download(handle, file))
    except Exception as error:  # The clients raise whatever HTTP, the file system or their own checks raised.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{name} cannot be fetched ({file}: {lines[0][:200].rstrip('.')}). Check the name and the network "
            "connection, or pass a directory."
        ) from error


def _from_hugging_face(handle: str, file: str) -> str:
    import huggingface_hub

    return huggingface_hub.hf_hub_download(repo_id=handle, filename=file)


def _from_kaggle(handle: str, file: str) -> str:
    import kagglehub

    return kagglehub.model_download(handle, file)
