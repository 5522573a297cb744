"""Does `keras-t2i serve` keep its word when it is crowded, attacked, given new versions and told to stop?

    python examples/benchmarks/server_under_load.py                  # Ten minutes of two quiet cores
    python examples/benchmarks/server_under_load.py --requests 10000
    python examples/benchmarks/server_under_load.py --rows reload --swaps 20

Prints tables; what to expect: `examples/results/shipping.md`. Each row says what has to hold, and proves that what it
speaks of took place: that the queue was full, that requests were on their way when versions changed or the server was
told to stop. A server in a process of its own serves the smallest model; clients are in this one.

- `clients`: many at once, with a short queue. Every answer is the image that was asked for, or 503 and when to return.
- `hostile`: the kinds of `hostile_requests.py`, and after each one a request that must be answered right.
- `reload`: versions come, go and are bad while eight clients ask. None is dropped, and no bad version is served.
- `stop`: SIGTERM while eight clients ask, to a process that serves anew each time. What was taken on is answered.

Needs Linux (memory is read from /proc) and `keras-t2i[serve]`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import collections
import contextlib
import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hostile_requests import BOUND, KINDS, NAME, PATH
from PIL import Image

QUEUE = 16
ALONE = 30
ASKERS = 8
PATIENCE = 120.0
MEMORY = 64.0
"""MiB by which a server may grow."""
FACTOR = 1.5
STARTS_WITHIN, STOPS_WITHIN = 600.0, 10.0
ROWS = [{"prompts": f"a {word} star", "seeds": seed, "truncation": 1.0} for seed, word in enumerate(("red", "blue"))]
BODIES = [json.dumps({"instances": [row]}).encode() for row in ROWS]
PREDICTIONS, STOPPED = re.compile(r'keras_t2i_requests_total{code="(\d+)",endpoint="predict"} (\S+)'), "# stopped"


@dataclasses.dataclass
class Running:
    """A server in a process of its own, and the lines that it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = dataclasses.field(default_factory=list)

    @property
    def port(self) -> int:
        address = next(line for line in reversed(self.lines) if line.startswith("http://"))
        return int(address.split(":")[2].split("/")[0])

    def memory(self) -> float:
        """Resident, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def work(self) -> float:
        """Seconds of processors that it has had."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def told(self, part: str) -> int:
        return sum(part in line for line in self.lines)

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())


@contextlib.contextmanager
def started(directory: Path, **settings: Any) -> Iterator[Running]:
    command = [sys.executable, __file__, "--serve", json.dumps({"directory": str(directory), **settings})]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    running = Running(process)
    listener = threading.Thread(target=running.listen)
    listener.start()
    try:
        wait_for(lambda: bool(running.lines) or process.poll() is not None, STARTS_WITHIN)
        if not running.lines:
            raise RuntimeError("The server did not start.")
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        listener.join()
        process.stdout.close()  # type: ignore[union-attr]


def serve_here(directory: str, times: int = 1, **settings: Any) -> None:
    """What the process of a server does: it serves, so many times in turn, and prints what it answered each time."""
    from keras_t2i.serve import server
    from keras_t2i.serve.model import first
    from keras_t2i.serve.settings import Settings

    def announce(line: str) -> None:
        print(line, flush=True)

    if times == 1:
        server.serve(directory, NAME, port=0, announce=announce, **settings)
        return
    model = first(directory)
    for _ in range(times):
        one = server.Server(lambda: model, NAME, port=0, settings=Settings(**settings), announce=announce)
        one.run()
        announce(one.service.metrics.text().decode() + STOPPED)


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@dataclasses.dataclass
class Outcome:
    """What came of requests."""

    latencies: list[float] = dataclasses.field(default_factory=list)
    busy: int = 0
    wrong: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    closed: int = 0
    """Not answered with a single byte."""
    refused: int = 0
    """Not even connected."""
    images: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    """Answers by the number of the reference that they equal."""

    @property
    def lost(self) -> int:
        return self.wrong.total() + self.closed + self.refused

    def milliseconds(self, percent: float) -> float:
        return 1000 * float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image).astype(int)


def answered(answer: bytes) -> np.ndarray:
    return pixels(base64.b64decode(json.loads(answer)["predictions"][0]["b64"]))


def drawn(model: Path) -> list[np.ndarray]:
    """The images of `ROWS`, without a server."""
    from keras_t2i.serve.model import Model

    columns: dict[str, Any] = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    columns["prompts"] = [prompt.encode() for prompt in columns["prompts"]]
    return [pixels(png) for png in Model(model).run("serving_default", columns)["image_bytes"]]


