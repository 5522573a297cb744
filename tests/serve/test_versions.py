"""Other versions of a model: which one is to be live, and what becomes of requests while it changes."""

from __future__ import annotations

import gc
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import one_line

from keras_t2i.serve.model import Model
from keras_t2i.serve.protocol import Signature, Tensor
from keras_t2i.serve.versions import Versions

GRAPH, WEIGHTS = "saved_model.pb", "variables/variables.data-00000-of-00001"


def put(tree: Path, version: int, content: str = "graph") -> Path:
    folder = tree / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GRAPH).write_text(content)
    return folder


def found(versions: Versions, live: int) -> tuple[int, Path] | None:
    """What two looks find: the version, and the folder that it would be loaded from."""
    assert versions.find(live) is None, "a version is looked at twice before it is touched"
    answer = versions.find(live)
    return None if answer is None else (answer[0], answer[1]())


def test_the_greatest_version_is_to_be_live_and_to_take_it_away_rolls_back(tmp_path: Path) -> None:
    versions = Versions(tmp_path, lambda path: path)
    put(tmp_path, 9)
    assert found(versions, live=9) is None
    ten = put(tmp_path, 10)
    (tmp_path / "11.part").mkdir()
    assert found(versions, live=9) == (10, ten)
    assert found(versions, live=10) is None
    eleven = put(tmp_path, 11)
    assert found(versions, live=10) == (11, eleven)
    assert found(versions, live=11) is None
    shutil.rmtree(eleven)
    version, load = versions.find(11) or (0, None)  # At once: it was whole when it was live.
    assert (version, load and load()) == (10, ten)
    assert found(versions, live=10) is None
    shutil.rmtree(ten)
    assert found(versions, live=10) == (9, tmp_path / "9")
    shutil.rmtree(tmp_path / "9")
    assert found(versions, live=9) is None


def test_a_folder_that_is_being_copied_is_let_be(tmp_path: Path) -> None:
    versions = Versions(tmp_path, lambda path: path)
    put(tmp_path, 1)
    for size in range(1, 5):
        put(tmp_path, 2, "x" * size)
        assert versions.find(1) is None
    assert versions.find(1) is not None


def test_what_was_refused_is_not_tried_again_until_it_changes(tmp_path: Path) -> None:
    versions = Versions(tmp_path, lambda path: path)
    put(tmp_path, 1)
    two = put(tmp_path, 2)
    assert found(versions, live=1) == (2, two)
    assert found(versions, live=1) is None
    assert found(versions, live=1) is None
    put(tmp_path, 2, "whole graph")
    assert found(versions, live=1) == (2, two)


def test_a_saved_model_by_itself_has_no_other_versions(tmp_path: Path) -> None:
    (put(tmp_path, 5) / GRAPH).rename(tmp_path / GRAPH)
    put(tmp_path, 6)
    assert found(Versions(tmp_path, lambda path: path), live=1) is None
    assert found(Versions(tmp_path / "gone", lambda path: path), live=1) is None


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_who_came_before_a_change_is_answered_by_the_version_they_came_to(tools: Any) -> None:
    old, new = tools.StandIn(), tools.StandIn()
    source = tools.OneMore(2, lambda: new)
    with tools.in_thread(old, source=source, max_batch_size=1, max_delay=0) as running:
        client, pinned = running.client, "/v1/models/toy/versions/1:predict"
        old.gate.clear()
        with ThreadPoolExecutor(4) as threads:
            early = [threads.submit(client.predict, {"instances": tools.rows(name)}, pinned) for name in "abc"]
            until(lambda: running.server.service.batcher.queued_rows == 2)
            source.is_there = True
            until(lambda: len(running.lines) == 2)
            late = threads.submit(client.predict, {"instances": tools.rows("d")})
            until(lambda: running.server.service.batcher.queued_rows == 3)
            old.gate.set()
            assert [answer.result().status for answer in (*early, late)] == [200] * 4
        assert sorted(prompts[0] for _, prompts in old.calls) == [b"a", b"b", b"c"]
        assert [prompts for _, prompts in new.calls] == [[b"d"]]
        assert running.lines[1] == "Version 2 is served from now on, in the place of version 1."
        assert client.get("/v1/models/toy").json["model_version_status"][0]["version"] == "2"
        assert client.predict({"instances": tools.rows("e")}, pinned).status == 404


