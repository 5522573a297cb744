"""What a server may be sent by whoever means no good, or speaks HTTP badly: kinds of it, each with how it may end.

`server_under_load.py` sends them; by itself this file does nothing. It needs a server whose `read_timeout` and
`write_timeout` are two seconds, so that slow clients are cut off soon.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import random
import re
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

NAME = "toy"
PATH = f"/v1/models/{NAME}:predict"
ROW = {"prompts": "a red star", "seeds": 3, "truncation": 1.0}
BOUND = 12.0
"""Seconds within which every connection has to end, whatever it sends."""
FLOOD = 300
"""Connections that do nothing: more than a server has room for."""


@dataclasses.dataclass
class Ended:
    """How connections ended: all that came back on them, and whether they did end."""

    received: bytes = b""
    ended: bool = True
    sent: bool = True

    @property
    def statuses(self) -> list[int]:
        """Of the answers, in order: status lines stand where an answer begins, never in a body."""
        return [int(code) for code in re.findall(rb"(?:^|[}\n])HTTP/1\.1 (\d{3}) ", self.received)]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of request.

    Args:
        send: Speaks to the server at a port.
        may: The statuses that its answers may have, each of them in one line of JSON from 400 on.
        answers: How many answers there must be; any number if not given, none among them.
    """

    send: Callable[[int], Ended]
    may: set[int]
    answers: int | None = 1

    def verdict(self, found: Ended) -> str | None:
        """What is wrong with how it ended, if anything."""
        if not found.ended:
            return f"open after {BOUND:g} s"
        if not found.sent:
            return "it could not be sent"
        statuses = [status for status in found.statuses if status != 100]
        if not set(statuses) <= self.may or (self.answers is not None and len(statuses) != self.answers):
            return f"answered {statuses or 'nothing'}"
        if b"access-control-allow" in found.received.lower():
            return "other origins may read the answer"
        if b"Traceback" in found.received or b"\r\nX-Injected" in found.received:
            return "the answer holds what it should not"
        return None


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=BOUND)


def received(connection: socket.socket, deadline: float, until: int | None = None) -> Ended:
    """All that comes until the server ends the connection, or has given that many answers."""
    found = Ended()
    try:
        while until is None or len(found.statuses) < until:
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError
            connection.settimeout(left)
            if not (data := connection.recv(65536)):
                return found
            found.received += data
    except TimeoutError:
        found.ended = False
    except ConnectionError:
        pass
    return found


def raw(*parts: bytes, pause: float = 0.0, half_close: bool = False) -> Callable[[int], Ended]:
    """Sends parts, with pauses, until the server has had enough, and reads what it answers."""

    def send(port: int) -> Ended:
        deadline = time.monotonic() + BOUND
        with connected(port) as connection:
            try:
                for part in parts:
                    connection.settimeout(max(0.01, deadline - time.monotonic()))
                    connection.sendall(part)
                    if pause and select.select([connection], [], [], pause)[0]:
                        break
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            except TimeoutError:
                return Ended(ended=False)
            except ConnectionError:
                pass  # It was cut off: what it was told shows in what is received.
            return received(connection, deadline)

    return send


def head(*headers: str, line: str = f"POST {PATH} HTTP/1.1", host: str = "Host: localhost") -> bytes:
    return "\r\n".join([line, *([host] if host else []), *headers, "", ""]).encode("latin-1")


def post(body: bytes, *headers: str) -> bytes:
    return head(f"Content-Length: {len(body)}", *headers) + body


def body(rows: int = 1, **changes: Any) -> bytes:
    return json.dumps({"instances": [{**ROW, **changes}] * rows}).encode()


def closing(content: bytes, *headers: str) -> Callable[[int], Ended]:
    """A request that is the last on its connection."""
    return raw(post(content, "Connection: close", *headers))


def text(json_text: bytes) -> Callable[[int], Ended]:
    """A prompt, as JSON spells it."""
    return closing(body(prompts="?").replace(b'"?"', json_text))


def get(path: str, method: str = "GET", *headers: str) -> Callable[[int], Ended]:
    return raw(head("Connection: close", *headers, line=f"{method} {path} HTTP/1.1"))


def reset(port: int) -> Ended:
    """Half a body, and then not even a goodbye."""
    with connected(port) as connection:
        connection.sendall(post(body())[:-9])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return Ended()


def leaves(port: int) -> Ended:
    """Asks for as much as it may, twenty times, and is gone."""
    for _ in range(20):
        with connected(port) as connection:
            connection.sendall(post(body(16)))
    return Ended()


def flood(port: int) -> Ended:
    """Connections that say nothing; while they are open, one more is told when to come back."""
    deadline = time.monotonic() + BOUND
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(port)) for _ in range(FLOOD)]
        one_more = raw(head("Connection: close", line="GET /healthz HTTP/1.1"))(port)
        told = one_more.statuses == [503] and b"retry-after: " in one_more.received.lower()
        ends = [received(connection, deadline) for connection in idle]
    statuses = b"".join(end.received for end in ends)
    return Ended(statuses, all(end.ended for end in ends), sent=told)