class Crowd:
    """Clients, each of which sends its next request when its last is answered.

    Args:
        port: Of the server.
        references: For each version of the model, the images of `ROWS`; every answer has to be one of a version.
        pause: Seconds that each client leaves between an answer and its next request.
    """

    def __init__(self, port: int, references: list[list[np.ndarray]], pause: float = 0.0) -> None:
        self.port, self.references, self.pause = port, references, pause
        self.outcome, self.under_way, self.stopped = Outcome(), 0, False
        self._known: dict[tuple[int, bytes], int | None] = {}

    async def ask(self, clients: int, requests: int | None = None) -> None:
        """Sends so many requests, or goes on until `stopped`."""
        numbers = iter(range(requests if requests is not None else sys.maxsize))
        await asyncio.gather(*(self._client(numbers) for _ in range(clients)))

    async def _client(self, numbers: Iterator[int]) -> None:
        streams: Any = None
        for number in numbers:
            if self.stopped:
                break
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.outcome.refused += 1
                break  # Nobody listens any more.
            if not await self._ask(*streams, number):
                streams[1].close()
                streams = None
            if self.pause:
                await asyncio.sleep(self.pause)
        if streams is not None:
            streams[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        """One request; whether the connection may be used again."""
        start = time.perf_counter()
        self.under_way += 1
        try:
            async with asyncio.timeout(PATIENCE):
                status, headers, answer = await exchange(reader, writer, BODIES[number % 2])
        except TimeoutError:
            self.outcome.wrong["no answer"] += 1
            return False
        except asyncio.IncompleteReadError as error:
            if error.partial:
                self.outcome.wrong["cut off"] += 1
            else:
                self.outcome.closed += 1
            return False
        except OSError:
            self.outcome.closed += 1
            return False
        finally:
            self.under_way -= 1
        self._note(number, status, headers, answer, time.perf_counter() - start)
        if status == 503:
            await asyncio.sleep(min(1.0, float(headers.get("retry-after", "1"))))
        return headers.get("connection") != "close"

    def _found(self, row: int, answer: bytes) -> int | None:
        """Which version's image of a row an answer is. Each is looked at once: clients must be quick."""
        if (row, answer) not in self._known:
            image = answered(answer)
            near = [n for n, each in enumerate(self.references) if np.abs(image - each[row]).max() <= 1]
            self._known[row, answer] = near[0] if near else None
        return self._known[row, answer]

    def _note(self, number: int, status: int, headers: dict[str, str], answer: bytes, seconds: float) -> None:
        if status == 200:
            found = self._found(number % 2, answer)
            if found is not None:
                self.outcome.latencies.append(seconds)
                self.outcome.images[found] += 1
            else:
                self.outcome.wrong["another image"] += 1
        elif status == 503 and "retry-after" in headers:
            self.outcome.busy += 1
        else:
            self.outcome.wrong[str(status)] += 1


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """One request and its answer: the least that speaks HTTP."""
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if line)
    try:
        return int(first.split(" ")[1]), headers, await reader.readexactly(int(headers["content-length"]))
    except asyncio.IncompleteReadError as error:
        raise asyncio.IncompleteReadError(error.partial or b"head", error.expected) from error


def is_right(port: int, references: list[np.ndarray]) -> bool:
    """Whether an ordinary request is answered as ever; who is told to come back later does."""
    crowd = Crowd(port, [references])
    deadline = time.monotonic() + BOUND
    while len(crowd.outcome.latencies) < len(ROWS) and not crowd.outcome.lost and time.monotonic() < deadline:
        asyncio.run(crowd.ask(1, len(ROWS)))
    return len(crowd.outcome.latencies) >= len(ROWS) and not crowd.outcome.lost


