"""A real model behind a real server: whoever asks gets the pictures of `generate`, and nobody brings it down."""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_t2i.models.gan import TextToImageGAN

PROMPTS = ["a red star", "CAFÉ", "a\0blue circle", "", "红色的星 \N{PILE OF POO}", "large " * 1667]
SEEDS = [3, -1, 2**40, 0, 2**63 - 1, -(2**63)]
TRUNCATION = [1.0, 0.5, 1, 0.0, 1.0, 2.5]
INSTANCES = [
    dict(zip(("prompts", "seeds", "truncation"), row, strict=True))
    for row in zip(PROMPTS, SEEDS, TRUNCATION, strict=True)
]


def pixels(png: dict[str, str]) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(png["b64"]))) as image:
        assert image.format == "PNG"
        return np.asarray(image).astype(int)


def drawn(gan: TextToImageGAN, instances: list[dict[str, Any]]) -> np.ndarray:
    return np.concatenate(
        [gan.generate(row["prompts"], seed=row["seeds"], truncation=row["truncation"]) for row in instances]
    ).astype(int)


def test_rows_and_columns_are_the_pixels_of_generate(client: Any, served_gan: TextToImageGAN) -> None:
    expected = drawn(served_gan, INSTANCES)
    assert expected.std() > 1
    by_row = client.predict({"instances": INSTANCES})
    assert by_row.status == 200
    columns = {"prompts": PROMPTS, "seeds": SEEDS, "truncation": TRUNCATION}
    by_column = client.predict({"inputs": columns}, "/v1/models/stars/versions/12:predict")
    numbers = client.predict({"signature_name": "generate", "instances": INSTANCES})
    for images in (
        np.stack([pixels(png) for png in by_row.json["predictions"]]),
        np.stack([pixels(png) for png in by_column.json["outputs"]]),
        np.array(numbers.json["predictions"]),
    ):
        assert np.abs(images - expected).max() <= 1
        assert (images != expected).mean() < 1e-3


def test_the_other_signatures_lead_from_text_to_images(client: Any, served_gan: TextToImageGAN) -> None:
    embedded = client.predict({"signature_name": "embed_text", "instances": PROMPTS}).json["predictions"]
    np.testing.assert_allclose(embedded, served_gan.text_encoder.encode(PROMPTS), atol=1e-5)
    latents = np.random.default_rng(0).normal(size=(len(PROMPTS), served_gan.generator.latent_dim)).astype(np.float32)
    inputs = {"latents": latents.tolist(), "sentence_embeddings": embedded}
    answer = client.predict({"signature_name": "generate_from_embeddings", "inputs": inputs})
    images = served_gan.ema_generator(latents, np.array(embedded, np.float32), training=False)
    np.testing.assert_allclose(answer.json["outputs"], images, atol=1e-5)


def test_status_and_metadata_are_those_of_tf_serving(client: Any) -> None:
    status = {"error_code": "OK", "error_message": ""}
    for path in ("/v1/models/stars", "/v1/models/stars/versions/12"):
        versions = client.get(path).json
        assert versions == {"model_version_status": [{"version": "12", "state": "AVAILABLE", "status": status}]}
    metadata = client.get("/v1/models/stars/metadata").json
    assert metadata["model_spec"] == {"name": "stars", "signature_name": "", "version": "12"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "generate", "generate_from_embeddings", "embed_text"}
    seeds = signatures["serving_default"]["inputs"]["seeds"]
    assert seeds["dtype"] == "DT_INT64"
    assert seeds["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signatures["generate"]["method_name"] == "tensorflow/serving/predict"


def test_clients_at_once_get_their_own_pictures_from_shared_batches(client: Any) -> None:
    requests = [
        {"prompts": f"a {'red' if n % 2 else 'blue'} {'star' if n % 3 else 'circle'}", "seeds": n, "truncation": 2.0}
        for n in range(24)
    ]
    alone = [pixels(client.predict({"instances": [row]}).json["predictions"][0]) for row in requests]
    assert min(np.abs(one - other).max() for one, other in itertools.pairwise(alone)) > 1
    batches, drawn_rows = client.metric("keras_t2i_batch_rows_count"), client.metric("keras_t2i_batch_rows_sum")
    images = client.metric("keras_t2i_images_total")
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda row: client.predict({"instances": [row]}), requests))
    for answer, expected in zip(answers, alone, strict=True):
        assert np.abs(pixels(answer.json["predictions"][0]) - expected).max() <= 1
    assert client.metric("keras_t2i_batch_rows_sum") - drawn_rows == 24
    assert client.metric("keras_t2i_batch_rows_count") - batches < 24
    assert client.metric("keras_t2i_images_total") - images == 24


