"""The version that is live, and what it takes for another to be in its place."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from keras_t2i.serve.protocol import DEFAULT_SIGNATURE, Column, Signature
from keras_t2i.serve.settings import Settings

__all__ = ["Live", "Servable", "Source", "Stopped", "Watch", "tried"]


class Servable(Protocol):
    """What is served: `keras_t2i.serve.model.Model`, or a stand-in."""

    signatures: dict[str, Signature]

    def metadata(self) -> dict[str, Any]: ...
    def run(self, signature: str, columns: dict[str, Column]) -> dict[str, np.ndarray]: ...
    def warm_up(self, max_batch_size: int) -> Iterator[None]: ...


class Source(Protocol):
    """Where other versions come from: `keras_t2i.serve.versions.Versions`."""

    def find(self, live: int) -> tuple[int, Callable[[], Servable]] | None: ...


@dataclasses.dataclass(frozen=True)
class Live:
    """The version that answers what comes from now on; requests that wait keep the one that they came to."""

    version: int
    model: Servable


class Stopped(Exception):  # noqa: N818  # No error: nobody needs the model any more.
    """The server was told to stop while a model was tried."""


def tried(load: Callable[[], Servable], settings: Settings, stopping: Callable[[], bool]) -> Servable:
    """A model that has answered at every size of batch.

    Raises:
        Stopped: if `stopping` says so meanwhile.
    """
    model = load()
    for _ in model.warm_up(settings.max_batch_size):
        if stopping():
            raise Stopped
    return model


class Watch:
    """Looks for the version that is to be live, and frees those that are no longer needed.

    Models hold themselves in circles, which stay in memory until they are looked for. That is done when a version was
    refused, and at each look after a change until the last request to the one that went is answered: so that no more
    than two are in memory when the next one comes.

    Args:
        source: Of other versions.
        settings: The limits.
        announce: Told which version took the place of which, or was refused and why.
        stopping: Whether nobody needs another version any more.
    """

    def __init__(
        self, source: Source, settings: Settings, announce: Callable[[str], None], stopping: Callable[[], bool]
    ) -> None:
        self._source, self._settings, self._announce, self._stopping = source, settings, announce, stopping
        self._former: weakref.ref[Servable] | None = None

    def look(self, live: Live) -> Live:
        """The version that is to be live: another, if there is one and it is sound."""
        if self._former is not None:
            is_last_time = self._former() is None  # Asked before, as it may go meanwhile.
            gc.collect()
            self._former = None if is_last_time else self._former
        if (found := self._source.find(live.version)) is None:
            return live
        version, load = found
        try:
            model = _alike(live, tried(load, self._settings, self._stopping))
        except Stopped:
            return live
        except Exception as error:
            told = next(iter(str(error).splitlines()), type(error).__name__)
            self._announce(f"Version {version} is refused, version {live.version} stays: {told}")
        else:
            self._announce(f"Version {version} is served from now on, in the place of version {live.version}.")
            self._former = weakref.ref(live.model)
            return Live(version, model)
        gc.collect()
        return live


def _alike(live: Live, model: Servable) -> Servable:
    """The model; raises `ValueError` where it would refuse requests that the live version answers."""
    told, found = (each.signatures.get(DEFAULT_SIGNATURE) for each in (live.model, model))
    if told is not None and (found is None or (found.inputs, set(found.outputs)) != (told.inputs, set(told.outputs))):
        raise ValueError(
            f"It has no {DEFAULT_SIGNATURE} with the inputs and outputs of the live one. Serve it under another name."
        )
    return model
