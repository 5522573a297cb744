"""Checkpoints: everything that the next training step depends on, in files that a kill or a full disk cannot spoil."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_t2i.core.files import sha256, sync_directory, write_file
from keras_t2i.core.gate import check_finite, file_size, read_arrays, read_json
from keras_t2i.models import Stylizer, TextToImage
from keras_t2i.training.model_state import model_state, owners

__all__ = ["Checkpoints", "TrainingState"]

_ARRAYS, _MANIFEST = "arrays.npz", "manifest.json"
_FORMAT = 1
_HEADERS = 4096
"""Bytes that a name and a header may take beside the numbers of an array."""
_log = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """How far a run has come.

    Args:
        step: Training steps done.
        epoch: Epochs completed.
        seconds: Time spent in training, over all processes that worked on the run.
    """

    step: int = 0
    epoch: int = 0
    seconds: float = 0.0


class _DamagedError(Exception):
    """A checkpoint whose bytes are not those that were written."""


class Checkpoints:
    """The checkpoints of one run: a directory with the newest few.

    A checkpoint is a directory `checkpoint-000017` with `arrays.npz` (plain numpy arrays, no pickles) and
    `manifest.json` (counters, what was saved, names, shapes, SHA-256). It holds generator, discriminator, averaged
    generator, both optimizers with every slot, the running means of the epoch's logs, and all random state: of the
    latents, of layers such as dropout, and of whatever penalties, loss and augmentation hold as attributes (state in a
    function's closure cannot be found). Of the frozen text encoder it holds the fingerprint alone.

    It is written beside its final place, flushed to the disk and renamed, so a name `checkpoint-*` is always whole; an
    older one is removed only after that. Only one process may use a directory at a time.

    Args:
        directory: Where the checkpoints are; made when the first is saved.
        keep: How many of the newest to keep, at least 1.

    Raises:
        ValueError: if `keep` is below 1.
    """

    def __init__(self, directory: str | os.PathLike[str], keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"`keep` must be at least 1; got {keep}.")
        self.directory = Path(directory)
        self.keep = keep
        self._damaged: set[Path] = set()

    def paths(self) -> list[Path]:
        """The checkpoints that are there, oldest first, without those found damaged."""
        found = {path for path in self.directory.glob("checkpoint-*") if path.name[11:].isdigit()}
        return sorted(found - self._damaged, key=_number)

    def save(self, gan: TextToImage | Stylizer, state: TrainingState) -> Path:
        """Writes a checkpoint and removes those that are no longer among the newest.

        Args:
            gan: A compiled `TextToImageGAN`.
            state: The counters to keep with it.

        Returns:
            The directory of the new checkpoint.

        Raises:
            OSError: if it cannot be written, in one line; earlier checkpoints are then untouched.
            ValueError: if the model has not been compiled.
        """
        arrays = {name: variable.numpy() for name, variable in model_state(gan).items()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        content = buffer.getvalue()  # The buffer's own bytes, not a copy.
        manifest = _signed(_manifest(gan, state, arrays, hashlib.sha256(content).hexdigest()))
        taken = [_number(path) for path in [*self.paths(), *self._damaged]]
        target = self.directory / f"checkpoint-{max(taken, default=0) + 1:06d}"
        temporary = self.directory / f".tmp-{target.name}"
        try:
            self._remove_leftovers()
            temporary.mkdir(parents=True)
            write_file(temporary / _ARRAYS, content)
            write_file(temporary / _MANIFEST, manifest)
            sync_directory(temporary)
            temporary.rename(target)
            sync_directory(self.directory)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            reason = error.strerror or error
            raise OSError(
                f"Could not save a checkpoint in {self.directory} ({reason}); the earlier ones are untouched."
            ) from error
        for path in [*self._damaged, *self.paths()[: -self.keep]]:
            _discard(path)
        self._damaged.clear()
        return target

    def restore(self, gan: TextToImage | Stylizer) -> TrainingState | None:
        """Puts the newest good checkpoint back into the model.

        Nothing is assigned before everything has been checked. A damaged checkpoint is passed over with a warning.

        Returns:
            The counters saved with it, or `None` where there is no checkpoint.

        Raises:
            ValueError: if the checkpoint was made by another model or with another text encoder, or if all are damaged.
        """
        variables = model_state(gan)
        self._remove_leftovers()
        paths = self.paths()
        for path in reversed(paths):
            try:
                manifest = _read_manifest(path)
                _check_fits(path, gan, manifest, variables)
                arrays = _read_arrays(path, manifest, gan)
            except (_DamagedError, OSError) as error:
                self._damaged.add(path)
                _log.warning("The checkpoint %s is damaged (%s); falling back to the one before.", path, error)
                continue
            for name, variable in variables.items():
                variable.assign(arrays[name])
            return TrainingState(**manifest["state"])
        if paths:
            raise ValueError(
                f"None of the {len(paths)} checkpoints in {self.directory} can be read; "
                "remove that directory to start anew."
            )
        return None

    def _remove_leftovers(self) -> None:
        """Removes what a kill in the middle of a save has left."""
        for path in self.directory.glob(".tmp-*"):
            shutil.rmtree(path, ignore_errors=True)


def _number(path: Path) -> int:
    return int(path.name.removeprefix("checkpoint-"))


def _fingerprint(gan: TextToImage | Stylizer) -> str | None:
    return None if gan.text_encoder is None else gan.text_encoder.fingerprint


def _manifest(
    gan: TextToImage | Stylizer, state: TrainingState, arrays: dict[str, np.ndarray], digest: str
) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "state": asdict(state),
        "parts": {name: type(owner).__name__ for name, owner in owners(gan).items()},
        "text_encoder": _fingerprint(gan),
        "arrays": {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in arrays.items()},
        "arrays_sha256": digest,
    }


def _signed(manifest: dict[str, Any]) -> str:
    """The manifest as JSON with a hash of itself, so that a flipped bit in a counter is noticed as well."""
    body = json.dumps(manifest, sort_keys=True)
    return json.dumps({**manifest, "manifest_sha256": hashlib.sha256(body.encode()).hexdigest()}, indent=1)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = read_json(path / _MANIFEST)
        signature = manifest.pop("manifest_sha256", None)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _DamagedError(f"{_MANIFEST} is not readable") from error
    if signature != hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest():
        raise _DamagedError(f"the SHA-256 of {_MANIFEST} differs")
    if manifest.get("format") != _FORMAT:
        told = manifest.get("format")
        raise ValueError(f"{path} has format {told}; this version of keras_t2i reads format {_FORMAT}.")
    return manifest


def _read_arrays(path: Path, manifest: dict[str, Any], gan: TextToImage | Stylizer) -> dict[str, np.ndarray]:
    """The arrays that a manifest describes, which fits the model: nothing larger is read."""
    file, described = path / _ARRAYS, manifest["arrays"]
    try:
        most = sum(math.prod(each["shape"]) * np.dtype(each["dtype"]).itemsize for each in described.values())
        if file_size(file) > most + _HEADERS * (1 + len(described)):
            raise _DamagedError(f"{_ARRAYS} is larger than {_MANIFEST} says")
        if manifest["arrays_sha256"] != sha256(file):
            raise _DamagedError(f"the SHA-256 of {_ARRAYS} differs")
        arrays = read_arrays(file)
        if {name: _described(array) for name, array in arrays.items()} != _told(described):
            raise _DamagedError(f"{_ARRAYS} holds other arrays than {_MANIFEST} says")
        for name, array in arrays.items():
            if name.partition("/")[0] in gan.parts():
                check_finite(array, name)
    except ValueError as error:
        raise _DamagedError(f"{_ARRAYS} is not readable: {error}") from error
    return arrays


def _check_fits(
    path: Path, gan: TextToImage | Stylizer, manifest: dict[str, Any], variables: dict[str, keras.Variable]
) -> None:
    """Raises `ValueError`, in one line, unless the checkpoint is one of this very model."""
    try:
        parts, encoder, arrays = manifest["parts"], manifest["text_encoder"], _told(manifest["arrays"])
        counters = asdict(TrainingState(**manifest["state"])).values()
        texts = (*parts.values(), encoder or "", manifest["arrays_sha256"])
        if not all(isinstance(each, str) for each in texts) or not all(type(each) in (int, float) for each in counters):
            raise TypeError
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _DamagedError(f"{_MANIFEST} does not say what one says") from error
    advice = "continue with the settings of that run, or start in another directory."
    present = owners(gan)
    for part, saved in parts.items():
        current = type(present[part]).__name__ if part in present else "nothing"
        if saved != current:
            raise ValueError(f"{path} was saved with {part} {saved}, but this model has {current}; {advice}")
    this_encoder = _fingerprint(gan)
    if encoder is not None and this_encoder is not None and encoder != this_encoder:
        raise ValueError(
            f"{path} needs another text encoder (fingerprint {encoder[:12]}, not {this_encoder[:12]}); {advice}"
        )
    for name in sorted(arrays.keys() | variables.keys()):
        saved = arrays.get(name, "nothing")
        current = _described(variables[name]) if name in variables else "nothing"
        if saved != current:
            raise ValueError(f"{path} does not fit this model: {name} is {saved} there and {current} here; {advice}")


def _told(arrays: dict[str, Any]) -> dict[str, str]:
    """What a manifest says of arrays, as `_described` says it."""
    return {name: f"{np.dtype(each['dtype']).name}{tuple(each['shape'])}" for name, each in arrays.items()}


def _described(array: np.ndarray | keras.Variable) -> str:
    return f"{keras.backend.standardize_dtype(array.dtype)}{tuple(array.shape)}"


def _discard(path: Path) -> None:
    """Removes a checkpoint; renamed first, so that half of one never bears a checkpoint's name."""
    doomed = path.with_name(f".tmp-{path.name}")
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
