"""The gate: files from strangers, opened only after what they declare was compared with what they hold.

Whoever writes a file can make its checksums right too. So no configuration is read without bounds, no array before its
size was found in the file's header, and nothing is built of either that is larger than what was stored.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from keras_t2i.core.errors import reason

__all__ = [
    "PACKED",
    "Stored",
    "check_classes",
    "check_finite",
    "check_lengths",
    "check_weights",
    "file_size",
    "read_arrays",
    "read_json",
]

_MOST_JSON_BYTES = 24 << 20
_MOST_JSON_VALUES = 1 << 20
_MOST_JSON_DEPTH = 64
_MOST_HEADER_BYTES = 8 << 20
_MOST_OBJECTS = 100_000
_SPARE_LENGTH = 1 << 16
PACKED = 8
"""Times that an archive of weights can become smaller."""
_PIECE = 1 << 22
"""Numbers that are looked at together."""


class Stored(NamedTuple):
    """What files of weights hold.

    Args:
        bytes: Bytes of all arrays.
        arrays: How many there are.
    """

    bytes: int = 0
    arrays: int = 0

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Stored:
        """What these files hold together, each checked by `check_weights`."""
        found = [check_weights(path) for path in paths]
        return cls(sum(each.bytes for each in found), sum(each.arrays for each in found))


def file_size(path: Path) -> int:
    """Bytes of a regular file, or of the one that a link leads to.

    Raises:
        ValueError: if it is a pipe, a device or a directory, which could be read from for ever.
        OSError: if there is none.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path.name} is not a regular file.")
    return found.st_size


def read_json(path: Path) -> Any:
    """What is in a JSON file of at most 24 MiB, a million values and 64 levels.

    Raises:
        ValueError: if it cannot be read, says something twice, or holds numbers that are not finite; in one line.
    """
    try:
        if file_size(path) > _MOST_JSON_BYTES:
            raise ValueError(f"{path.name} has more than {_MOST_JSON_BYTES >> 20} MiB.")
        content = path.read_bytes()
        if sum(content.count(mark) for mark in (b",", b"[", b"{")) > _MOST_JSON_VALUES:
            raise ValueError(f"{path.name} holds more than {_MOST_JSON_VALUES} values.")
        found = json.loads(
            content.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
        )
        _check_depth(found)
    except _RefusedError as error:
        raise ValueError(f"{path.name} {error}.") from error
    except RecursionError as error:
        raise ValueError(f"{path.name} has more than {_MOST_JSON_DEPTH} levels.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} cannot be read as JSON.") from error
    except ValueError as error:
        if str(error).startswith(path.name):
            raise
        raise ValueError(f"{path.name} cannot be read as JSON.") from error  # Python refuses numbers of 5000 digits.
    return found


