"""The one small grammar of names with settings: `name:value`, `name:key=value:key=value`, and some joined by `+`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["Spec", "join", "parse", "parse_one", "split", "values"]


class Spec(NamedTuple):
    """A name and its settings, as text: those with a key, and those without."""

    name: str
    settings: dict[str, str]
    words: tuple[str, ...]


def split(text: str) -> tuple[str, str]:
    """The name before the first colon, and all that follows it, which may have colons of its own."""
    name, _, rest = text.partition(":")
    return name, rest


def join(text: str) -> list[str]:
    """The parts that are joined by `+`."""
    return text.split("+")


def parse(text: str) -> list[Spec]:
    """Reads names with settings, several joined by `+`, as in `"freeze_d+lora:rank=8"`."""
    return [parse_one(part) for part in join(text)]


def parse_one(text: str) -> Spec:
    """Reads one name with settings, whose values may have a `+` of their own."""
    name, *settings = text.split(":")
    pairs = dict(setting.split("=", 1) for setting in settings if "=" in setting)
    return Spec(name, pairs, tuple(setting for setting in settings if "=" not in setting))


def values(spec: Spec, readers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """The settings of a specification, read.

    Args:
        spec: The name with its settings.
        readers: What can be set, and what reads the text of each: `int`, `float`, `str`, or a function that raises
            `ValueError`. `tuple` reads words separated by commas, `bool` reads true and false.

    Raises:
        ValueError: if something cannot be set, or its value cannot be read.
    """
    found: dict[str, Any] = {}
    expected = ", ".join(f"{name}={_kind(reader)}" for name, reader in readers.items()) or "no options"
    for setting in (*spec.words, *(f"{name}={value}" for name, value in spec.settings.items())):
        name, _, value = setting.partition("=")
        try:
            found[name] = _read(readers[name], value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{setting!r} cannot be set of {spec.name!r}. Expected: {expected}.") from error
    return found


def _read(reader: Callable[[str], Any], value: str) -> Any:
    if reader is tuple:
        return tuple(value.split(","))
    if reader is bool:
        return {"true": True, "false": False}[value.lower()]
    return reader(value)


def _kind(reader: Callable[[str], Any]) -> str:
    return getattr(reader, "__name__", "value").lstrip("_")
