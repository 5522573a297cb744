"""A bounded queue of requests, and the one thread in which TensorFlow answers them, several at a time."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_t2i.serve.protocol import Column, Query, RequestError
from keras_t2i.serve.settings import Settings

__all__ = ["Batcher"]

Outputs = dict[str, np.ndarray]
Run = Callable[[str, dict[str, Column]], Outputs]
"""Answers a signature's columns; may raise."""


@dataclasses.dataclass(eq=False)
class _Part:
    """Rows that go into one batch together: a request, or a piece of a long one."""

    run: Run
    signature: str
    columns: dict[str, Column]
    rows: int
    arrived: float
    answer: asyncio.Future[Outputs]


class Batcher:
    """Gathers the rows of several requests into one call of the model.

    While one call runs, what arrives is gathered for the next. When it ends, the rest of those who were there are given
    milliseconds to come back, and who is alone waits for nobody. Rows of one model's signature share a batch, in the
    order of their arrival, and the oldest request always goes first. Batches are not padded to a few sizes: the graph
    takes any, and no row depends on the others, so that padding would cost time and bring nothing.

    Args:
        thread: A single one, in which models run.
        settings: The limits.
        observe: Told the rows and seconds of every batch.
    """

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        settings: Settings,
        observe: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self._thread, self._settings, self._observe = thread, settings, observe
        self._queue: deque[_Part] = deque()
        self._arrival = asyncio.Event()
        self._stopping = False
        self._seconds_per_row = 0.0
        self._company = 1
        self.queued_rows = 0
        self._worker = asyncio.create_task(self._work())

    @property
    def full(self) -> bool:
        return self.queued_rows >= self._settings.max_queue

    async def submit(self, query: Query, run: Run) -> Outputs:
        """Answers a query by a model. If the caller is cancelled, what still waits leaves the queue.

        Raises:
            RequestError: with 503 if the queue is full or closed, or what the model raised.
        """
        if self._stopping:
            raise RequestError("The server is stopping.", 503, {"Retry-After": "1", "Connection": "close"})
        if self.queued_rows + query.rows > self._settings.max_queue:
            wait = max(1, math.ceil(self.queued_rows * self._seconds_per_row))
            raise RequestError(
                f"{self.queued_rows} rows are waiting, of at most {self._settings.max_queue}: try again in {wait} s.",
                503,
                {"Retry-After": str(wait)},
            )
        parts = list(self._parts(query, run))
        self._queue.extend(parts)
        self.queued_rows += query.rows
        self._arrival.set()
        try:
            answers = await asyncio.gather(*(part.answer for part in parts))
        finally:  # After an answer nothing of it is left in the queue.
            for part in parts:
                part.answer.cancel()
                if part in self._queue:
                    self._queue.remove(part)
                    self.queued_rows -= part.rows
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    async def stop(self) -> None:
        """Refuses what comes, and returns when all that waited is answered."""
        self._stopping = True
        self._arrival.set()
        await self._worker

    def _parts(self, query: Query, run: Run) -> Iterator[_Part]:
        loop, size = asyncio.get_running_loop(), self._settings.max_batch_size
        for start in range(0, query.rows, size):
            columns = {name: column[start : start + size] for name, column in query.columns.items()}
            rows = min(size, query.rows - start)
            yield _Part(run, query.signature, columns, rows, loop.time(), loop.create_future())

    async def _work(self) -> None:
        while True:
            while not self._queue:
                if self._stopping:
                    return
                self._arrival.clear()
                await self._arrival.wait()
            await self._wait_for_company()
            await self._answer_oldest()

    async def _wait_for_company(self) -> None:
        """Returns when as many rows are there as were of late, or the oldest request has waited its time."""
        loop, limits = asyncio.get_running_loop(), self._settings
        deadline = self._queue[0].arrived + limits.max_delay
        while self._queue and not self._stopping and self.queued_rows < self._company:
            left = deadline - loop.time()
            if left <= 0:
                return
            self._arrival.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arrival.wait()
            except TimeoutError:
                return

    def _take(self) -> list[_Part]:
        """The oldest request and, behind it, those of the same model and signature that fit into its batch."""
        batch: list[_Part] = []
        room = self._settings.max_batch_size
        for part in list(self._queue):
            alike = not batch or (part.run, part.signature) == (batch[0].run, batch[0].signature)
            if room >= part.rows and alike:
                batch.append(part)
                room -= part.rows
                self._queue.remove(part)
                self.queued_rows -= part.rows
            if not room:
                break
        return batch

    async def _answer_oldest(self) -> None:
        """Apart from the loop, which would keep a batch, and with it its model, until the next one comes."""
        if batch := self._take():
            await self._answer(batch)
            present = sum(part.rows for part in batch) + self.queued_rows
            self._company = min(present, self._settings.max_batch_size)

    async def _answer(self, batch: list[_Part]) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            outputs = await loop.run_in_executor(self._thread, self._call, batch)
        except Exception as error:
            if len(batch) > 1:  # Whose fault it was shows when each is asked alone.
                for part in batch:
                    await self._answer([part])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        rows, seconds = sum(part.rows for part in batch), loop.time() - start
        self._seconds_per_row += (0.1 if self._seconds_per_row else 1.0) * (seconds / rows - self._seconds_per_row)
        self._observe(rows, seconds)
        first = 0
        for part in batch:
            if not part.answer.done():  # It is, if the client has gone.
                part.answer.set_result({name: value[first : first + part.rows] for name, value in outputs.items()})
            first += part.rows

    def _call(self, batch: list[_Part]) -> Outputs:
        outputs = batch[0].run(batch[0].signature, {name: _joined(batch, name) for name in batch[0].columns})
        rows = sum(part.rows for part in batch)
        if any(len(value) != rows for value in outputs.values()):
            raise RuntimeError(f"{batch[0].signature} was given {rows} rows and answered another number of them.")
        return outputs


def _joined(batch: list[_Part], name: str) -> Column:
    columns: list[Any] = [part.columns[name] for part in batch]
    if isinstance(columns[0], list):
        return [value for column in columns for value in column]
    return np.concatenate(columns)
