"""Processes that work on several processors at once, started anew: a fork of one that uses TensorFlow hangs."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import keras_t2i

__all__ = ["Crew"]

_MODULE = "keras_t2i.data.packing_worker"


class Crew(contextlib.AbstractContextManager["Crew"]):
    """Some processes of `keras_t2i.data.packing_worker`, started when they are first needed, ended with the block.

    Args:
        size: How many at most.
    """

    def __init__(self, size: int) -> None:
        self._free: queue.SimpleQueue[subprocess.Popen[str] | None] = queue.SimpleQueue()
        for _ in range(size):
            self._free.put(None)
        self._all: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._all:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            if any(exception):
                process.terminate()
        for process in self._all:
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def do(self, job: dict[str, Any]) -> Any:
        """Has a job done by a process that is free, and waits for it; threads call it at once.

        Raises:
            OSError: if it could not be done.
            ValueError: likewise.
        """
        process = self._free.get()
        try:
            if process is None:
                process = self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        finally:
            self._free.put(process)
        if not line:
            raise OSError(f"A process that packs images has ended ({process.wait()}): it may have run out of memory.")
        answer = json.loads(line)
        if "error" not in answer:
            return answer["done"]
        raise ValueError(answer["error"]) if answer["errno"] is None else OSError(answer["errno"], answer["error"])

    def _started(self) -> subprocess.Popen[str]:
        here = str(Path(keras_t2i.__file__).parents[1])
        path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
        )
        self._all.append(process)
        return process
