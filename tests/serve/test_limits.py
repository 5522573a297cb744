"""What a server does at its limits: full, slow, left alone by its clients, told to stop."""

from __future__ import annotations

import ctypes
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.005)


def post(client: Any, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {client.predict_path} HTTP/1.1", "Host: x", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def queued(running: Any) -> int:
    batcher = running.server.service.batcher
    return 0 if batcher is None else batcher.queued_rows


def test_a_full_queue_gets_503_and_is_not_ready(tools: Any) -> None:
    model = tools.StandIn()
    with (
        tools.in_thread(model, max_queue=2, max_batch_size=1, max_delay=0) as running,
        ThreadPoolExecutor(3) as threads,
    ):
        client = running.client
        assert client.get("/readyz").status == 200
        model.gate.clear()
        accepted = [threads.submit(client.predict, {"instances": tools.rows("0")})]
        eventually(lambda: len(model.calls) == 1)
        accepted += [threads.submit(client.predict, {"instances": tools.rows(name)}) for name in "12"]
        eventually(lambda: queued(running) == 2)
        refused = client.predict({"instances": tools.rows("4")})
        assert (refused.status, client.metric("keras_t2i_queue_rows")) == (503, 2)
        assert int(refused.headers["retry-after"]) >= 1
        assert "2 rows are waiting" in refused.json["error"]
        ready = client.get("/readyz")
        assert (ready.status, ready.json) == (503, {"error": "The queue is full."})
        assert client.get("/healthz").status == 200
        model.gate.set()
        assert sorted(done.result().json["predictions"][0]["b64"] for done in accepted) == ["MA==", "MQ==", "Mg=="]
        assert client.get("/readyz").status == 200


def test_not_ready_before_the_model_is(tools: Any) -> None:
    loading = threading.Event()

    def load() -> Any:
        assert loading.wait(30)
        return tools.StandIn()

    with tools.in_thread(None, load) as running:
        client = running.client
        assert client.get("/healthz").status == 200
        for answer in (
            client.get("/readyz"),
            client.predict({"instances": tools.rows("a")}),
            client.get("/v1/models/toy/metadata"),
        ):
            assert (answer.status, answer.json) == (503, {"error": "The model is being loaded."})
            assert answer.headers["retry-after"] == "1"
        assert client.get("/v1/models/toy").json["model_version_status"][0]["state"] == "LOADING"
        loading.set()
        assert running.ready.wait(10)
        assert client.get("/readyz").status == 200
        assert client.predict({"instances": tools.rows("a")}).status == 200


def test_a_client_that_leaves_costs_nothing_that_was_not_begun(tools: Any) -> None:
    model = tools.StandIn()
    with tools.in_thread(model, max_batch_size=1, max_delay=0) as running, ThreadPoolExecutor(2) as threads:
        client = running.client
        model.gate.clear()
        first = threads.submit(client.predict, {"instances": tools.rows("first")})
        eventually(lambda: len(model.calls) == 1)
        body = json.dumps({"instances": tools.rows("gone", "gone", "gone")}).encode()
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            connection.sendall(post(client, body, f"Content-Length: {len(body)}"))
            eventually(lambda: queued(running) == 3)
        eventually(lambda: queued(running) == 0)
        last = threads.submit(client.predict, {"instances": tools.rows("last")})
        eventually(lambda: queued(running) == 1)
        model.gate.set()
        assert [first.result().status, last.result().status] == [200, 200]
        assert [prompts for _, prompts in model.calls] == [[b"first"], [b"last"]]
        assert client.metric('keras_t2i_requests_total{code="499",endpoint="predict"}') == 1


def test_a_bug_of_the_model_is_a_500_of_one_line_that_tells_nothing(tools: Any) -> None:
    with tools.in_thread(tools.StandIn()) as running:
        answer = running.client.predict({"instances": tools.rows("bug")})
        assert (answer.status, list(answer.json)) == (500, ["error"])
        assert "a bug of the model" not in answer.text
        assert running.client.predict({"instances": tools.rows("a")}).status == 200


@pytest.mark.parametrize("sent", ["nothing", "headers", "body", "trickle", "second request"])
def test_slow_clients_are_cut_off(sent: str, tools: Any) -> None:
    with tools.in_thread(tools.StandIn(), read_timeout=0.4) as running:
        client = running.client
        body = json.dumps({"instances": tools.rows("a")}).encode()
        whole = post(client, body, f"Content-Length: {len(body)}")
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
            answer = b""
            if sent == "second request":
                connection.sendall(whole)
                while b"predictions" not in answer:
                    answer += connection.recv(65536)
                answer = b""
            connection.sendall({"nothing": b"", "body": whole[:-5]}.get(sent, whole[:40]))
            if sent == "trickle":
                connection.settimeout(0.05)
                for byte in whole[40:]:
                    try:
                        connection.sendall(bytes([byte]))
                        answer = connection.recv(65536)
                        break
                    except TimeoutError:
                        continue
                connection.settimeout(10)
            while data := connection.recv(65536):
                answer += data
        assert time.monotonic() - start < 5
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'{"error":' in answer
        assert client.predict({"instances": tools.rows("a")}).status == 200


def test_a_client_that_does_not_take_its_answer_is_cut_off(tools: Any) -> None:
    with tools.in_thread(tools.StandIn(), write_timeout=0.3, max_prompt_bytes=2**21, max_body_bytes=2**26) as running:
        client = running.client
        body = json.dumps({"instances": tools.rows(*["x" * 2**20] * 16)}).encode()
        with socket.create_connection(("127.0.0.1", client.port)) as connection:
            connection.sendall(post(client, body, f"Content-Length: {len(body)}"))
            eventually(lambda: client.metric("keras_t2i_predict_seconds_count") == 1)
            eventually(lambda: not [c for c in running.server._server.server_state.connections if c.flow.write_paused])


def test_answers_are_not_held_back_by_nagles_algorithm(tools: Any) -> None:
    with tools.in_thread(tools.StandIn()) as running:
        body = json.dumps({"instances": tools.rows("a")})
        kept = http.client.HTTPConnection("127.0.0.1", running.client.port, timeout=10)
        start = time.perf_counter()
        for _ in range(50):
            kept.request("POST", running.client.predict_path, body)
            assert kept.getresponse().read().startswith(b'{"predictions"')
        (connection,) = running.server._server.server_state.connections
        taken = connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        kept.close()
        assert taken
        assert time.perf_counter() - start < 1.5  # Else 2 seconds and more: 40 ms for each but the first.


def test_too_many_connections_are_turned_away(tools: Any) -> None:
    with tools.in_thread(tools.StandIn(), max_connections=2) as running:
        idle = [socket.create_connection(("127.0.0.1", running.client.port)) for _ in range(2)]
        eventually(lambda: len(running.server._server.server_state.connections) == 2)
        refused = running.client.raw()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1" in refused
        for connection in idle:
            connection.close()
        eventually(lambda: not running.server._server.server_state.connections)
        assert running.client.get("/healthz").status == 200


def test_stopping_finishes_what_was_accepted_and_refuses_the_rest(tools: Any) -> None:
    model = tools.StandIn()
    with tools.in_thread(model, max_batch_size=1) as running, ThreadPoolExecutor(2) as threads:
        client = running.client
        kept = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
        body = json.dumps({"instances": tools.rows("late")}).encode()
        kept.putrequest("POST", client.predict_path)
        kept.putheader("Content-Length", str(len(body)))
        kept.endheaders()
        eventually(lambda: len(running.server._server.server_state.tasks) == 1)
        model.gate.clear()
        accepted = threads.submit(client.predict, {"instances": tools.rows("a", "b")})
        eventually(lambda: queued(running) == 1)
        running.server.stop()
        eventually(lambda: not _listens(client.port))
        kept.send(body)  # It was let in before, and is answered too.
        model.gate.set()
        assert accepted.result().status == 200
        assert kept.getresponse().status == 200
        kept.close()
        running.thread.join(10)
        assert not running.thread.is_alive()


@pytest.mark.parametrize("which", ["the first model", "another version"])
def test_stopping_does_not_wait_for_a_model_that_is_tried(which: str, tools: Any) -> None:
    class Long(tools.StandIn):
        def warm_up(self, max_batch_size: int) -> Iterator[None]:
            for _ in range(3000):
                begun.set()
                time.sleep(0.01)
                yield

    begun, long = threading.Event(), Long()
    source = tools.OneMore(2, lambda: long)
    source.is_there = which == "another version"
    with tools.in_thread(None, lambda: tools.StandIn() if source.is_there else long, source=source) as running:
        assert begun.wait(10)
        running.server.stop()
        running.thread.join(5)
        assert not running.thread.is_alive()
    assert not any(line.startswith("Version") for line in running.lines)


def test_a_request_that_came_while_the_process_was_held_up_is_answered(tools: Any) -> None:
    with tools.in_thread(tools.StandIn()) as running:
        running.server._server.config.timeout_keep_alive = 0.2
        body = json.dumps({"instances": tools.rows("a")}).encode()
        request = post(running.client, body, f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", running.client.port), timeout=10) as connection:
            connection.sendall(request)
            while (first := connection.recv(65536)) and not first.endswith(b"}"):
                pass
            _hold_up_and_send(connection, request, before=0.4)
            answer = b""
            while data := connection.recv(65536):  # Until it is closed, as who sends nothing for long is parted with.
                answer += data
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.partition(b"\r\n\r\n")[2] == first.rpartition(b"\r\n")[2]


def _hold_up_and_send(connection: socket.socket, data: bytes, before: float) -> None:
    """Sends data after seconds in which no other thread of this process runs, and before any other does."""
    held, interval = ctypes.PyDLL(None), sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        time.sleep(0.05)  # The server waits for something to happen, and is told that nothing did.
        held.usleep(int(before * 1e6))
        assert held.send(connection.fileno(), data, len(data), 0) == len(data)
    finally:
        sys.setswitchinterval(interval)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
