"""TF Serving's JSON to arrays and back: nothing but NumPy, and nothing that a request can bring down."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from keras_t2i.serve.settings import Settings

__all__ = ["DEFAULT_SIGNATURE", "Query", "RequestError", "Signature", "Tensor", "encode", "is_binary", "parse"]

DEFAULT_SIGNATURE = "serving_default"
_FLOAT32_MAX = float(np.finfo(np.float32).max)
Column = list[bytes] | np.ndarray
"""Of strings: a list, since arrays of bytes lose the zeros at their ends."""


class RequestError(ValueError):
    """A request that cannot be answered; the message goes to the client.

    Args:
        message: One line.
        status: The HTTP status.
        headers: That go with it.
    """

    def __init__(self, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output: its dtype's name, and its shape without the batch dimension."""

    dtype: str
    shape: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of a model."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]

    @property
    def draws(self) -> bool:
        """Whether its answers are images."""
        return not {"images", "image_bytes"}.isdisjoint(self.outputs)


@dataclasses.dataclass(frozen=True)
class Query:
    """What a request asks for.

    Args:
        signature: The function's name.
        columns: Its inputs, each with `rows` entries.
        rows: How many rows there are.
        by_row: Whether it was asked in row format, and is to be answered so.
    """

    signature: str
    columns: dict[str, Column]
    rows: int
    by_row: bool


def parse(body: bytes, signatures: Mapping[str, Signature], limits: Settings) -> Query:
    """Reads the body of a `:predict` request.

    As with TF Serving, every input is required, and a signature with one input takes its values without their name.

    Raises:
        RequestError: if it is no JSON, or not what the signature takes; the message says what is missing.
    """
    request = _load(body)
    if not isinstance(request, dict):
        raise RequestError(f'The request is {_kind(request)}; an object with "instances" or "inputs" is expected.')
    unknown = sorted(set(request) - {"signature_name", "instances", "inputs"})
    if unknown:
        raise RequestError(f'The request has {_shown(unknown[0])}; it may have "signature_name", and then "instances" '
                           'or "inputs".')  # fmt: skip
    name = request.get("signature_name", DEFAULT_SIGNATURE)
    name = DEFAULT_SIGNATURE if name == "" else name
    if not isinstance(name, str) or name not in signatures:
        raise RequestError(f"There is no signature {_shown(name)}; there are {', '.join(sorted(signatures))}.")
    if ("instances" in request) == ("inputs" in request):
        raise RequestError('The request must have either "instances", a list of rows, or "inputs", an object of lists.')
    inputs = signatures[name].inputs
    by_row = "instances" in request
    values = _of_rows(request["instances"], inputs, limits) if by_row else _of_columns(request["inputs"], inputs)
    rows = {input_name: len(column) for input_name, column in values.items()}
    count = next(iter(rows.values()))
    if len(set(rows.values())) > 1:
        told = ", ".join(f"{input_name} {number}" for input_name, number in rows.items())
        raise RequestError(f"All inputs must have the same number of rows; these have: {told}.")
    if not 0 < count <= limits.max_rows:
        raise RequestError(f"The request has {count} rows; 1 to {limits.max_rows} are taken at once.")
    columns = {input_name: _column(values[input_name], inputs[input_name], input_name, limits) for input_name in inputs}
    return Query(name, columns, count, by_row)