def unread(port: int) -> Ended:
    """Asks for megabytes, takes none of them for twice as long as it may, and then looks what is still there."""
    asked = 60
    large = json.dumps({"signature_name": "generate", "instances": [ROW] * 16}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(BOUND)
        connection.connect(("127.0.0.1", port))
        with contextlib.suppress(ConnectionError):
            connection.sendall(post(large) * asked)
        time.sleep(5)
        found = received(connection, time.monotonic() + 10 * BOUND)  # Through so small a window it takes its time.
    return Ended(found.received, found.ended, sent=len(found.statuses) < asked)


def after_continue(port: int) -> Ended:
    """Asks whether it may send, as it should, and then does."""
    deadline = time.monotonic() + BOUND
    with connected(port) as connection:
        connection.sendall(head(f"Content-Length: {len(body())}", "Expect: 100-continue", "Connection: close"))
        told = received(connection, deadline, until=1)
        connection.sendall(body())
        rest = received(connection, deadline)
    return Ended(told.received + rest.received, rest.ended, sent=told.statuses == [100])


def bytewise(content: bytes) -> Callable[[int], Ended]:
    return raw(*(bytes([byte]) for byte in content), pause=0.1)


CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body()), body())
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
BOMB = gzip.compress(bytes(2**26))
NOISE = random.Random(0).randbytes(4096)
REFUSED = {400}

