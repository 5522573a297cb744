"""Servers to test: one with a tiny real model in a process of its own, and others in a thread around a stand-in."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from checks import move_weights, tiny_gan
from tiny_encoder import write_bert_preset

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.serve.protocol import RequestError, Signature, Tensor
from keras_t2i.serve.server import Server
from keras_t2i.serve.settings import Settings
from keras_t2i.text import TextEncoder

SERVE = """
import json, sys
from keras_t2i.serve import serve
serve(sys.argv[1], port=0, announce=lambda address: print(address, flush=True), **json.loads(sys.argv[2]))
print("stopped", flush=True)
"""
DRAW = Signature(
    {"prompts": Tensor("string"), "seeds": Tensor("int64"), "truncation": Tensor("float32")},
    {"image_bytes": Tensor("string")},
)


class Client:
    """Speaks to a server at a port of this machine."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self.predict_path = f"/v1/models/{name}:predict"

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> SimpleNamespace:
        """One request on a connection of its own: status, headers, text, and JSON where it is some."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        is_json = response.headers["content-type"] == "application/json"
        return SimpleNamespace(
            status=response.status,
            headers=response.headers,
            text=text.decode(),
            json=json.loads(text) if is_json and text else None,
        )

    def get(self, path: str) -> SimpleNamespace:
        return self.request("GET", path)

    def predict(self, request: Any, path: str | None = None) -> SimpleNamespace:
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        return self.request("POST", path or self.predict_path, body)

    def raw(self, *parts: bytes, finish: bool = True) -> bytes:
        """Sends bytes as they are, and returns all that comes until the server closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            received = b""
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    connection.sendall(part)
                if finish:
                    connection.settimeout(10)
                while data := connection.recv(65536):
                    received += data
            return received

    def metric(self, sample: str) -> float:
        """A sample of `/metrics`, 0 where there is none yet."""
        for line in self.get("/metrics").text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        return 0.0


def rows(*prompts: str, seed: int = 3, truncation: float = 1.0) -> list[dict[str, Any]]:
    return [{"prompts": prompt, "seeds": seed, "truncation": truncation} for prompt in prompts]


class StandIn:
    """A model that returns its prompts, when its gate is open."""

    def __init__(self) -> None:
        self.signatures = {"serving_default": DRAW, "other": DRAW}
        self.gate, self.calls = threading.Event(), []
        self.gate.set()

    def metadata(self) -> dict[str, Any]:
        return {}

    def warm_up(self, max_batch_size: int) -> Iterator[None]:
        yield

    def run(self, signature: str, columns: dict[str, Any]) -> dict[str, np.ndarray]:
        self.calls.append((signature, list(columns["prompts"])))
        assert self.gate.wait(30)
        if b"poison" in columns["prompts"]:
            raise RequestError("poisoned")
        if b"bug" in columns["prompts"]:
            raise RuntimeError("a bug of the model")
        return {"image_bytes": np.array(columns["prompts"], object)}


class OneMore:
    """A source that has one other version, once it is told to."""

    def __init__(self, version: int, load: Callable[[], Any]) -> None:
        self.version, self.load, self.is_there = version, load, False

    def find(self, live: int) -> tuple[int, Callable[[], Any]] | None:
        there, self.is_there = self.is_there, False
        return (self.version, self.load) if there else None


@contextlib.contextmanager
def in_thread(model: Any, load: Callable[[], Any] | None = None, source: Any = None, **settings: Any) -> Iterator[Any]:
    """A running server around a stand-in: its client, the server and the thread, and what it announced."""
    ready, lines = threading.Event(), []

    def announce(line: str) -> None:
        lines.append(line)
        ready.set()

    server = Server(load or (lambda: model), "toy", 1, port=0, settings=Settings(**settings), announce=announce,
                    source=source)  # fmt: skip
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert load is not None or ready.wait(30)
        yield SimpleNamespace(client=Client(server.port, "toy"), server=server, thread=thread, ready=ready, lines=lines)
    finally:
        if model is not None:
            model.gate.set()
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


@contextlib.contextmanager
def in_process(directory: Path, name: str, **settings: Any) -> Iterator[Any]:
    """A running server of a SavedModel: its client and the process."""
    command = [sys.executable, "-c", SERVE, str(directory), json.dumps(settings)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert address.startswith("http://127.0.0.1:"), "the server did not start"
        yield SimpleNamespace(client=Client(int(address.split(":")[2].split("/")[0]), name), process=process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with process:
            process.wait(60)


@pytest.fixture(scope="session")
def served_gan(tmp_path_factory: pytest.TempPathFactory) -> TextToImageGAN:
    folder = tmp_path_factory.mktemp("encoder")
    gan = tiny_gan("dcgan", TextEncoder.from_preset(write_bert_preset(folder / "bert")))
    move_weights(gan.generator, 0.5)
    gan.ema_generator.set_weights(gan.generator.get_weights())
    return gan


@pytest.fixture(scope="session")
def model_tree(served_gan: TextToImageGAN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As TF Serving has it, with an older version that is no longer served."""
    tree = tmp_path_factory.mktemp("models") / "stars"
    (tree / "3").mkdir(parents=True)
    (tree / "3" / "saved_model.pb").write_bytes(b"")
    served_gan.export(tree / "12")
    return tree


@pytest.fixture(scope="session")
def running(model_tree: Path) -> Iterator[Any]:
    with in_process(model_tree, "stars", read_timeout=1.5, max_delay=0.005) as server:
        yield server


@pytest.fixture
def client(running: Any) -> Client:
    assert running.process.poll() is None
    return running.client


@pytest.fixture(scope="session")
def tools() -> SimpleNamespace:
    """What tests of this folder share, as they cannot import one another."""
    return SimpleNamespace(
        in_thread=in_thread, in_process=in_process, StandIn=StandIn, OneMore=OneMore, rows=rows, DRAW=DRAW
    )
