"""The machines that train together, as `TF_CONFIG` names them, and how they meet before TensorFlow starts.

TensorFlow waits for ever for a worker that never comes, and for ever where two of them build different models. So they
meet first: over plain sockets, at the address of the first, which tells all of them to begin, or why not.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Cluster", "meet"]

_GREETING = "keras-t2i worker"
_LONGEST = 1 << 16
_PAUSE = 0.2
_ANSWER_WITHIN = 10.0
"""Seconds in which who connects has to say who it is."""


@dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Args:
        addresses: Host and port of each, as `"host:port"`; the first is the chief, which writes files.
        worker: Number of this one among them.
    """

    addresses: tuple[str, ...]
    worker: int

    @classmethod
    def of_environment(cls) -> Self | None:
        """Those of `TF_CONFIG`; `None` where that names no other than this one.

        Raises:
            ValueError: if it cannot be understood.
        """
        text = os.environ.get("TF_CONFIG")
        if not text:
            return None
        try:
            told = json.loads(text)
            cluster = told.get("cluster") or {}
            tasks = [(job, n) for job in ("chief", "worker") for n in range(len(cluster.get(job, [])))]
            addresses = tuple(str(cluster[job][number]) for job, number in tasks)
            if len(addresses) < 2:
                return None
            task = told["task"]
            worker = tasks.index((task["type"], int(task["index"])))
            for address in addresses:
                _host_and_port(address)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                "TF_CONFIG must be JSON with the workers' addresses and which of them this is, as in "
                '{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}; '
                f"got {text[:200]!r}."
            ) from error
        if others := set(cluster) - {"chief", "worker"}:
            raise ValueError(f"TF_CONFIG names {sorted(others)[0]!r}; there is nothing but 'chief' and 'worker' here.")
        return cls(addresses, worker)


def meet(cluster: Cluster, told: Mapping[str, Any], minutes: float) -> None:
    """Returns in all workers once all are there and tell the same.

    Whoever can reach the first worker's port can take part, as in TensorFlow's own protocol on it afterwards: let it be
    a private network.

    Args:
        cluster: The workers.
        told: What has to be the same in all, by name, made of what JSON can hold.
        minutes: How long to wait.

    Raises:
        ValueError: if one does not come in that time, or tells something else: in all that are there.
    """
    until = time.monotonic() + 60 * minutes
    plain = json.loads(json.dumps(told))  # As it arrives.
    (_receive if cluster.worker == 0 else _report)(cluster, plain, minutes, until)


# -- the first worker ------------------------------------------------------------------------------------------------


def _receive(cluster: Cluster, told: dict[str, Any], minutes: float, until: float) -> None:
    waiting: dict[int, tuple[socket.socket, dict[str, Any]]] = {}
    with contextlib.ExitStack() as closing, _listening(cluster.addresses[0]) as server:
        closing.callback(_close, waiting)
        while len(waiting) < len(cluster.addresses) - 1:
            if time.monotonic() > until:
                _refuse(waiting, _absent(cluster, waiting, minutes))
            with contextlib.suppress(TimeoutError):
                _welcome(server.accept()[0], cluster, waiting)
            for number in [number for number, (connection, _) in waiting.items() if not _is_there(connection)]:
                waiting.pop(number)[0].close()
        for number, (_, theirs) in sorted(waiting.items()):
            if difference := _difference(number, theirs, told):
                _refuse(waiting, difference)
        for connection, _ in waiting.values():
            _send(connection, {"begin": True})
        for connection, _ in waiting.values():  # They close first, so that the port is free at once.
            connection.settimeout(_ANSWER_WITHIN)
            with contextlib.suppress(OSError):
                connection.recv(1)


def _listening(address: str) -> socket.socket:
    _, port = _host_and_port(address)
    try:
        server = socket.create_server(("", port), backlog=128)
    except OSError as error:
        raise ValueError(f"Worker 0 cannot listen at {address} ({error.strerror or error}): is it in use?") from error
    server.settimeout(_PAUSE)
    return server


def _welcome(
    connection: socket.socket, cluster: Cluster, waiting: dict[int, tuple[socket.socket, dict[str, Any]]]
) -> None:
    """Takes down who it is; whoever else has found the port is sent away."""
    connection.settimeout(_ANSWER_WITHIN)
    try:
        message = _read(connection)
        number = message["worker"]
        if message["greeting"] != _GREETING or number not in range(1, len(cluster.addresses)):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        connection.close()
        return
    if number in waiting and _is_there(waiting[number][0]):
        _send(connection, {"error": f"There are two workers {number}: TF_CONFIG must number each of them differently."})
        connection.close()
        return
    waiting[number] = (connection, message["told"])


def _refuse(waiting: dict[int, tuple[socket.socket, dict[str, Any]]], why: str) -> None:
    for connection, _ in waiting.values():
        _send(connection, {"error": why})
    raise ValueError(why)


def _close(waiting: Mapping[int, tuple[socket.socket, dict[str, Any]]]) -> None:
    for connection, _ in waiting.values():
        connection.close()


def _absent(cluster: Cluster, waiting: Mapping[int, Any], minutes: float) -> str:
    missing = [number for number in range(1, len(cluster.addresses)) if number not in waiting]
    first = missing[0]
    more = f" (nor did {len(missing) - 1} more)" if len(missing) > 1 else ""
    return (
        f"Worker {first} of {len(cluster.addresses)}, {cluster.addresses[first]}, did not come within {minutes:g} "
        f"minutes{more}: start the same command there, or wait longer (--wait-minutes)."
    )


def _difference(number: int, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    differing = [name for name in sorted(ours.keys() | theirs.keys()) if theirs.get(name) != ours.get(name)]
    if not differing:
        return ""
    listed = ", ".join(f"{name} ({theirs.get(name)} there, {ours.get(name)} at worker 0)" for name in differing[:3])
    return f"Worker {number} differs from worker 0 in {listed}: start the same command everywhere."


def _is_there(connection: socket.socket) -> bool:
    """Whether the other side has neither closed the connection nor died."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(_ANSWER_WITHIN)


# -- the others ------------------------------------------------------------------------------------------------------


def _report(cluster: Cluster, told: dict[str, Any], minutes: float, until: float) -> None:
    message = {"greeting": _GREETING, "worker": cluster.worker, "told": told}
    while time.monotonic() < until:
        # An older process may still listen there, or none yet; then it is tried again.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with socket.create_connection(_host_and_port(cluster.addresses[0]), timeout=_ANSWER_WITHIN) as connection:
                _send(connection, message)
                connection.settimeout(max(until - time.monotonic(), 0) + _ANSWER_WITHIN)
                answer = _read(connection)
            if answer.get("begin"):
                return
            why = str(answer["error"])
            break
        time.sleep(_PAUSE)
    else:
        why = (
            f"Worker 0, {cluster.addresses[0]}, was not there within {minutes:g} minutes: start the same command "
            "there, or wait longer (--wait-minutes)."
        )
    raise ValueError(why)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{address!r} is no host:port")
    return host.strip("[]"), int(port)


def _send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # Who is gone comes again, or is missed.
        connection.sendall(json.dumps(message).encode() + b"\n")


def _read(connection: socket.socket) -> dict[str, Any]:
    """A line of JSON.

    Raises:
        ValueError: if it is none, or ends before.
    """
    content = b""
    while not content.endswith(b"\n"):
        part = connection.recv(4096)
        if not part or len(content) > _LONGEST:
            raise ValueError("no line of JSON")
        content += part
    message = json.loads(content)
    if not isinstance(message, dict):
        raise ValueError("no line of JSON")
    return message
