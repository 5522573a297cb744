"""Tables of names: what a word on the command line, in a configuration or in `compile` stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module, metadata
from typing import Any, Generic, TypeVar

__all__ = ["Table", "load", "load_plugins"]

T = TypeVar("T")

PLUGINS = "keras_t2i"
"""Group of entry points: packages that name a module there have it imported before any command looks a name up."""


class Table(MutableMapping[str, T], Generic[T]):
    """The names of one kind of thing. An entry is the thing, or says where it is: `"package.module:name"`.

    What an entry points to is imported when it is first looked up, so that names can be listed at once. To add one of
    your own, assign to its name; the commands, comparisons and reports then know it too:

    >>> keras_t2i.objectives.LOSSES["mine"] = MyLoss

    Args:
        kind: What the names are names of, in the singular, for messages.
        entries: Names and things.
        aliases: Other names that are understood, and which each stands for; they are not listed.
    """

    def __init__(self, kind: str, entries: Mapping[str, T | str], aliases: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, Any] = dict(entries)
        self._aliases = dict(aliases or {})

    def canonical(self, name: str) -> str:
        """The name that an alias stands for; any other name is returned as it is."""
        return self._aliases.get(name, name)

    def __getitem__(self, name: str) -> T:
        """What a name stands for.

        Raises:
            ValueError: if there is none of that name; the message lists those that there are.
        """
        name = self.canonical(name)
        if name not in self._entries:
            raise UnknownNameError(f"Unknown {self.kind} {name!r}. Expected one of: {', '.join(self._entries)}.")
        entry = self._entries[name]
        if isinstance(entry, str):
            entry = self._entries[name] = load(entry)
        return entry

    def __setitem__(self, name: str, entry: T | str) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.canonical(name) in self._entries


class UnknownNameError(ValueError, KeyError):
    """A name that is not in a table. As a `KeyError`, so that `get` of a mapping works."""

    def __str__(self) -> str:
        return str(self.args[0])


def load(reference: str) -> Any:
    """What a reference such as `"package.module:name"` points to."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


def load_plugins() -> None:
    """Imports the modules that installed packages have entered under `keras_t2i`: they add to tables as they load.

    Raises:
        ImportError: if one of them cannot be imported; the message names it.
    """
    for plugin in metadata.entry_points(group=PLUGINS):
        try:
            plugin.load()
        except Exception as error:  # Whatever a stranger's module raises, its name is what helps.
            raise ImportError(f"The plugin {plugin.value!r} cannot be loaded: {error}") from error