def encode(query: Query, outputs: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """The JSON text of an answer, in pieces of one row each: a long one need not be made in one go.

    Raises:
        RequestError: if the answer holds numbers that JSON does not know.
    """
    for value in outputs.values():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise RequestError("With these inputs the model's answer is not finite: they are too large.")
    if query.by_row:
        yield b'{"predictions": ['
        for row in range(query.rows):
            entries = {name: _plain(name, value[row]) for name, value in outputs.items()}
            answer = next(iter(entries.values())) if len(entries) == 1 else entries
            yield (b", " if row else b"") + json.dumps(answer).encode()
        yield b"]}"
        return
    yield b'{"outputs": '
    for number, (name, value) in enumerate(outputs.items()):
        if len(outputs) > 1:
            yield (b", " if number else b"{") + json.dumps(name).encode() + b": "
        yield b"["
        for row in range(query.rows):
            yield (b", " if row else b"") + json.dumps(_plain(name, value[row])).encode()
        yield b"]"
    yield b"}}" if len(outputs) > 1 else b"}"


def _load(body: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise RequestError(f"The request holds {constant}, which is no JSON.")

    try:
        return json.loads(body.decode("utf-8"), parse_constant=refuse)
    except RequestError:
        raise
    except UnicodeDecodeError as error:
        raise RequestError(f"The request is not UTF-8: byte {error.start} is in the way.") from error
    except json.JSONDecodeError as error:
        raise RequestError(f"The request is no JSON: {error.msg} at character {error.pos}.") from error
    except RecursionError as error:
        raise RequestError("The request is nested too deeply.") from error
    except ValueError as error:  # Python refuses integers of thousands of digits.
        raise RequestError("The request holds a number with too many digits.") from error


def _of_rows(instances: Any, inputs: Mapping[str, Tensor], limits: Settings) -> dict[str, list[Any]]:
    """Row format turned into columns, as yet unchecked."""
    if not isinstance(instances, list) or not instances:
        raise RequestError(f'"instances" is {_kind(instances)}; a list of at least one row is expected.')
    if len(instances) > limits.max_rows:
        raise RequestError(f"The request has {len(instances)} rows; 1 to {limits.max_rows} are taken at once.")
    values: dict[str, list[Any]] = {name: [] for name in inputs}
    for number, row in enumerate(instances):
        if len(inputs) == 1 and not (isinstance(row, dict) and set(row) != {"b64"}):
            row = dict.fromkeys(inputs, row)
        if not isinstance(row, dict):
            raise RequestError(f"Row {number} is {_kind(row)}; an object with {_listed(inputs)} is expected.")
        _require(row, inputs, f"Row {number}")
        for name in inputs:
            values[name].append(row[name])
    return values


def _of_columns(columns: Any, inputs: Mapping[str, Tensor]) -> dict[str, list[Any]]:
    if len(inputs) == 1 and not isinstance(columns, dict):
        columns = dict.fromkeys(inputs, columns)
    if not isinstance(columns, dict):
        raise RequestError(f'"inputs" is {_kind(columns)}; an object with {_listed(inputs)} is expected.')
    _require(columns, inputs, '"inputs"')
    for name in inputs:
        if not isinstance(columns[name], list):
            raise RequestError(f"{name} is {_kind(columns[name])}; a list with one entry a row is expected.")
    return columns


def _require(given: dict[str, Any], inputs: Mapping[str, Tensor], where: str) -> None:
    missing = [name for name in inputs if name not in given]
    if missing:
        raise RequestError(f"{where} lacks {missing[0]}; {_listed(inputs)} are required.")
    if len(given) > len(inputs):
        extra = next(name for name in given if name not in inputs)
        raise RequestError(f"{where} has {_shown(extra)}, which is no input; {_listed(inputs)} are.")


def _column(values: list[Any], tensor: Tensor, name: str, limits: Settings) -> Column:
    """One input's values, every one of them checked."""
    if tensor.dtype == "string":
        most = limits.max_body_bytes if is_binary(name) else limits.max_prompt_bytes
        return [_text(value, f"{name}[{row}]", most) for row, value in enumerate(values)]
    check = _integer if tensor.dtype.startswith(("int", "uint")) else _number
    flat: list[Any] = []
    for row, value in enumerate(values):
        _flatten(value, tensor.shape, f"{name}[{row}]", lambda item, at: check(item, at, tensor.dtype), flat)
    return np.array(flat, tensor.dtype).reshape(len(values), *tensor.shape)


def _flatten(value: Any, shape: tuple[int, ...], where: str, check: Callable[[Any, str], Any], flat: list[Any]) -> None:
    if not shape:
        flat.append(check(value, where))
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        found = f"a list of {len(value)}" if isinstance(value, list) else _kind(value)
        raise RequestError(f"{where} is {found}; a list of {shape[0]} is expected.")
    for number, item in enumerate(value):
        _flatten(item, shape[1:], f"{where}[{number}]", check, flat)


def _text(value: Any, where: str, most: int) -> bytes:
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            data = base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError(f"{where} is no base64.") from error
    elif isinstance(value, str):
        try:
            data = value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(f"{where} holds half of a surrogate pair, which is no text.") from error
    else:
        raise RequestError(f"{where} is {_kind(value)}; text is expected.")
    if len(data) > most:
        raise RequestError(f"{where} has {len(data)} bytes; at most {most} are taken.")
    return data


def _integer(value: Any, where: str, dtype: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(f"{where} is {_kind(value)}; a whole number is expected.")
    info = np.iinfo(dtype)
    if not info.min <= value <= info.max:
        raise RequestError(f"{where} is {_shown(value)}; {info.min} to {info.max} is expected.")
    return value


def _number(value: Any, where: str, dtype: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError(f"{where} is {_kind(value)}; a number is expected.")
    if not -_FLOAT32_MAX <= value <= _FLOAT32_MAX:
        raise RequestError(f"{where} is {_shown(value)}; a finite number of {dtype} is expected.")
    return value


def _plain(name: str, value: Any) -> Any:
    """One row of an output, as JSON has it."""
    if isinstance(value, bytes):
        if is_binary(name):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode("utf-8", "replace")
    return value.tolist()


def is_binary(name: str) -> bool:
    """Whether an input or output holds files and no text: TF Serving knows that by the end of its name."""
    return name.endswith("_bytes")


def _kind(value: Any) -> str:
    """What a value is, in words: a long or deep one is not for an error message."""
    kinds = {dict: "an object", list: "a list", bool: "a truth value", type(None): "null"}
    if isinstance(value, list) and not value:
        return "an empty list"
    return kinds.get(type(value)) or _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return _kind(value)
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(names)