def clients(model: Path, numbers: list[int], requests: int) -> tuple[list[dict[str, Any]], list[str]]:
    """For each number of clients what came of their requests, and what did not hold."""
    rows, failures = [], []
    references = drawn(model)
    with started(model, max_queue=QUEUE) as server:
        asyncio.run(Crowd(server.port, [references]).ask(max(numbers), 100))  # What is done once.
        before = server.memory()
        for number in numbers:
            crowd, single = Crowd(server.port, [references]), Crowd(server.port, [references])
            asyncio.run(single.ask(1, ALONE))  # Before and after, as the machine may have other work.
            asyncio.run(crowd.ask(number, requests // len(numbers)))
            asyncio.run(single.ask(1, ALONE))
            outcome, one = crowd.outcome, single.outcome.milliseconds(50)
            bound = FACTOR * (QUEUE + 1) * one
            rows.append(
                {
                    "clients": number,
                    "answered": len(outcome.latencies),
                    "503": outcome.busy,
                    "wrong or lost": outcome.lost,
                    "one alone, ms": round(one, 1),
                    "p50 ms": round(outcome.milliseconds(50), 1),
                    "p99 ms": round(outcome.milliseconds(99), 1),
                    "p99 may be": round(bound, 1),
                }
            )
            if outcome.lost or outcome.milliseconds(99) > bound:
                failures.append(f"{number} clients: {dict(outcome.wrong)}, see the table")
        grown = server.memory() - before
    if max(numbers) > QUEUE + 8 and not rows[-1]["503"]:
        failures.append("The queue was never full: nothing was shown of overload.")
    if grown > MEMORY:
        failures.append(f"The server grew by {grown:.0f} MiB.")
    rows.append({"clients": "memory", "answered": f"{grown:+.0f} MiB"})
    return rows, failures


def hostile(model: Path, kinds: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """What the kinds came to, by what they were answered, and what did not hold."""
    failures, ends = [], collections.Counter[str]()
    seconds: dict[str, float] = {}
    references = drawn(model)
    with started(model, read_timeout=2.0, write_timeout=2.0) as server:
        for name in ("a list 500,000 deep", "a body over the limit"):  # What is done once.
            KINDS[name].send(server.port)
        before = server.memory()
        for name in kinds:
            start = time.monotonic()
            found = KINDS[name].send(server.port)
            seconds[name] = time.monotonic() - start
            if wrong := KINDS[name].verdict(found):
                failures.append(f"{name}: {wrong}")
            if not is_right(server.port, references):
                failures.append(f"{name}: the request after it was not answered right")
            ends[" and ".join(map(str, sorted(set(found.statuses) - {100}))) or "no answer"] += 1
        grown = server.memory() - before
        if server.process.poll() is not None:
            failures.append("The server has ended.")
    if grown > MEMORY:
        failures.append(f"The server grew by {grown:.0f} MiB.")
    rows = [{"answered with": end, "kinds": number} for end, number in sorted(ends.items())]
    slowest = max(seconds, key=lambda name: seconds[name])
    rows.append({"answered with": f"memory {grown:+.0f} MiB; longest: {slowest}, {seconds[slowest]:.1f} s"})
    return rows, failures


def changed(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def flip(content: bytearray) -> None:
    content[len(content) // 2] ^= 16


def cut(content: bytearray) -> None:
    del content[len(content) // 2 :]


def not_finite(folder: Path) -> None:
    """Writes NaN into the first weight that is a float, as a training gone wrong would."""
    import tensorflow as tf

    prefix = str(folder / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_dtype_map())
    values = [reader.get_tensor(name) for name in names]
    first = next(n for n, value in enumerate(values) if getattr(value, "dtype", None) == np.float32 and value.size > 1)
    values[first] = np.full_like(values[first], np.nan)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    (folder / "fingerprint.pb").unlink()


def other_model(folder: Path) -> None:
    """A SavedModel that is sound, and takes something else."""
    import tensorflow as tf

    shutil.rmtree(folder)
    spec = [tf.TensorSpec((None,), tf.float32, "x")]
    module = tf.Module()
    tf.saved_model.save(module, str(folder), signatures=tf.function(lambda x: {"y": 2.0 * x}, input_signature=spec))


def other_format(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "generator.tflite").write_bytes(b"TFL3")


GRAPH, WEIGHTS = "saved_model.pb", "variables/variables.data-00000-of-00001"
BAD: dict[str, Callable[[Path], None]] = {
    "one bit of the graph": lambda folder: changed(folder / GRAPH, flip),
    "one bit of the weights": lambda folder: changed(folder / WEIGHTS, flip),
    "half of the graph": lambda folder: changed(folder / GRAPH, cut),
    "half of the weights": lambda folder: changed(folder / WEIGHTS, cut),
    "copied without its weights": lambda folder: shutil.rmtree(folder / "variables"),
    "copied without its graph": lambda folder: (folder / GRAPH).unlink(),
    "weights of NaN": not_finite,
    "another format": other_format,
    "another model": other_model,
    "no graph but a page": lambda folder: (folder / GRAPH).write_bytes(b"<html>404</html>") and None,
}


@dataclasses.dataclass
class Upgrades:
    """A server whose versions come and go, those who ask it meanwhile, and what did not hold.

    Args:
        tree: The folder of versions.
        models: Two SavedModels that draw different images.
        server: Serves the tree.
        crowd: Asks it.
    """

    tree: Path
    models: list[Path]
    server: Running
    crowd: Crowd
    live: list[tuple[int, int]] = dataclasses.field(default_factory=lambda: [(1, 0)])
    """Versions and which of the models each is, the one that has to be live last."""
    failures: list[str] = dataclasses.field(default_factory=list)
    memory: list[float] = dataclasses.field(default_factory=list)
    changes: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    """How long each took, and the server's work meanwhile, both in seconds."""

    @contextlib.contextmanager
    def asked_meanwhile(self, what: str) -> Iterator[collections.Counter[int]]:
        before = self.crowd.outcome.images.copy()
        yield before
        if self.crowd.outcome.images.total() == before.total():
            self.failures.append(f"{what}: nothing was asked meanwhile.")

    def swap(self, number: int) -> None:
        """The other model takes the place of the live one: in a new version or, each fourth time, in the one before."""
        with self.asked_meanwhile(f"Swap {number}"):
            if number % 4 == 3:
                shutil.rmtree(self.tree / str(self.live.pop()[0]))
            else:
                other = 1 - self.live[-1][1]
                self.live.append((number + 2, other))
                copied(self.models[other], self.tree / str(number + 2))
            version, model = self.live[-1]
            start, work = time.monotonic(), self.server.work()
            if not wait_for(lambda: self.server.lines[-1].startswith(f"Version {version} is served")):
                self.failures.append(f"Version {version} was not served: {self.server.lines[-1]}")
            self.changes.append((time.monotonic() - start, self.server.work() - work))
        images = self.crowd.outcome.images
        enough = images[model] + 2 * ASKERS
        if not wait_for(lambda: images[model] > enough):
            self.failures.append(f"Version {version} was served and did not answer.")
        self.memory.append(self.server.memory())

    def refuse(self, bad: str) -> None:
        """A bad version comes, and may not be served, and is spoken of once."""
        version, model = self.live[-1]
        told, images = self.server.told("is refused"), self.crowd.outcome.images
        with self.asked_meanwhile(bad) as before:
            copied(self.models[1 - model], self.tree / "1000", BAD[bad])
            wait_for(lambda: self.server.told("is refused") > told, 30)
            time.sleep(2.5)  # For as long as it takes to be looked at twice.
        if self.server.told("is refused") != told + 1 or f"version {version} stays" not in self.server.lines[-1]:
            self.failures.append(f"{bad}: {self.server.told('is refused') - told} lines; {self.server.lines[-1]}")
        if images[1 - model] > before[1 - model]:
            self.failures.append(f"{bad}: it answered.")
        shutil.rmtree(self.tree / "1000")


def reload(models: list[Path], swaps: int, bad: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """What came of requests while versions came and went, and what did not hold."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / NAME
        shutil.copytree(models[0], tree / "1")
        references = [drawn(model) for model in models]
        with started(tree, max_batch_size=2) as server, crowd_at(server.port, references, pause=0.1) as crowd:
            upgrades = Upgrades(tree, models, server, crowd)
            for number in range(max(swaps, len(bad))):
                if number < swaps:
                    upgrades.swap(number)
                if number < len(bad):
                    upgrades.refuse(bad[number])
    outcome, failures = crowd.outcome, upgrades.failures
    grown = upgrades.memory[-1] - upgrades.memory[min(1, swaps - 1)]  # By then two were in memory at once.
    dropped = outcome.lost + outcome.busy
    if min(np.abs(a - b).max() for a, b in zip(*references, strict=True)) <= 2:
        failures.append("The two versions draw alike: nothing was shown of who answered.")
    if dropped:
        failures.append(f"Dropped: {dict(outcome.wrong)}, {outcome.closed} closed, {outcome.busy} told to come back")
    if grown > MEMORY:
        failures.append(f"The server grew by {grown:.0f} MiB over the swaps.")
    row = {
        "swaps": swaps,
        "bad versions": len(bad),
        "requests": len(outcome.latencies),
        "dropped or wrong": dropped,
        "p99 ms": round(outcome.milliseconds(99), 1),
        "longest ms": round(outcome.milliseconds(100), 1),
        "longest change": "{:.1f} s, {:.1f} s of a processor".format(*max(upgrades.changes)),
        "memory": f"{grown:+.0f} MiB",
    }
    return [row], failures


def copied(model: Path, folder: Path, spoil: Callable[[Path], None] = lambda folder: None) -> None:
    """Puts a version there at once, as one should."""
    beside = folder.with_name("coming")
    shutil.copytree(model, beside)
    spoil(beside)
    beside.rename(folder)


@contextlib.contextmanager
def crowd_at(port: int, references: list[list[np.ndarray]], pause: float = 0.0) -> Iterator[Crowd]:
    """Clients in a thread, that ask until the end."""
    crowd = Crowd(port, references, pause)
    thread = threading.Thread(target=lambda: asyncio.run(crowd.ask(ASKERS)))
    thread.start()
    try:
        yield crowd
    finally:
        crowd.stopped = True
        thread.join()


def stop(model: Path, times: int) -> tuple[list[dict[str, Any]], list[str]]:
    """What came of requests when a server was told to stop, so many times in one process: a row, what did not hold."""
    failures: list[str] = []
    total, slowest, under_way, lost = Outcome(), 0.0, 0, 0
    references = drawn(model)
    with started(model, times=times, max_batch_size=2) as server:
        for turn in range(times):
            wait_for(lambda: server.told("http://") > turn)  # noqa: B023
            first = len(server.lines)
            with crowd_at(server.port, [references]) as crowd:
                outcome = crowd.outcome
                wait_for(lambda: len(outcome.latencies) > 5 * ASKERS + turn and crowd.under_way >= ASKERS // 2)  # noqa: B023
                waiting = crowd.under_way
                start = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                wait_for(lambda: server.told(STOPPED) > turn)  # noqa: B023
                seconds = time.monotonic() - start
            counted = {
                found[1]: int(float(found[2])) for found in map(PREDICTIONS.match, server.lines[first:]) if found
            }
            answers, given_up = counted["200"], sum(counted.values()) - counted["200"] - counted.get("503", 0)
            missing = answers + given_up - len(outcome.latencies)
            if missing or outcome.wrong or seconds > STOPS_WITHIN or not waiting:
                failures.append(
                    f"Stop {turn}: {missing} of {answers} answers lost, {dict(outcome.wrong)}, after {seconds:.1f} s, "
                    f"{waiting} on their way"
                )
            lost += missing + outcome.wrong.total()
            slowest, under_way = max(slowest, seconds), under_way + waiting
            total.latencies += outcome.latencies
            total.busy += outcome.busy
            total.closed += outcome.closed
            total.refused += outcome.refused
        start = time.monotonic()
        wait_for(lambda: server.process.poll() is not None)
        ended = time.monotonic() - start
        if server.process.poll() != 0 or ended > STOPS_WITHIN:
            failures.append(f"At last the process ended with {server.process.poll()}, after {ended:.1f} s.")
    row = {
        "stops": times,
        "on their way then": under_way,
        "answered": len(total.latencies),
        "503": total.busy,
        "closed unanswered": total.closed,
        "not connected": total.refused,
        "taken on and lost": lost,
        "slowest stop": f"{slowest:.1f} s",
        "end of the process": f"{ended:.1f} s",
    }
    return [row], failures


def table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    cells = [names, ["---"] * len(names), *([str(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def exported(folder: Path, seed: int) -> Path:
    """The smallest model, with random weights, made in a process of its own, whose memory ends with it."""
    code = """
import sys
import keras
from keras_t2i import TextToImageGAN
from keras_t2i.networks import MLPDiscriminator, MLPGenerator
from keras_t2i.text import TextEncoder
keras.utils.set_random_seed(int(sys.argv[2]))
networks = MLPGenerator(32, latent_dim=4, text_width=4, widths=(8, 8)), MLPDiscriminator(32, 4, widths=(8, 8))
gan = TextToImageGAN(TextEncoder.from_preset("caption_mini_en"), *networks)
gan.compile()
for weight in gan.generator.trainable_weights:
    weight.assign(weight + keras.random.normal(weight.shape, stddev=0.5))
gan.ema_generator.set_weights(gan.generator.get_weights())
gan.export(sys.argv[1])
"""
    path = folder / str(seed)
    subprocess.run([sys.executable, "-c", code, str(path), str(seed)], check=True, stderr=subprocess.DEVNULL)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=("clients", "hostile", "reload", "stop"), help="default: all")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64], help="how many at once, in turn")
    parser.add_argument("--requests", type=int, default=2000, help="over all numbers of clients")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_here(**json.loads(options.serve))
        return 0
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        models = [exported(Path(folder), seed) for seed in range(2)]
        rows: dict[str, Callable[[], tuple[list[dict[str, Any]], list[str]]]] = {
            "clients": lambda: clients(models[0], options.clients, options.requests),
            "hostile": lambda: hostile(models[0], list(KINDS)),
            "reload": lambda: reload(models, options.swaps, list(BAD)),
            "stop": lambda: stop(models[0], options.stops),
        }
        for name in options.rows or rows:
            found, wrong = rows[name]()
            print(table(found), *(f"FAILED {name}: {each}" for each in wrong), "", sep="\n", flush=True)
            failures += wrong
    return len(failures) > 0


if __name__ == "__main__":
    sys.exit(main())
