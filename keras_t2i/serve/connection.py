"""HTTP connections with time limits, which uvicorn does not set on what comes in before a request is complete."""

from __future__ import annotations

import asyncio
import http
import json
import socket
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from keras_t2i.serve.settings import Settings

__all__ = ["connection_class"]

_GRACE = 1.0
"""Seconds that the application has to answer a late request itself, before the connection is cut."""


def connection_class(settings: Settings, count: Callable[[int], None]) -> type[H11Protocol]:
    """A protocol for uvicorn.

    A client that sends a byte now and then, or never takes its answer, holds a connection open as long as it likes:
    here, a request has `read_timeout` seconds to arrive, headers and body, and an answer `write_timeout` to leave.

    Args:
        settings: The limits.
        count: Told the status of answers that are given without the application.
    """
    return type("Connection", (Connection,), {"settings": settings, "count": staticmethod(count)})


class Connection(H11Protocol):
    """A protocol for uvicorn; `connection_class` makes one with limits."""

    settings: Settings
    count: Callable[[int], None]
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # uvicorn writes an answer's head and body apart; without this the body waits 40 ms for the client's nod.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.settings.max_connections:
            self._refuse(503, "Too many connections are open.", "Retry-After: 1\r\n")
        else:
            self._reading = self.loop.call_later(self.settings.read_timeout, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._reading, self._writing)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            _cancel(self._reading)
            self._reading = None
        elif self._reading is None:
            self._reading = self.loop.call_later(self.settings.read_timeout, self._too_slow)

    def timeout_keep_alive_handler(self) -> None:
        # After the process was held up, a request may be there unread: the loop reads before it looks at this timer.
        self.timeout_keep_alive_task = self.loop.call_later(0, super().timeout_keep_alive_handler)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.settings.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._writing)
        self._writing = None

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # An answer is under way, into which another must not be written.
        else:
            self._refuse(400, msg)

    def _too_slow(self) -> None:
        self._reading = None
        if self.conn.their_state is h11.IDLE:
            self._refuse(408, f"The request took longer than {self.settings.read_timeout:g} s to come in.")
        else:  # The application keeps the same time, and is about to answer.
            self._reading = self.loop.call_later(_GRACE, self.transport.abort)

    def _refuse(self, status: int, message: str, headers: str = "") -> None:
        self.count(status)
        body = json.dumps({"error": message}).encode()
        head = (
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{headers}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def _cancel(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