KINDS: dict[str, Kind] = {
    "a connection that says nothing": Kind(raw(), {408}),
    "half a request line": Kind(raw(b"POST /v1/mod"), {408}),
    "headers byte by byte": Kind(bytewise(head("Content-Length: 5")), {408}),
    "a header now and then": Kind(raw(head()[:-2], *[b"X-A: b\r\n"] * 50, pause=0.4), {408}),
    "a body byte by byte": Kind(bytewise(post(body())), {408}),
    "a body that never comes": Kind(raw(head("Content-Length: 100")), {408}),
    "chunks that stop": Kind(raw(head(CHUNKED), b"5\r\nhe"), {408}),
    "half-closed before its body": Kind(raw(head("Content-Length: 100"), half_close=True), REFUSED, None),
    "half-closed after its body": Kind(raw(post(body()), half_close=True), {200}, None),
    "reset within its body": Kind(reset, set(), 0),
    "clients that leave": Kind(leaves, set(), 0),
    f"{FLOOD} idle connections": Kind(flood, {408, 503}, FLOOD),
    "answers that are not read": Kind(unread, {200}, None),
    "a header of 100,000 bytes": Kind(raw(head("X: " + "y" * 100_000)), REFUSED),
    "10,000 headers": Kind(raw(head(*["X: y"] * 20_000)), REFUSED),
    "an address of 100,000 bytes": Kind(get("/" + "x" * 100_000), {400, 404}),
    "Content-Length of ten terabytes": Kind(raw(head("Content-Length: 9999999999999"), b"{"), {413}),
    "the same, after asking": Kind(raw(head("Content-Length: 9999999999999", "Expect: 100-continue")), {413}),
    "a negative Content-Length": Kind(raw(head("Content-Length: -1")), REFUSED),
    "Content-Length +5": Kind(raw(head("Content-Length: +5"), b"hello"), REFUSED),
    "two Content-Lengths": Kind(raw(head("Content-Length: 5", "Content-Length: 6"), b"hello!"), REFUSED),
    "a Content-Length that is too short": Kind(raw(head("Content-Length: 9"), body()), REFUSED),
    "a body over the limit": Kind(closing(b'{"instances": "' + b"x" * 2**21 + b'"}'), {413}),
    "chunks without an end": Kind(raw(head(CHUNKED), *[b"40000\r\n" + b"x" * 2**18 + b"\r\n"] * 300), {413}, None),
    "a chunk of size zz": Kind(raw(head(CHUNKED), b"zz\r\n"), REFUSED),
    "a chunk of negative size": Kind(raw(head(CHUNKED), b"-5\r\nhello\r\n"), REFUSED),
    "a chunk of 2**124 bytes": Kind(raw(head(CHUNKED), b"f" * 31 + b"\r\n"), REFUSED),
    "a chunk longer than it says": Kind(raw(head(CHUNKED), b"2\r\nhello\r\n0\r\n\r\n"), REFUSED),
    "Content-Length and chunks": Kind(raw(head(f"Content-Length: {len(CHUNKS)}", CHUNKED), CHUNKS, HIDDEN), REFUSED),
    "the same, the other way about": Kind(raw(head("Content-Length: 5", CHUNKED), b"0\r\n\r\n", HIDDEN), REFUSED),
    "chunks in HTTP/1.0": Kind(raw(head(CHUNKED, line=f"POST {PATH} HTTP/1.0"), CHUNKS, HIDDEN), REFUSED),
    "Transfer-Encoding: xchunked": Kind(raw(head("Transfer-Encoding: xchunked"), CHUNKS), REFUSED),
    "Transfer-Encoding: chunked, identity": Kind(raw(head(CHUNKED + ", identity"), CHUNKS), REFUSED),
    "a space before the colon": Kind(raw(head("Content-Length : 5"), b"hello"), REFUSED),
    "a lone CR in a header": Kind(raw(head("X: a\rContent-Length: 5"), b"hello"), REFUSED),
    "a NUL in a header": Kind(raw(head("X: a\0b")), REFUSED),
    "CRLF in an address": Kind(get("/v1/models/a%0d%0aX-Injected:%20b"), {405}),
    "CRLF in a version": Kind(get(f"/v1/models/{NAME}/versions/1%0d%0aX-Injected:%20b"), {405}),
    "20 requests at once": Kind(raw(post(body()) * 19, post(body(), "Connection: close")), {200}, 20),
    "a request, then noise": Kind(raw(post(body()), NOISE), {200, 400}, None),
    "noise": Kind(raw(NOISE, b"\r\n\r\n"), REFUSED),
    "the beginning of TLS": Kind(raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), REFUSED),
    "the beginning of HTTP/2": Kind(raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), {400, 404}, 2),
    "HTTP/0.9": Kind(raw(b"GET /healthz\r\n\r\n"), REFUSED),
    "no Host": Kind(raw(head(host="", line="GET /healthz HTTP/1.1")), REFUSED),
    "two Hosts": Kind(raw(head("Host: elsewhere", line="GET /healthz HTTP/1.1")), REFUSED),
    "a Host and Origin from elsewhere": Kind(
        raw(head("Origin: http://evil.example", f"Content-Length: {len(body())}", "Connection: close",
                 host="Host: evil.example") + body()), {200}),
    "a browser that asks for another origin": Kind(
        get(PATH, "OPTIONS", "Origin: http://evil.example", "Access-Control-Request-Method: POST"), {405}),
    "a WebSocket": Kind(get("/healthz", "GET", "Connection: Upgrade", "Upgrade: websocket"), {200}),
    "CONNECT": Kind(raw(head(line="CONNECT evil.example:443 HTTP/1.1")), {404, 405}),
    "TRACE": Kind(get(PATH, "TRACE"), {405}),
    "a method of 1,000 letters": Kind(get(PATH, "X" * 1000), {405}),
    "an address of another server": Kind(get("http://evil.example/healthz"), {404}),
    "an address that leads up": Kind(get("/v1/models/../../../etc/passwd"), {404}),
    "the same, encoded": Kind(get("/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd"), {404}),
    "an address that is no text": Kind(get("/v1/models/%ff%00%fe"), {404}),
    "a version of 6,000 digits": Kind(get(f"/v1/models/{NAME}/versions/{'9' * 6000}"), {404}),
    "a Range": Kind(closing(body(), "Range: bytes=0-10"), {200}),
    "Expect: 100-continue": Kind(after_continue, {200}),
    "Expect: a miracle": Kind(closing(body(), "Expect: a miracle"), {200, 417}),
    "a bomb of gzip, said so": Kind(closing(BOMB, "Content-Encoding: gzip"), {415}),
    "a bomb of gzip, not said so": Kind(closing(BOMB), REFUSED),
    "no JSON": Kind(closing(b"prompts=a"), REFUSED),
    "UTF-16": Kind(closing(body().decode().encode("utf-16")), REFUSED),
    "bytes that are no UTF-8": Kind(closing(body().replace(b"red", b"\xc3\x28")), REFUSED),
    "a list 500,000 deep": Kind(closing(b"[" * 500_000), REFUSED),
    "an object 100,000 deep": Kind(closing(b'{"a":' * 100_000), REFUSED),
    "NaN": Kind(closing(body().replace(b"1.0", b"NaN")), REFUSED),
    "1e999": Kind(closing(body().replace(b"1.0", b"1e999")), REFUSED),
    "a number of 100,000 digits": Kind(closing(body().replace(b" 3,", b" " + b"9" * 100_000 + b",")), REFUSED),
    "a seed of 2**64": Kind(closing(body(seeds=2**64)), REFUSED),
    "the least seed": Kind(closing(body(seeds=-(2**63))), {200}),
    "text for a number": Kind(closing(body(truncation="1.0")), REFUSED),
    "a list for a prompt": Kind(closing(body(prompts=["a"])), REFUSED),
    "one key twice": Kind(closing(body().replace(b'"seeds"', b'"seeds": 4, "seeds"')), {200}),
    "no rows": Kind(closing(b'{"instances": []}'), REFUSED),
    "1,000 rows": Kind(closing(body(1000)), REFUSED),
    "a prompt of 100,000 characters": Kind(closing(body(prompts="a" * 100_000)), REFUSED),
    "a prompt of NULs": Kind(text(b'"' + rb"\u0000" * 100 + b'"'), {200}),
    "half of a surrogate pair": Kind(text(rb'"\ud800"'), REFUSED),
    "a signature that starts the model": Kind(
        closing(b'{"signature_name": "__saved_model_init_op", "instances": [1]}'), REFUSED),
}  # fmt: skip
