"""Small files of tensors that belong to one model: safetensors, with a digest of all that is in them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from keras_t2i.core.files import write_file
from keras_t2i.core.gate import check_weights

__all__ = ["read_tensors", "write_tensors"]


def write_tensors(path: Path, format: str, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes one safetensors file, beside and renamed into place, with `format` and a SHA-256 in its metadata.

    Raises:
        OSError: if the file cannot be written.
    """
    from safetensors.numpy import save

    metadata = {"format": format, **metadata}
    metadata["sha256"] = _digest(tensors, metadata)
    write_file(path, save(tensors, metadata))


def read_tensors(path: Path, format: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors and metadata of a file by `write_tensors`, checked whole.

    Raises:
        ValueError: if it is no such file, of another format, or damaged, or holds numbers that are not finite.
        OSError: if it cannot be read.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise ValueError(f"{path} is not a file; pass one of the format {format!r}.")
    try:
        check_weights(path, "safetensors")
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {str(error).rstrip('.')}; get a fresh copy.") from error
    with safe_open(path, framework="np") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    if metadata.get("format") != format:
        raise ValueError(f"{path} is no file of the format {format!r}: its format is {metadata.get('format')!r}.")
    if metadata.pop("sha256", None) != _digest(tensors, metadata):
        raise ValueError(f"{path} is damaged: its SHA-256 differs; get a fresh copy.")
    return tensors, metadata


def _digest(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].shape}{tensors[name].dtype}".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