def raising() -> Any:
    raise ValueError("It is damaged.")


@pytest.mark.parametrize("bad", ["damaged", "inputs", "outputs", "no default", "warm-up"])
def test_a_version_that_would_not_answer_is_refused_in_one_line(bad: str, tools: Any) -> None:
    other = tools.StandIn()
    prompts, image = tools.DRAW.inputs, tools.DRAW.outputs
    if bad == "inputs":
        other.signatures = {"serving_default": Signature({**prompts, "seeds": Tensor("float32")}, image)}
    elif bad == "outputs":
        other.signatures = {"serving_default": Signature(prompts, {"logits": Tensor("float32")})}
    elif bad == "no default":
        other.signatures = {"other": tools.DRAW}
    elif bad == "warm-up":
        other.warm_up = lambda size: raising()
    source = tools.OneMore(2, raising if bad == "damaged" else lambda: other)
    with tools.in_thread(tools.StandIn(), source=source) as running:
        source.is_there = True
        until(lambda: len(running.lines) == 2)
        assert running.lines[1].startswith("Version 2 is refused, version 1 stays: ")
        assert "\n" not in running.lines[1]
        assert running.client.predict({"instances": tools.rows("a")}, "/v1/models/toy/versions/1:predict").status == 200
        assert other.calls == []


class Circle:
    """Memory that is not freed before it is looked for, as that of a real model."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def seldom_collected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("seldom_collected")
def test_what_a_version_took_in_memory_is_free_when_its_last_request_is_answered(tools: Any) -> None:
    freed, gate, calls = threading.Event(), threading.Event(), []

    def old() -> Any:
        model = tools.StandIn()
        model.gate, model.calls, model.circle = gate, calls, Circle()
        weakref.finalize(model.circle, freed.set)
        return model

    source = tools.OneMore(2, tools.StandIn)
    with tools.in_thread(None, old, source, max_batch_size=1) as running, ThreadPoolExecutor(1) as threads:
        assert running.ready.wait(30)
        answer = threads.submit(running.client.predict, {"instances": tools.rows("a")})
        until(lambda: calls)
        source.is_there = True
        until(lambda: len(running.lines) == 2)
        assert not freed.wait(1.5), "a request is under way"
        gate.set()
        assert answer.result().status == 200
        assert freed.wait(20)


@pytest.mark.usefixtures("seldom_collected")
def test_what_a_refused_version_took_in_memory_is_free(tools: Any) -> None:
    freed = threading.Event()

    def other() -> Any:
        model = tools.StandIn()
        model.signatures, model.circle = {}, Circle()
        weakref.finalize(model.circle, freed.set)
        return model

    source = tools.OneMore(2, other)
    with tools.in_thread(tools.StandIn(), source=source) as running:
        source.is_there = True
        assert freed.wait(20)
        assert running.lines[1].startswith("Version 2 is refused")


@pytest.mark.parametrize("file", [GRAPH, WEIGHTS])
def test_a_saved_model_that_is_not_as_it_was_written_is_noticed(file: str, tmp_path: Path, model_tree: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_tree / "12", folder)
    assert set(Model(folder).signatures) > {"serving_default"}
    whole = (folder / file).read_bytes()
    flipped = [bytearray(whole) for _ in range(6)]
    for content, at in zip(flipped, np.random.default_rng(0).integers(len(whole), size=6), strict=True):
        content[at] ^= 1
    for content in (*flipped, whole[: len(whole) // 2]):
        (folder / file).write_bytes(content)
        with pytest.raises(ValueError, match=r"damaged|cannot be loaded|no signatures") as error:
            Model(folder)
        assert str(folder) in one_line(error)
