"""JSON to arrays and back: everything that a client may send is either understood or refused in one line."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from checks import one_line

from keras_t2i.serve.protocol import Query, RequestError, Signature, Tensor, encode, parse
from keras_t2i.serve.settings import Settings

SIGNATURES = {
    "serving_default": Signature(
        {"prompts": Tensor("string"), "seeds": Tensor("int64"), "truncation": Tensor("float32")},
        {"image_bytes": Tensor("string")},
    ),
    "embed_text": Signature({"prompts": Tensor("string")}, {"sentence_embeddings": Tensor("float32", (2,))}),
    "from_latents": Signature({"latents": Tensor("float32", (2, 3))}, {"images": Tensor("uint8", (1, 2, 3))}),
}
LIMITS = Settings(max_rows=4, max_prompt_bytes=20, max_queue=8)
ROW = {"prompts": "a", "seeds": 1, "truncation": 1.0}


def read(request: Any) -> Query:
    return parse(request if isinstance(request, bytes) else json.dumps(request).encode(), SIGNATURES, LIMITS)


def with_row(**changes: Any) -> dict[str, Any]:
    return {"instances": [ROW, {**ROW, **changes}]}


def test_rows_and_columns_are_the_same_query() -> None:
    by_row = read({"instances": [ROW, {"prompts": "\0ü", "seeds": -(2**63), "truncation": 0}]})
    columns = {"prompts": ["a", "\0ü"], "seeds": [1, -(2**63)], "truncation": [1.0, 0]}
    by_column = read({"inputs": columns, "signature_name": ""})
    assert (by_row.by_row, by_column.by_row) == (True, False)
    for query in (by_row, by_column):
        assert (query.signature, query.rows) == ("serving_default", 2)
        assert query.columns["prompts"] == [b"a", "\0ü".encode()]
        assert query.columns["seeds"].dtype == np.int64
        assert query.columns["seeds"].tolist() == [1, -(2**63)]
        assert query.columns["truncation"].dtype == np.float32


def test_one_input_needs_no_name_and_text_may_be_base64() -> None:
    code = {"b64": base64.b64encode(b"\xff\0").decode()}
    named = [{"prompts": "a"}, {"prompts": code}]
    for request in ({"instances": ["a", code]}, {"instances": named}, {"inputs": ["a", code]}):
        assert read({"signature_name": "embed_text", **request}).columns["prompts"] == [b"a", b"\xff\0"]
    latents = [[1, 2, 3], [4, 5, 6.5]]
    query = read({"signature_name": "from_latents", "instances": [latents]})
    np.testing.assert_array_equal(query.columns["latents"], [latents])


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (b"", "no JSON"),
        (b"\xff{}", "UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"inputs": NaN}', "NaN"),
        (b'{"inputs": -Infinity}', "-Infinity"),
        (b'{"inputs": ' + b"1" * 5000 + b"}", "digits"),
        ([], "an empty list"),
        ({}, "either"),
        ({"instances": [ROW], "inputs": {}}, "either"),
        ({"instances": [ROW], "signature": "generate"}, "'signature'"),
        ({"instances": [ROW], "signature_name": "draw"}, "'draw'"),
        ({"instances": [ROW], "signature_name": ["embed_text"]}, "a list"),
        ({"instances": []}, "an empty list"),
        ({"instances": {"prompts": "a"}}, "an object"),
        ({"instances": [ROW] * 5}, "1 to 4"),
        ({"instances": ["a"]}, "'a'"),
        ({"instances": [ROW, {"prompts": "a", "seeds": 1}]}, "Row 1 lacks truncation"),
        ({"inputs": {"prompts": ["a"]}}, "lacks seeds"),
        (with_row(guidance=2), "'guidance'"),
        (with_row(prompts=3), r"prompts\[1\] is 3; text"),
        (with_row(prompts=None), "null"),
        (with_row(prompts=["a"]), "a list"),
        (with_row(prompts={"b64": "?"}), "base64"),
        (with_row(prompts={"b64": 3}), "an object"),
        (with_row(prompts="ü" * 11), "22 bytes"),
        (with_row(prompts="\ud800"), "surrogate"),
        (with_row(seeds=1.0), "whole number"),
        (with_row(seeds=True), "truth value"),
        (with_row(seeds="1"), "'1'"),
        (with_row(seeds=2**63), "9223372036854775808"),
        (with_row(seeds=10**4000), r"\.\.\.; -9223372036854775808"),
        (with_row(truncation="x" * 9999), "a number"),
        (with_row(truncation=10**400), "finite"),
        (b'{"instances": [{"prompts": "a", "seeds": 1, "truncation": 1e999}]}', "finite"),
        (with_row(truncation=1e39), "finite"),
        (with_row(truncation=False), "truth value"),
        ({"inputs": {"prompts": ["a", "b"], "seeds": [1], "truncation": [1, 1]}}, "seeds 1"),
        ({"inputs": {"prompts": "a", "seeds": [1], "truncation": [1]}}, "prompts is 'a'"),
        ({"inputs": {"prompts": [], "seeds": [], "truncation": []}}, "0 rows"),
        ({"inputs": [ROW]}, "a list"),
        ({"signature_name": "from_latents", "instances": [[[1, 2, 3]]]}, "a list of 1; a list of 2"),
        ({"signature_name": "from_latents", "instances": [[[1, 2, 3], [1, 2, [3]]]]}, r"latents\[0\]\[1\]\[2\]"),
        ({"signature_name": "from_latents", "instances": [[[1, 2, 3], 4]]}, "is 4; a list of 3"),
    ],
)
def test_what_is_wrong_is_said_in_one_short_line(request_: Any, told: str) -> None:
    with pytest.raises(RequestError, match=told) as error:
        read(request_)
    assert error.value.status == 400
    assert len(one_line(error)) < 250


def answer(query: Query, **outputs: np.ndarray) -> Any:
    return json.loads(b"".join(encode(query, outputs)))


def test_answers_are_those_of_tf_serving() -> None:
    rows, columns = (Query("", {}, 2, by_row) for by_row in (True, False))
    files = np.array([b"\xff\0", b""], object)
    embeddings = np.array([[1, 2], [3, 4.5]], np.float32)
    encoded = [{"b64": "/wA="}, {"b64": ""}]
    assert answer(rows, image_bytes=files) == {"predictions": encoded}
    assert answer(columns, image_bytes=files) == {"outputs": encoded}
    assert answer(rows, x=embeddings) == {"predictions": [[1, 2], [3, 4.5]]}
    both = {"image_bytes": files, "x": embeddings}
    assert answer(rows, **both)["predictions"][1] == {"image_bytes": {"b64": ""}, "x": [3, 4.5]}
    assert answer(columns, **both) == {"outputs": {"image_bytes": encoded, "x": [[1, 2], [3, 4.5]]}}
    assert answer(rows, name=np.array([b"a", "ü".encode()], object)) == {"predictions": ["a", "ü"]}


def test_numbers_that_json_does_not_know_are_not_sent() -> None:
    with pytest.raises(RequestError, match="not finite"):
        answer(Query("", {}, 1, True), x=np.array([[np.nan]], np.float32))


def test_settings_that_make_no_sense_are_named() -> None:
    for settings in ({"max_batch_size": 0}, {"read_timeout": -1}, {"max_delay": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Settings(**settings)  # type: ignore[arg-type]
    assert Settings(max_delay=0).max_delay == 0
    assert Settings(max_queue=5).max_rows == 5