class _RefusedError(ValueError):
    """What is wrong with a file, to be said after its name."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("says the same thing twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise _RefusedError(f"holds {name}, which is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _RefusedError(f"holds {text[:20]}, which is not a number")
    return number


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        if depth > _MOST_JSON_DEPTH:
            raise _RefusedError(f"has more than {_MOST_JSON_DEPTH} levels")
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]


def check_classes(config: Any, allowed: tuple[str, ...], known: Collection[tuple[str, str]] = ()) -> None:
    """Refuses serialised objects other than dtype policies, classes registered under `allowed` and those in `known`.

    Keras would import what a configuration names, and tells functions, lambdas and tensors by `class_name` alone.

    Args:
        config: Any part of a configuration.
        allowed: What registered names begin with.
        known: Further classes, by module and name.

    Raises:
        ValueError: if there is one.
    """
    import keras

    values = config if isinstance(config, list) else []
    if isinstance(config, dict):
        values = list(config.values())
        if "class_name" in config and ("config" in config or isinstance(config["class_name"], str)):
            name = str(config.get("registered_name"))
            found = keras.saving.get_registered_object(name) if name.startswith(allowed) else None
            registered = isinstance(found, type) and found.__name__ == config["class_name"]
            if not registered and (config.get("module"), config["class_name"]) not in {
                *known,
                ("keras", "DTypePolicy"),
            }:
                raise ValueError(f"the class {config['class_name']!r} in it is not one that a preset may hold.")
    for value in values:
        check_classes(value, allowed, known)


def check_lengths(config: Any, stored: Stored) -> None:
    """Refuses numbers in a configuration that no length can be: each costs a weight, of two bytes at least.

    Raises:
        ValueError: if there is one.
    """
    most = stored.bytes // 2 + _SPARE_LENGTH
    if isinstance(config, int) and abs(config) > most:
        raise ValueError(
            f"it asks for {str(config)[:20]} of something, and only {stored.bytes} bytes are stored for it."
        )
    if isinstance(config, dict):
        config = [value for key, value in config.items() if key != "seed"]
    for value in config if isinstance(config, list) else ():
        check_lengths(value, stored)


def check_weights(path: Path, kind: str | None = None) -> Stored:
    """Looks through a file of weights: whole arrays of finite numbers and nothing else.

    Sizes are compared with the file's before any array is read, and arrays are read in pieces.

    Args:
        path: The file.
        kind: `"hdf5"` or `"safetensors"`; by default what its name ends with says which.

    Raises:
        ValueError: if it holds anything else, or declares more than it stores; in one line that names it.
    """
    try:
        is_hdf5 = path.suffix != ".safetensors" if kind is None else kind == "hdf5"
        return _hdf5(path) if is_hdf5 else _safetensors(path)
    except _RefusedError as error:
        raise ValueError(f"{path.name} {error}.") from error
    except ValueError as error:
        if str(error).startswith(path.name):
            raise
        raise ValueError(f"{path.name} is damaged, or no file of weights.") from error
    except (OSError, RuntimeError, KeyError, TypeError, OverflowError) as error:  # Whatever HDF5 stumbles over.
        raise ValueError(f"{path.name} is damaged, or no file of weights.") from error


def _hdf5(path: Path) -> Stored:
    import h5py
    import numpy as np

    size = file_size(path)
    with h5py.File(path, "r") as file:
        datasets = list(_datasets(file))
        total = sum(data.nbytes for _, data in datasets)
        if total > size:
            raise _RefusedError(f"declares {total} bytes of arrays and has {size}")
        for name, data in datasets:
            half = data.dtype.kind == "V"
            rows = max(1, _PIECE // max(1, math.prod(data.shape[1:])))
            for start in range(0, data.shape[0], rows) if data.shape else [()]:
                values = data[start : start + rows] if data.shape else data[()]
                if half:
                    values = (np.asarray(values).view(np.uint16).astype(np.uint32) << 16).view(np.float32)
                check_finite(values, name)
    return Stored(total, len(datasets))


def _datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Every array of an HDF5 file, none of them read: plain numbers, whole, in this very file."""
    import h5py

    groups, seen = [file], {h5py.h5o.get_info(file.id).addr}
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _RefusedError("has links that lead out of it")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                continue
            seen.add(place)
            if len(seen) > _MOST_OBJECTS:
                raise _RefusedError(f"holds more than {_MOST_OBJECTS} objects")
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                yield item.name, _checked(item)


def _checked(data: Any) -> Any:
    bfloat16 = data.dtype.kind == "V" and data.dtype.itemsize == 2 and data.attrs.get("dtype") == "bfloat16"
    if data.dtype.kind not in "fiub" and not bfloat16:
        raise _RefusedError(f"holds something else than numbers ({data.name})")
    if data.external or data.is_virtual:
        raise _RefusedError(f"keeps numbers in other files ({data.name})")
    if data.chunks is not None or data.id.get_storage_size() != data.nbytes:
        raise _RefusedError(f"declares more than it stores ({data.name})")
    return data


def _safetensors(path: Path) -> Stored:
    from safetensors import SafetensorError, safe_open

    size = file_size(path)
    with open(path, "rb") as file:
        if int.from_bytes(file.read(8), "little") > min(size, _MOST_HEADER_BYTES):
            raise _RefusedError("has a header that is larger than any")
    try:
        with safe_open(path, framework="np") as tensors:
            names = list(tensors.keys())
            for name in names:
                check_finite(tensors.get_tensor(name), name)
    except SafetensorError as error:
        why = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise ValueError(f"{path.name} is damaged, or no safetensors file ({why}).") from error
    return Stored(size, len(names))


def check_finite(values: Any, name: str) -> None:
    """Refuses numbers that are not finite, or are not so in float32.

    Raises:
        ValueError: if there is one; it goes after the name of a file.
    """
    import numpy as np

    values = np.asarray(values)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32, copy=False)).all()
        if not finite:
            raise _RefusedError(f"holds numbers that are not finite ({name})")


def read_arrays(content: Path | bytes, times: int = 1) -> dict[str, Any]:
    """The arrays of an `.npz` archive without pickles, by name; in memory they take no more than was stored.

    Args:
        content: A file, or what is in one.
        times: How many times smaller the archive may have been packed: 1 for one that was not, or `PACKED`.

    Raises:
        ValueError: if it is none, or declares more than that.
        OSError: if it cannot be read.
    """
    import numpy as np

    def opened() -> Any:
        return io.BytesIO(content) if isinstance(content, bytes) else content

    try:
        with zipfile.ZipFile(opened()) as archive:
            for member in archive.infolist():
                _check_member(archive, member, times)
        with np.load(opened(), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError) as error:
        raise ValueError(f"it is no archive of arrays ({reason(error)})") from error


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, times: int) -> None:
    import numpy as np

    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"{member.filename} is of another version of NumPy's format")
        shape, _, dtype = readers[version](file)
        declared = file.tell() + math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds objects, which may be code")
    if declared != member.file_size or declared > times * member.compress_size + 4096:
        raise ValueError(f"{member.filename} declares more than it stores")
