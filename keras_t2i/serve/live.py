"""The version that is live, and what it takes for another to be in its place."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from keras_t2i.serve.protocol import DEFAULT_SIGNATURE, Column, Signature
from keras_t2i.serve.settings import Settings

__all__ = ["Live", "Servable", "Source", "Stopped", "replaced", "tried"]


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


def replaced(
    live: Live,
    source: Source,
    settings: Settings,
    announce: Callable[[str], None],
    stopping: Callable[[], bool],
) -> Live:
    """The version that is to be live: another, if there is one and it is sound."""
    if (found := source.find(live.version)) is None:
        return live
    version, load = found
    try:
        model = tried(load, settings, stopping)
        _check_alike(model, live)
    except Stopped:
        return live
    except Exception as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        announce(f"Version {version} is refused, version {live.version} stays: {told}")
        return live
    finally:
        gc.collect()  # Models hold themselves in circles: those that went, and those that were refused.
    announce(f"Version {version} is served from now on, in the place of version {live.version}.")
    return Live(version, model)


def _check_alike(model: Servable, live: Live) -> None:
    """Raises `ValueError` where requests that the live version answers would be refused."""
    told, found = (each.signatures.get(DEFAULT_SIGNATURE) for each in (live.model, model))
    if told is not None and (found is None or (found.inputs, set(found.outputs)) != (told.inputs, set(told.outputs))):
        raise ValueError(
            f"It has no {DEFAULT_SIGNATURE} with the inputs and outputs of the live one. Serve it under another name."
        )
