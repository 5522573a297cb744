"""Rows of several requests in one batch: everyone gets their own, and the queue is bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from keras_t2i.serve.batching import Batcher
from keras_t2i.serve.protocol import Query, RequestError
from keras_t2i.serve.settings import Settings


class Doubler:
    """A model that doubles numbers, one call at a time, while its gate is open."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, signature: str, columns: dict[str, Any]) -> dict[str, np.ndarray]:
        assert threading.current_thread() is not threading.main_thread()
        assert self.gate.wait(10)
        self.batches.append((signature, columns["x"].tolist()))
        if 666 in columns["x"]:
            raise RequestError("an evil number")
        if 404 in columns["x"]:
            return {"y": columns["x"][:-1]}
        return {"y": columns["x"] * 2, "text": np.array(columns["text"], object)}


def query(*numbers: int, signature: str = "double") -> Query:
    return Query(signature, {"x": np.array(numbers), "text": [b"\0%d\0" % n for n in numbers]}, len(numbers), True)


def with_batcher(work: Callable[[Batcher, Doubler], Awaitable[None]], **settings: Any) -> Doubler:
    model = Doubler()

    async def run() -> None:
        with ThreadPoolExecutor(1) as thread:
            batcher = Batcher(thread, Settings(**{"max_batch_size": 4, "max_delay": 0.1, **settings}))
            await work(batcher, model)
            model.gate.set()
            await batcher.stop()
            assert batcher.queued_rows == 0

    asyncio.run(asyncio.wait_for(run(), 20))
    return model


async def started(batcher: Batcher, model: Doubler, *queries: Query) -> list[asyncio.Task[Any]]:
    """Submits, and returns when the first has been taken, without a delay alone, and the rest waits."""
    tasks = []
    for one in queries:
        tasks.append(asyncio.create_task(batcher.submit(one, model)))
        await asyncio.sleep(0.002)
    return tasks


def test_everyone_gets_their_own_whatever_they_share_a_batch_with() -> None:
    async def work(batcher: Batcher, model: Doubler) -> None:
        queries = [query(*range(10 * n, 10 * n + 1 + n % 3)) for n in range(20)]
        for one, answer in zip(
            queries, await asyncio.gather(*(batcher.submit(one, model) for one in queries)), strict=True
        ):
            assert answer["y"].tolist() == (2 * one.columns["x"]).tolist()
            assert answer["text"].tolist() == one.columns["text"]

    model = with_batcher(work)
    assert len(model.batches) < 20
    assert max(len(numbers) for _, numbers in model.batches) == 4


def test_who_is_alone_waits_for_nobody_and_two_find_together() -> None:
    async def work(batcher: Batcher, model: Doubler) -> None:
        async def client(number: int) -> None:
            for _ in range(10):
                await batcher.submit(query(number), model)

        await asyncio.wait_for(client(0), 2)
        assert [numbers for _, numbers in model.batches] == [[0]] * 10
        model.batches.clear()
        await asyncio.gather(client(1), client(2))
        assert [sorted(numbers) for _, numbers in model.batches].count([1, 2]) >= 8

    with_batcher(work, max_delay=1)


def test_long_requests_are_split_and_signatures_kept_apart_in_order() -> None:
    async def work(batcher: Batcher, model: Doubler) -> None:
        model.gate.clear()
        tasks = await started(batcher, model, query(0), query(*range(1, 11)), query(11, signature="other"), query(12))
        model.gate.set()
        answers = await asyncio.gather(*tasks)
        assert answers[1]["y"].tolist() == [2 * n for n in range(1, 11)]

    model = with_batcher(work, max_delay=0)
    assert model.batches == [
        ("double", [0]),
        ("double", [1, 2, 3, 4]),
        ("double", [5, 6, 7, 8]),
        ("double", [9, 10, 12]),
        ("other", [11]),
    ]


def test_who_came_to_one_model_is_answered_by_it_and_not_in_a_batch_with_another() -> None:
    other = Doubler()

    async def work(batcher: Batcher, model: Doubler) -> None:
        model.gate.clear()
        tasks = await started(batcher, model, query(0), query(1))
        tasks += await started(batcher, other, query(2))
        tasks += await started(batcher, model, query(3))
        model.gate.set()
        assert [answer["y"].tolist() for answer in await asyncio.gather(*tasks)] == [[0], [2], [4], [6]]

    model = with_batcher(work, max_delay=0)
    assert [numbers for _, numbers in model.batches] == [[0], [1, 3]]
    assert [numbers for _, numbers in other.batches] == [[2]]


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def work(batcher: Batcher, model: Doubler) -> None:
        model.gate.clear()
        tasks = await started(batcher, model, query(0), query(1, 2, 3), query(4, 5))
        assert (batcher.queued_rows, batcher.full) == (5, False)
        with pytest.raises(RequestError, match="5 rows are waiting, of at most 6") as error:
            await batcher.submit(query(6, 7), model)
        assert error.value.status == 503
        assert int((error.value.headers or {})["Retry-After"]) >= 1
        tasks += await started(batcher, model, query(8))
        assert batcher.full
        model.gate.set()
        await asyncio.gather(*tasks)
        assert not batcher.full

    with_batcher(work, max_queue=6, max_delay=0)


def test_who_leaves_takes_their_rows_out_of_the_queue_and_breaks_no_batch() -> None:
    async def work(batcher: Batcher, model: Doubler) -> None:
        model.gate.clear()
        tasks = await started(batcher, model, query(0, 1), query(2), query(*range(10, 19)), query(3))
        for gone in (tasks[0], tasks[2]):  # One is being answered, one waits.
            gone.cancel()
        await asyncio.sleep(0.01)
        assert batcher.queued_rows == 2
        model.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answers[1]["y"].tolist(), answers[3]["y"].tolist()] == [[4], [6]]

    model = with_batcher(work, max_delay=0)
    assert not [n for _, numbers in model.batches for n in numbers if n >= 14]


def test_a_fault_is_of_the_one_who_made_it() -> None:
    async def work(batcher: Batcher, model: Doubler) -> None:
        model.gate.clear()
        tasks = await started(batcher, model, query(0), query(1), query(666), query(2))
        model.gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[2], RequestError)
        assert [answers[1]["y"].tolist(), answers[3]["y"].tolist()] == [[2], [4]]
        with pytest.raises(RuntimeError, match="1 rows"):
            await batcher.submit(query(404), model)

    model = with_batcher(work, max_delay=0)
    assert [numbers for _, numbers in model.batches] == [[0], [1, 666, 2], [1], [666], [2], [404]]


def test_stopping_answers_what_waits_and_refuses_the_rest() -> None:
    async def work(batcher: Batcher, model: Doubler) -> None:
        model.gate.clear()
        tasks = await started(batcher, model, query(1), query(2), query(3, signature="other"))
        stopped = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="stopping") as error:
            await batcher.submit(query(4), model)
        assert error.value.status == 503
        model.gate.set()
        assert [answer["y"].tolist() for answer in await asyncio.gather(*tasks)] == [[2], [4], [6]]
        await stopped

    with_batcher(work, max_delay=10)