def test_metrics_count_requests_by_status(client: Any) -> None:
    sample = 'keras_t2i_requests_total{code="400",endpoint="predict"}'
    before, answered = client.metric(sample), client.metric("keras_t2i_predict_seconds_count")
    assert client.predict({}).status == 400
    assert client.metric(sample) == before + 1
    assert client.metric("keras_t2i_predict_seconds_count") == answered + 1
    assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
    assert client.metric("keras_t2i_queue_rows") == 0
    assert client.metric("process_resident_memory_bytes") > 2**20


def one(**changes: Any) -> dict[str, Any]:
    return {"instances": [{"prompts": "a red star", "seeds": 3, "truncation": 1.0, **changes}]}


def with_text(text: str) -> bytes:
    return json.dumps(one(prompts="?")).replace('"?"', text).encode()


LEGAL: dict[str, Any] = {
    "a prompt of 10,000 characters": one(prompts="ü" * 10_000),
    "a NUL prompt": with_text(r'"\u0000"'),
    "a pair of surrogates": with_text(r'"\ud83d\ude00"'),
    "unassigned and private characters": one(prompts="\u0378\ue000\uffff\u202e\N{ZERO WIDTH JOINER}"),
    "bytes that are no text": with_text('{"b64": "/wD+"}'),
    "an enormous truncation": one(truncation=1e30),
    "an empty signature name": {**one(), "signature_name": ""},
    "more rows than a batch has": {"instances": one()["instances"] * 64},
}
HOSTILE: dict[str, tuple[int, Any]] = {
    "no JSON": (400, b"prompts=a"),
    "nothing": (400, b""),
    "half a JSON": (400, json.dumps(one()).encode()[:-1]),
    "invalid UTF-8": (400, json.dumps(one()).encode().replace(b"red", b"\xc3\x28")),
    "a deep list": (400, b"[" * 500_000),
    "a deep object": (400, b'{"instances": ' + b'[{"a":' * 100_000),
    "a lone surrogate": (400, with_text(r'"\ud800"')),
    "NaN truncation": (400, with_text('"a"').replace(b"1.0", b"NaN")),
    "infinite truncation": (400, with_text('"a"').replace(b"1.0", b"1e999")),
    "text truncation": (400, one(truncation="1.0")),
    "a float seed": (400, one(seeds=3.0)),
    "a seed of 2**64": (400, one(seeds=2**64)),
    "a seed of 100,000 digits": (400, with_text('"a"').replace(b"3", b"9" * 100_000)),
    "a list as a prompt": (400, one(prompts=["a"])),
    "null as a prompt": (400, one(prompts=None)),
    "a prompt of 100,000 bytes": (400, one(prompts="a" * 100_000)),
    "an extra input": (400, one(guidance=3)),
    "a missing input": (400, {"instances": [{"prompts": "a", "seeds": 1}]}),
    "too many rows": (400, {"instances": one()["instances"] * 65}),
    "columns of unequal length": (400, {"inputs": {"prompts": ["a", "b"], "seeds": [1], "truncation": [1.0]}}),
    "an unknown signature": (400, {**one(), "signature_name": "__saved_model_init_op"}),
    "a body over the limit": (413, b'{"instances": "' + b"x" * 2**20 + b'"}'),
    "a wrong shape": (
        400,
        {"signature_name": "generate_from_embeddings", "instances": [{"latents": [1.0], "sentence_embeddings": [[]]}]},
    ),
    "latents that overflow": (
        400,
        {
            "signature_name": "generate_from_embeddings",
            "instances": [{"latents": [3e38] * 6, "sentence_embeddings": [3e38] * 16}],
        },
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_odd_requests_that_are_legal_are_answered(name: str, client: Any) -> None:
    answer = client.predict(LEGAL[name])
    assert answer.status == 200, answer.text
    assert pixels(answer.json["predictions"][-1]).shape == (32, 32, 3)


def refused(answer: Any, status: int) -> None:
    assert answer.status == status, answer.text
    assert list(answer.json) == ["error"]
    assert 0 < len(answer.json["error"]) < 300
    assert "\n" not in answer.json["error"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused_in_one_line(name: str, client: Any) -> None:
    status, request = HOSTILE[name]
    refused(client.predict(request), status)
    assert client.predict(one()).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/stars:predict", 405),
        ("GET", "/v1/models/stars/versions/12:predict", 405),
        ("PUT", "/v1/models/stars:predict", 405),
        ("DELETE", "/v1/models/stars", 405),
        ("POST", "/v1/models/stars", 405),
        ("POST", "/v1/models/stars:classify", 405),
        ("POST", "/v1/models/moons:predict", 404),
        ("POST", "/v1/models/stars/versions/3:predict", 404),
        ("POST", f"/v1/models/stars/versions/{'9' * 6000}:predict", 404),
        ("POST", "/v1/models/%00%ff%0A:predict", 404),
        ("GET", "/v1/models/stars/versions/x", 404),
        ("GET", "/v1/models/../../etc/passwd", 404),
        ("GET", "/", 404),
    ],
)
def test_addresses_that_do_not_exist_are_refused(method: str, path: str, status: int, client: Any) -> None:
    refused(client.request(method, path, json.dumps(one()) if method in ("POST", "PUT") else None), status)


def raw_post(*headers: str) -> bytes:
    return "\r\n".join(["POST /v1/models/stars:predict HTTP/1.1", "Host: x", *headers, "", ""]).encode()


HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_compressed_bodies_are_refused_unread(client: Any) -> None:
    bomb = gzip.compress(bytes(2**26))
    assert len(bomb) < 2**20
    for encoding in ("gzip", "deflate", "br, gzip"):
        refused(client.request("POST", client.predict_path, bomb, {"Content-Encoding": encoding}), 415)
    refused(client.predict(bomb), 400)


@pytest.mark.parametrize(
    ("status", "parts"),
    [
        (413, [raw_post("Transfer-Encoding: chunked"), *[b"40000\r\n" + b"x" * 2**18 + b"\r\n"] * 40, b"0\r\n\r\n"]),
        (413, [raw_post("Content-Length: 9999999999999"), b"{"]),
        (413, [raw_post("Content-Length: 9999999999999", "Expect: 100-continue")]),
        (408, [raw_post("Content-Length: 1000"), b"{"]),
        (408, [raw_post("Transfer-Encoding: chunked"), b"5\r\nhe"]),
        (408, [b"POST /v1/mod"]),
        (400, [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"]),
        (400, [raw_post("Content-Length: -1")]),
        (400, [raw_post("Content-Length: 5", "Content-Length: 6"), b"hello"]),
        (400, [raw_post("X: " + "y" * 100_000, "Connection: close")]),
        (400, [raw_post("Transfer-Encoding: chunked"), b"zz\r\n"]),
    ],
)
def test_hostile_bytes_are_refused(status: int, parts: list[bytes], client: Any) -> None:
    answer = client.raw(*parts)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b'\r\n\r\n{"error":' in answer
    assert client.get("/readyz").status == 200


@pytest.mark.parametrize("length", [5, 45])
def test_a_request_that_is_hidden_in_another_is_not_answered(length: int, client: Any) -> None:
    framed_twice = raw_post(f"Content-Length: {length}", "Transfer-Encoding: chunked")
    answer = client.raw(framed_twice, b"0\r\n\r\n", HIDDEN)
    # The connection is closed, and what was still on its way may take the answer with it.
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert client.get("/readyz").status == 200


def test_clients_that_leave_do_no_harm(client: Any) -> None:
    body = json.dumps({"instances": one()["instances"] * 20}).encode()
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            connection.sendall(raw_post(f"Content-Length: {len(body)}") + body)
    assert client.predict(one()).status == 200
    assert client.metric("keras_t2i_queue_rows") == 0


def test_memory_does_not_grow_with_requests(client: Any) -> None:
    full = json.dumps(one(prompts="a" * 60_000)).encode() + b" " * 900_000
    requests = [one(), full, b"[" * 900_000, b"x" * 2**20 * 2, {"signature_name": "generate", **one()}]

    def send(times: int) -> float:
        with ThreadPoolExecutor(4) as threads:
            statuses = list(threads.map(lambda request: client.predict(request).status, requests * times))
        assert statuses == [200, 200, 400, 413, 200] * times
        return client.metric("process_resident_memory_bytes") / 2**20

    before = send(20)
    assert send(60) - before < 30


def test_a_signal_lets_accepted_requests_finish(model_tree: Path, tools: Any) -> None:
    with tools.in_process(model_tree / "12", "stars", max_batch_size=1) as running, ThreadPoolExecutor(2) as threads:
        client = running.client
        accepted = [threads.submit(client.predict, {"instances": one()["instances"] * 64}) for _ in range(2)]
        deadline = time.monotonic() + 10
        while client.metric("keras_t2i_queue_rows") < 65:
            assert time.monotonic() < deadline
        running.process.send_signal(signal.SIGTERM)
        assert [len(done.result().json["predictions"]) for done in accepted] == [64, 64]
        assert running.process.wait(20) == 0
        assert running.process.stdout.read() == "stopped\n"
        with pytest.raises(ConnectionRefusedError):
            client.get("/healthz")
