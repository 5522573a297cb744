"""The deployment files: a client that speaks to a server over HTTP and gRPC, and settings for containers."""

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
import yaml

from keras_t2i.export import serving
from keras_t2i.export.serving_warm_up import prediction_log

SERVING = Path(__file__).resolve().parents[2] / "export" / "serving"
METHOD = "/tensorflow.serving.PredictionService/Predict"


def drawing(prompt: str, seed: int, truncation: float) -> bytes:
    """What the servers below answer: not an image, but what one would have been drawn from."""
    return json.dumps([prompt, seed, truncation], ensure_ascii=False).encode()


class RestHandler(BaseHTTPRequestHandler):
    """Answers as TensorFlow Serving does, which leaves out the name of an only output."""

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/monitoring/prometheus/metrics" else 404, {})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/models/odd:predict":
            self._answer(200, {"outputs": [1, 2]})
        elif self.path != "/v1/models/keras_t2i:predict":
            self._answer(404, {"error": "Servable not found for request: Latest(other)"})
        elif request["signature_name"] == "complete":
            inputs = request["inputs"]
            (files,) = zip(*(inputs[name] for name in ("picture_bytes", "mask_bytes")), strict=True)
            told = [base64.b64decode(file["b64"]).decode() for file in files] + inputs["prompts"]
            self._answer(200, {"outputs": [{"b64": base64.b64encode(json.dumps(told).encode()).decode()}]})
        else:
            assert request["signature_name"] == "serving_default"
            inputs = request["inputs"]
            assert len(inputs["prompts"]) <= serving.BATCH_SIZES[-1]
            rows = zip(inputs["prompts"], inputs["seeds"], inputs["truncation"], strict=True)
            self._answer(200, {"outputs": [{"b64": base64.b64encode(drawing(*row)).decode()} for row in rows]})

    def _answer(self, code: int, content: dict[str, Any]) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def rest_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), RestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def grpc_port() -> Iterator[int]:
    """A server that reads requests with other declarations than the client's: those of the warm-up file."""

    def delimited(number: int, content: bytes) -> bytes:
        size, head = len(content), bytes([number << 3 | 2])
        while size > 127:
            head, size = head + bytes([size & 127 | 128]), size >> 7
        return head + bytes([size]) + content

    def predict(body: bytes, context: grpc.ServicerContext) -> bytes:
        request = type(prediction_log().predict_log.request).FromString(body)
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        if request.model_spec.signature_name == "complete":
            told = [inputs[name][0].decode() for name in ("picture_bytes", "mask_bytes", "prompts")]
            files = tf.make_tensor_proto(np.array([json.dumps(told).encode()], object))
            return delimited(1, delimited(1, b"image_bytes") + delimited(2, files.SerializeToString()))
        if (request.model_spec.name, request.model_spec.signature_name) != ("keras_t2i", "serving_default"):
            context.abort(grpc.StatusCode.NOT_FOUND, "Servable not found")
        assert [inputs[name].dtype.kind for name in ("prompts", "seeds", "truncation")] == ["O", "i", "f"]
        rows = zip(*(inputs[name].tolist() for name in ("prompts", "seeds", "truncation")), strict=True)
        files = tf.make_tensor_proto(np.array([drawing(prompt.decode(), *rest) for prompt, *rest in rows], object))
        return delimited(1, delimited(1, b"image_bytes") + delimited(2, files.SerializeToString()))

    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                METHOD.split("/")[1], {"Predict": grpc.unary_unary_rpc_method_handler(predict)}
            )
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture(scope="module")
def client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serving_client", SERVING / "client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_client_writes_what_the_server_draws(
    scheme: str, rest_port: int, grpc_port: int, client: ModuleType, tmp_path: Path
) -> None:
    address = f"{scheme}://127.0.0.1:{rest_port if scheme == 'http' else grpc_port}"
    one = [
        "--address",
        address,
        "ein blauer Käfer",
        "--seed",
        "-3",
        "--truncation",
        "0.5",
        "-o",
        str(tmp_path / "a.png"),
    ]
    assert client.main(one) == 0
    assert (tmp_path / "a.png").read_bytes() == drawing("ein blauer Käfer", -3, 0.5)
    # More rows than a server takes at once.
    many = ["--address", address, "a", "b", "--num-images", "9", "--seed", "7", "-o", str(tmp_path / "b.png")]
    assert client.main(many) == 0
    for number, (prompt, seed) in enumerate((prompt, 7 + i) for prompt in "ab" for i in range(9)):
        assert (tmp_path / f"b-{number}.png").read_bytes() == drawing(prompt, seed, 1.0)
    assert serving.BATCH_SIZES[-1] == client.MOST_ROWS
    for name in ("picture", "mask"):
        (tmp_path / name).write_text(f"the {name}")
    files = ["--picture", str(tmp_path / "picture"), "--mask", str(tmp_path / "mask"), "-o", str(tmp_path / "c.png")]
    assert client.main(["--address", address, "a star", *files]) == 0
    assert json.loads((tmp_path / "c.png").read_bytes()) == ["the picture", "the mask", "a star"]


def test_client_says_in_a_line_what_is_wrong(
    rest_port: int, grpc_port: int, client: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {
        (f"http://127.0.0.1:{rest_port}", "other"): "404: Servable not found",
        (f"http://127.0.0.1:{rest_port}", "odd"): "holds no images",
        (f"grpc://127.0.0.1:{grpc_port}", "other"): "NOT_FOUND: Servable not found",
        ("http://127.0.0.1:1", "keras_t2i"): "could not be reached",
        ("file:///etc/passwd", "keras_t2i"): "must start with http://",
    }
    for (address, name), message in cases.items():
        assert client.main(["a", "--address", address, "--name", name, "-o", str(tmp_path / "a.png")]) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def flags_of(container: dict[str, Any], name: str) -> dict[str, str]:
    return dict(flag.removeprefix("--").split("=") for flag in container[name])


def test_containers_run_the_server_on_what_is_exported(rest_port: int) -> None:
    compose = yaml.safe_load((SERVING / "compose.yaml").read_text(encoding="utf-8"))["services"]["serving"]
    deployment, service = yaml.safe_load_all((SERVING / "kubernetes.yaml").read_text(encoding="utf-8"))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    flags = flags_of(compose, "command")
    assert flags == flags_of(container, "args"), "one way to run the server"
    files = {Path(value).name for key, value in flags.items() if key.endswith("_file")}
    assert files == {"models.config", "batching.config", "monitoring.config"}
    assert compose["volumes"][0].endswith(":/models:ro")
    assert container["volumeMounts"][0] == {"name": "models", "mountPath": "/models", "readOnly": True}
    assert compose["read_only"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    metrics = container["readinessProbe"]["httpGet"]["path"]
    assert f'path: "{metrics}"' in serving._MONITORING
    *shell, script = compose["healthcheck"]["test"][1:]
    assert metrics in script
    healthy = subprocess.run([*shell, script.replace("8501", str(rest_port))], capture_output=True, timeout=20)
    assert healthy.returncode == 0, healthy.stderr
    for wrong in (script.replace("8501", "1"), script.replace("8501", str(rest_port)).replace("metrics", "other")):
        assert subprocess.run([*shell, wrong], capture_output=True, timeout=20).returncode != 0
