"""Several devices of one machine, and two workers: the steps of one device, and runs that survive."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from keras_t2i.cli import main
from keras_t2i.core.devices import Devices
from keras_t2i.data import shapes
from keras_t2i.training.cluster import Cluster, meet
from keras_t2i.training.together import check_same_data

HERE = Path(__file__).parent
PATHS = os.pathsep.join(map(str, (HERE.parents[1], HERE.parent, HERE)))
GOES_ON = "Nothing that was saved is lost: run the same again on all of them to go on from the last checkpoint."


def start(script: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "PYTHONPATH": PATHS, "TF_NUM_INTRAOP_THREADS": "1", **environment}
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def config(ports: list[int], worker: int) -> str:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}})


# -- devices of one machine --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("devices")
    process = start("shared_steps.py", directory)
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output
    return directory


@pytest.mark.parametrize("family", ["compact", "dcgan"])
def test_two_devices_take_the_steps_of_one(place: Path, family: str) -> None:
    """With plain gradient descent a sum in the place of a mean would double every step."""
    with np.load(place / "steps.npz") as found:
        one, two = (
            {name.removeprefix(f"{family}/{n}/"): found[name] for name in found if name.startswith(f"{family}/{n}/")}
            for n in (1, 2)
        )
    assert one.keys() == two.keys()
    assert len(one) > 60
    assert one["moved"] > 0.01
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=0, atol=1e-6, err_msg=name)


def test_what_cannot_be_shared_is_said_in_one_line(place: Path) -> None:
    three, some, odd, scope, penalty, *_ = (place / "told.txt").read_text(encoding="utf-8").splitlines()
    assert three.startswith("3 devices were asked for, and TensorFlow has 2 ")
    assert "must be 'all' or a number of at least 1; got 'some'" in some
    assert odd.startswith(
        "Batches of 3 images cannot be shared by 2 devices in equal parts: take a batch size of 2 or "
    )
    assert not (place / "odd").exists()
    assert "call `fit` outside of it" in scope
    assert "pass penalty=None (--penalty none), or train on one" in penalty


def test_a_run_on_two_devices_resumes_to_the_bit_and_goes_on_with_one(place: Path) -> None:
    *_, equal, after = (place / "told.txt").read_text(encoding="utf-8").splitlines()
    assert equal == "True"
    assert after == "11 1 (1, 32, 32, 3)"


def test_more_devices_than_there_are_are_refused_by_the_command(capsys: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", "shapes", "-o", str(tmp_path / "run"), "--devices", "99"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("Error: 99 devices were asked for, and TensorFlow has 1 ")
    assert not (tmp_path / "run").exists()


# -- workers that meet -------------------------------------------------------------------------------------------------


def met(addresses: tuple[str, ...], told: list[dict[str, Any]], minutes: float = 0.5) -> list[str]:
    """What each of so many workers is told; "begin" for those that may."""
    return said([partial(meet, Cluster(addresses, worker), told[worker], minutes) for worker in range(len(told))])


def said(workers: Sequence[Callable[[], object]]) -> list[str]:
    """What each of several workers, a thread each, is told; "begin" for those that may."""
    results = [""] * len(workers)

    def one(worker: int) -> None:
        try:
            workers[worker]()
            results[worker] = "begin"
        except ValueError as error:
            results[worker] = str(error)

    threads = [threading.Thread(target=one, args=(worker,)) for worker in range(len(workers))]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    return results


def addresses(count: int) -> tuple[str, ...]:
    return tuple(f"127.0.0.1:{port}" for port in free_ports(count))


def test_workers_begin_once_all_are_there_and_the_port_is_free_again() -> None:
    three = addresses(3)
    assert met(three, [{"seed": 1}] * 3) == ["begin"] * 3
    assert met(three, [{"seed": 1}] * 3) == ["begin"] * 3


def test_a_worker_that_does_not_come_is_named_to_all_who_did() -> None:
    three = addresses(3)
    began = time.monotonic()
    assert set(met(three, [{}] * 2, minutes=0.02)) == {
        f"Worker 2 of 3, {three[2]}, did not come within 0.02 minutes: start the same command there, or wait longer "
        "(--wait-minutes)."
    }
    assert time.monotonic() - began < 10


def test_the_first_worker_is_waited_for_no_longer_than_was_said() -> None:
    two = addresses(2)
    with pytest.raises(ValueError, match=r"Worker 0, .* was not there within 0.01 minutes: start the same command"):
        meet(Cluster(two, 1), {}, 0.01)


def test_workers_that_differ_are_told_in_what() -> None:
    told = [{"batch_size": 32, "family": "mlp"}, {"batch_size": 32, "family": "mlp"}, {"batch_size": 16, "seed": 1}]
    line = (
        "Worker 2 differs from worker 0 in batch_size (16 there, 32 at worker 0), family (None there, mlp at worker "
        "0), seed (1 there, None at worker 0): start the same command everywhere."
    )
    assert met(addresses(3), told) == [line] * 3


def test_who_is_no_worker_is_sent_away_and_does_not_hold_up_the_others() -> None:
    two = addresses(2)
    threading.Timer(0.3, stray, args=(two[0],)).start()
    first = threading.Thread(target=meet, args=(Cluster(two, 0), {}, 0.5))
    first.start()
    time.sleep(0.8)
    assert first.is_alive()
    meet(Cluster(two, 1), {}, 0.5)
    first.join()


def stray(address: str) -> None:
    host, port = address.split(":")
    for message in (b"GET / HTTP/1.1\n", b'{"worker": 1}\n', b"[]\n", b""):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(message)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "TF_CONFIG must be JSON"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', "TF_CONFIG must be JSON"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}', "TF_CONFIG must be JSON"),
        ('{"cluster": {"worker": ["a", "b:2"]}, "task": {"type": "worker", "index": 0}}', "TF_CONFIG must be JSON"),
        (
            '{"cluster": {"worker": ["a:1", "b:2"], "ps": ["c:3"]}, "task": {"type": "worker", "index": 0}}',
            "TF_CONFIG names 'ps'",
        ),
    ],
)
def test_a_bad_tf_config_is_one_line(monkeypatch: Any, text: str, line: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=line) as error:
        Cluster.of_environment()
    assert "\n" not in str(error.value)


def test_one_worker_is_no_cluster_and_a_chief_comes_first(monkeypatch: Any) -> None:
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}')
    assert Cluster.of_environment() is None
    task = '"task": {"type": "worker", "index": 0}'
    monkeypatch.setenv("TF_CONFIG", f'{{"cluster": {{"worker": ["b:2"], "chief": ["a:1"]}}, {task}}}')
    assert Cluster.of_environment() == Cluster(("a:1", "b:2"), 1)


class InThisProcess(Devices):
    """One of two workers that are threads."""

    num_workers = 2
    told: ClassVar[dict[int, Any]] = {}
    both_told = threading.Barrier(2, timeout=30)

    def __init__(self, worker: int) -> None:
        self.worker = worker

    def gather(self, told: Any) -> list[Any]:
        self.told[self.worker] = told
        self.both_told.wait()
        return [self.told[worker] for worker in range(2)]


def test_workers_with_other_data_are_told_so_and_those_with_the_same_begin() -> None:
    def checked(*data: Any) -> list[str]:
        return said([partial(check_same_data, InThisProcess(worker), data[worker]) for worker in range(2)])

    some, again, fewer, others = (
        shapes(image_size=32, num_images=count, batch_size=8, seed=seed)
        for count, seed in ((24, 3), (24, 3), (16, 3), (24, 4))
    )
    assert checked(some, again) == ["begin"] * 2
    line = (
        "Worker 1 has other data than worker 0: {} images to train on, and 24 at worker 0; where that is the same "
        "number, other images or captions. Give all of them the same."
    )
    assert checked(some, fewer) == [line.format(16)] * 2
    assert checked(some, others) == [line.format(24)] * 2


# -- workers that train ------------------------------------------------------------------------------------------------


def pair(place: Path, steps: int, *killed_at: str) -> list[tuple[int, str]]:
    """How both workers ended, and what they said."""
    ports = free_ports(2)
    # The second is the one that is killed.
    processes = [
        start("one_worker.py", place, steps, *(killed_at if worker else ()), TF_CONFIG=config(ports, worker))
        for worker in range(2)
    ]
    outputs = [process.communicate(timeout=500)[0] for process in processes]
    return [(process.returncode, output) for process, output in zip(processes, outputs, strict=True)]


def weights(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as found:
        return dict(found)


def test_two_workers_end_alike_and_with_the_weights_of_one(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    for code, output in pair(tmp_path / "two", 5):
        assert code == 0, output
    first, second = (weights(tmp_path / "two" / f"worker-{worker}.npz") for worker in range(2))
    alone = start("one_worker.py", tmp_path / "one", 5)
    output, _ = alone.communicate(timeout=500)
    assert alone.returncode == 0, output
    one = weights(tmp_path / "one" / "worker-0.npz")
    assert one.keys() == first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(second[name], first[name], err_msg=name)
        np.testing.assert_allclose(first[name], one[name], rtol=0, atol=1e-6, err_msg=name)
    files = [{path.name for path in (tmp_path / each / "run").rglob("*")} for each in ("one", "two")]
    assert files[0] == files[1]  # One writer, and nothing of its own.


@pytest.mark.slow
def test_a_run_goes_on_after_one_of_two_workers_was_killed(tmp_path: Path) -> None:
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    for code, output in pair(tmp_path / "whole", 12):
        assert code == 0, output
    (code, said), (killed, _) = pair(tmp_path / "killed", 12, "checkpoint-000003")
    assert killed == -signal.SIGKILL
    assert code != 0
    assert GOES_ON in said, said
    assert not (tmp_path / "killed" / "worker-0.npz").exists()
    for code, output in pair(tmp_path / "killed", 12):
        assert code == 0, output
        assert "Continuing" in output
    for worker in range(2):
        whole, again = (weights(tmp_path / name / f"worker-{worker}.npz") for name in ("whole", "killed"))
        for name, value in whole.items():
            np.testing.assert_array_equal(again[name], value, err_msg=name)
