"""The description at /openapi.json says what the server does: requests made of it, and answers checked by it.

A generator of this file's own, seeded, stands for the tools that do the same; it needs none of them installed.
"""

from __future__ import annotations

import base64
import json
import math
import random
import re
from typing import Any

import pytest

JSON_TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}


class Description:
    """An OpenAPI description, as far as this one goes."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def resolved(self, thing: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in thing:
            found: Any = self.document
            for part in thing["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            thing = found
        return thing

    def wrong(self, value: Any, schema: dict[str, Any], where: str = "$") -> str | None:
        """What of a value is not as the schema says, if anything."""
        schema = self.resolved(schema)
        if "oneOf" in schema:
            return None if sum(not self.wrong(value, each) for each in schema["oneOf"]) == 1 else f"{where}: not one of"
        if "const" in schema or "enum" in schema:
            return None if value in schema.get("enum", [schema.get("const")]) else f"{where}: {value!r}"
        if isinstance(value, bool) or not isinstance(value, JSON_TYPES[schema["type"]]):
            return f"{where}: {type(value).__name__} for {schema['type']}"
        if isinstance(value, dict):
            return self._wrong_object(value, schema, where)
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{where}: {value!r}"
        size = len(value) if isinstance(value, list | str) else value
        for least, most in (("minimum", "maximum"), ("minItems", "maxItems"), ("minLength", "maxLength")):
            if not schema.get(least, size) <= size <= schema.get(most, size):
                return f"{where}: {size}"
        items = value if isinstance(value, list) and "items" in schema else []
        return next(filter(None, (self.wrong(item, schema["items"], f"{where}[]") for item in items)), None)

    def _wrong_object(self, value: dict[str, Any], schema: dict[str, Any], where: str) -> str | None:
        known = schema.get("properties", {})
        if set(schema.get("required", ())) - set(value):
            return f"{where}: lacks {set(schema['required']) - set(value)}"
        if schema.get("additionalProperties") is False and set(value) - set(known):
            return f"{where}: has {set(value) - set(known)}"
        found = (self.wrong(value[name], known[name], f"{where}.{name}") for name in known if name in value)
        return next(filter(None, found), None)

    def made(self, schema: dict[str, Any], chance: random.Random) -> Any:
        """A value that is as the schema says, at its limits more often than not."""
        schema = self.resolved(schema)
        if "oneOf" in schema:
            return self.made(chance.choice(schema["oneOf"]), chance)
        if "enum" in schema:
            return chance.choice(schema["enum"])
        kind = schema["type"]
        if kind == "object":
            names = [n for n in schema["properties"] if n in schema["required"] or chance.random() < 0.5]
            return {name: self.made(schema["properties"][name], chance) for name in names}
        if kind == "array":
            return [self.made(schema["items"], chance) for _ in range(3)]  # Columns have one length.
        if kind == "string":
            if "contentEncoding" in schema:
                return base64.b64encode(chance.randbytes(chance.randrange(9))).decode()
            ranges = [(32, 127), (0, 32), (0xA0, 0xD800), (0xE000, 0x110000)]
            return "".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(chance.choice((0, 1, 9, 300))))
        low, high = schema["minimum"], schema["maximum"]
        if kind == "integer":
            return chance.choice((low, high, 0, -1, chance.randint(low, high)))
        return chance.choice((low, high, 0, 1, 0.5, chance.uniform(-2, 2)))


@pytest.fixture
def description(client: Any) -> Description:
    answer = client.get("/openapi.json")
    assert answer.status == 200
    return Description(answer.json)


def checked(answer: Any, description: Description, operation: dict[str, Any]) -> int:
    """The status of an answer, which is one of those that the description has, with such a body and such headers."""
    assert str(answer.status) in operation["responses"], answer.text
    told = description.resolved(operation["responses"][str(answer.status)])
    ((media_type, body),) = told["content"].items()
    assert answer.headers["content-type"].partition(";")[0] == media_type
    for name in told.get("headers", {}):
        assert answer.headers[name]
    if media_type == "application/json":
        assert description.wrong(answer.json, body["schema"]) is None
    return answer.status


def paths(description: Description, method: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, item[method]) for path, item in description.document["paths"].items() if method in item]


def test_every_address_answers_as_it_is_described(client: Any, description: Description) -> None:
    for path, operation in paths(description, "get"):
        assert checked(client.get(path.format(name="stars", version=12)), description, operation) == 200
        if "{" in path:
            assert checked(client.get(path.format(name="moons", version=12)), description, operation) == 404
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert client.request(method, path.format(name="stars", version=12)).status == 405, (method, path)


def test_requests_made_of_the_description_are_answered(client: Any, description: Description) -> None:
    chance = random.Random(0)
    for path, operation in paths(description, "post"):
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for _ in range(40):
            request = description.made(schema, chance)
            assert description.wrong(request, schema) is None
            answer = client.predict(request, path.format(name="stars", version=12))
            assert checked(answer, description, operation) == 200, (request, answer.text)


def test_requests_that_are_not_as_described_are_refused(client: Any, description: Description) -> None:
    chance = random.Random(1)
    others: list[Any] = [None, True, 1.5, "a", [], {}, -1, [[]], {"b64": 3}, "\0", 2**70, [None], {"": ""}]
    refused = 0
    for path, operation in paths(description, "post"):
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        for _ in range(80):
            request = description.made(schema, chance)
            spoilt(request, chance, others)
            if description.wrong(request, schema) is None:
                continue
            refused += 1
            answer = client.predict(request, path.format(name="stars", version=12))
            assert checked(answer, description, operation) == 400, json.dumps(request)
    assert refused > 100


def test_prompts_are_taken_as_they_are_described(client: Any, description: Description) -> None:
    text, binary = description.document["components"]["schemas"]["Prompt"]["oneOf"]
    longest, pattern = text["maxLength"], binary["properties"]["b64"]["pattern"]
    prompts = ["a" * longest, "a" * (longest + 1), "\N{BLACK STAR}" * longest]
    statuses = [client.predict({"instances": [row(prompts=prompt)]}).status for prompt in prompts]
    assert statuses == [200, 400, 400]
    for b64 in (
        "",
        "QQ==",
        "QUI=",
        "QUJD",
        "Q",
        "QQ",
        "QQ=",
        "=",
        "====",
        "QQ==QQ==",
        "QU JD",
        "QU-_",
        "\N{BLACK STAR}",
    ):
        answer = client.predict({"instances": [row(prompts={"b64": b64})]})
        assert answer.status == (200 if re.search(pattern, b64) else 400), b64


def row(**values: Any) -> dict[str, Any]:
    return {"prompts": "a star", "seeds": 0, "truncation": 1.0, **values}


@pytest.mark.parametrize(("name", "schema"), [("seeds", "Seed"), ("truncation", "Truncation")])
@pytest.mark.parametrize(("limit", "away"), [("minimum", -math.inf), ("maximum", math.inf)])
def test_numbers_are_taken_up_to_the_limits_that_are_described(
    name: str, schema: str, limit: str, away: float, client: Any, description: Description
) -> None:
    last = description.document["components"]["schemas"][schema][limit]
    past = last + int(math.copysign(1, away)) if isinstance(last, int) else math.nextafter(last, away)
    statuses = [client.predict({"instances": [row(**{name: value})]}).status for value in (last, past)]
    assert statuses == [200, 400]


def spoilt(value: Any, chance: random.Random, others: list[Any]) -> None:
    """Puts something else into a place of a request, takes a key away or adds one."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = chance.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            value = inner
            continue
        if isinstance(value, dict) and chance.random() < 0.3:
            value[chance.choice(("extra", "Prompts", "seed"))] = value.pop(key) if chance.random() < 0.5 else 1
        else:
            value[key] = chance.choice(others)
        return
