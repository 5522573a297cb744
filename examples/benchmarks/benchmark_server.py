"""What do the queue and the batches of `keras-t2i serve` bring? A load test beside a server that has neither.

    python examples/benchmarks/benchmark_server.py       # The packaged shapes_64, 10,000 requests to each server
    python examples/benchmarks/benchmark_server.py --model DIRECTORY --clients 1 8 --requests 2000

Each client sends one row (a caption, a seed) to `serving_default`, waits for the PNG, and sends the next. The plain
server is the simplest honest one: the same artefact behind the same Starlette and uvicorn, one call of the model for
one request, in the order in which they come, without a queue's bound, limits or metrics. Both are started alike and
measured in turn, five times at every number of clients, so that what else the machine does is shared fairly.

Needs Linux (memory and processor time are read from /proc), `keras-t2i[serve]` and, where all of it shares one core,
about five minutes; `taskset -c 1 python examples/benchmarks/benchmark_server.py` ties the servers and the clients to
one core.
What to expect there: with one client nine tenths of the throughput, as there is nothing to gather; with 4 clients 1.2
times, with 16 and more 1.7 times, and half to four fifths of the latency.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

NAME = "benchmark"
ROUNDS = 5
SIZES, COLORS, SHAPES = ("large", "small"), ("red", "green", "blue", "yellow"), ("star", "circle", "ring", "square")
PATIENCE = 120.0
"""Seconds for an answer, or for a server to start, after which it counts as failed: nothing here waits for ever."""


@dataclasses.dataclass
class Outcome:
    """What came of a number of clients."""

    seconds: float = 0.0
    latencies: list[float] = dataclasses.field(default_factory=list)
    busy: int = 0
    failures: int = 0
    cpu_seconds: float = 0.0

    @property
    def throughput(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Of the latencies, in milliseconds."""
        return 1000 * float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")


@dataclasses.dataclass
class Running:
    """A server that answers."""

    process: subprocess.Popen[str]
    port: int

    def memory(self) -> float:
        """Resident, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a SavedModel; by default the preset shapes_64 is exported")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64], help="how many at once, in turn")
    parser.add_argument("--requests", type=int, default=10_000, help="to each server, over all numbers of clients")
    parser.add_argument("--max-batch-size", type=int, default=8)
    parser.add_argument("--max-queue", type=int, default=128)
    parser.add_argument("--max-delay", type=float, default=0.003, help="seconds")
    parser.add_argument("--serve", choices=("batched", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve == "batched":
        serve_batched(options)
    elif options.serve == "plain":
        serve_plain(options.model)
    else:
        with tempfile.TemporaryDirectory() as folder:
            options.model = options.model or exported(Path(folder) / NAME)
            print(benchmark(options))


def exported(directory: Path) -> Path:
    """The packaged preset as a SavedModel, made in a process of its own, whose memory ends with it."""
    code = "import sys, keras_t2i as k; k.TextToImageGAN.from_preset('shapes_64').export(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(directory)], check=True, stderr=subprocess.DEVNULL)
    return directory


def serve_batched(options: argparse.Namespace) -> None:
    from keras_t2i.serve import serve

    limits = {"max_batch_size": options.max_batch_size, "max_queue": options.max_queue, "max_delay": options.max_delay}
    serve(options.model, NAME, port=0, announce=lambda address: print(address, flush=True), **limits)


def serve_plain(model: Path) -> None:
    """One request, one call."""
    from concurrent.futures import ThreadPoolExecutor

    import tensorflow as tf
    import tensorflow_text  # noqa: F401
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    loaded = tf.saved_model.load(str(model))
    function = loaded.signatures["serving_default"]
    thread = ThreadPoolExecutor(1)

    def call(rows: list[dict[str, object]]) -> list[bytes]:
        outputs = function(
            prompts=tf.constant([row["prompts"] for row in rows], tf.string),
            seeds=tf.constant([row["seeds"] for row in rows], tf.int64),
            truncation=tf.constant([row["truncation"] for row in rows], tf.float32),
        )
        return list(outputs["image_bytes"].numpy())

    async def predict(request: Request) -> JSONResponse:
        rows = (await request.json())["instances"]
        images = await asyncio.get_running_loop().run_in_executor(thread, call, rows)
        return JSONResponse({"predictions": [{"b64": base64.b64encode(image).decode()} for image in images]})

    call([{"prompts": "a", "seeds": 0, "truncation": 1.0}])
    app = Starlette(routes=[Route(f"/v1/models/{NAME}:predict", predict, methods=["POST"])])
    config = uvicorn.Config(app, port=0, http="h11", log_level="error", access_log=False)
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/", flush=True)
        await serving

    asyncio.run(run())


@contextlib.contextmanager
def started(kind: str, options: argparse.Namespace) -> Iterator[Running]:
    limits = {name: getattr(options, name) for name in ("max_batch_size", "max_queue", "max_delay")}
    arguments = [part for name, value in limits.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, __file__, "--serve", kind, "--model", str(options.model), *arguments]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        assert process.stdout is not None
        address = process.stdout.readline()
        if not address.startswith("http"):
            raise RuntimeError(f"The {kind} server did not start.")
        yield Running(process, int(address.split(":")[2].split("/")[0]))
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


def benchmark(options: argparse.Namespace) -> str:
    """Loads both servers with every number of clients in turn, and returns the table."""
    outcomes: dict[tuple[str, int], Outcome] = {}
    grown: dict[str, float] = {}
    share = max(1, options.requests // len(options.clients) // ROUNDS)
    with started("batched", options) as batched, started("plain", options) as plain:
        servers = {"batched": batched, "plain": plain}
        for server in servers.values():  # Everything that is done once, at every size of batch.
            asyncio.run(load(server, 16, 400, Outcome()))
        before = {kind: server.memory() for kind, server in servers.items()}
        for clients in options.clients:
            for turn in range(ROUNDS * len(servers)):  # In short turns: a busy machine is busy for both.
                kind = list(servers)[turn % len(servers)]
                outcome = outcomes.setdefault((kind, clients), Outcome())
                asyncio.run(load(servers[kind], clients, share, outcome))
            for kind in servers:
                outcome = outcomes[kind, clients]
                told = f"{outcome.throughput:.0f}/s, {outcome.failures} failures"
                print(f"{kind}, {clients} clients: {told}", file=sys.stderr, flush=True)
        for kind, server in servers.items():
            grown[kind] = server.memory() - before[kind]
        lasting = {kind: f"{before[kind]:.0f} MiB, {grown[kind]:+.0f} MiB after" for kind in servers}
    return "\n".join([*table(outcomes, options.clients), "", *closing(lasting, share * ROUNDS * len(options.clients))])


async def load(server: Running, clients: int, requests: int, outcome: Outcome) -> None:
    """Sends that many requests, each client the next as soon as its last is answered; adds up what came of it."""
    numbers = iter(range(requests))
    start, cpu_start = time.perf_counter(), server.cpu_seconds()
    await asyncio.gather(*(client(server.port, numbers, outcome) for _ in range(clients)))
    outcome.seconds += time.perf_counter() - start
    outcome.cpu_seconds += server.cpu_seconds() - cpu_start


async def client(port: int, numbers: Iterator[int], outcome: Outcome) -> None:
    """One client on one connection, which it opens anew where the server has closed it."""
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for number in numbers:
        start = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                streams = streams or await asyncio.open_connection("127.0.0.1", port)
                status, body = await exchange(*streams, number)
        except (OSError, TimeoutError, EOFError, ValueError):
            outcome.failures += 1
            if streams is not None:
                streams[1].close()
            streams = None
            continue
        if status == 200 and b"iVBORw0KGgo" in body[:60]:  # A PNG file in base64.
            outcome.latencies.append(time.perf_counter() - start)
        elif status == 503:
            outcome.busy += 1
        else:
            outcome.failures += 1
    if streams is not None:
        streams[1].close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> tuple[int, bytes]:
    """One request and its answer: the least that speaks HTTP, as the clients share the core with the servers."""
    words = (SIZES[number % 2], COLORS[number // 2 % 4], SHAPES[number // 8 % 4])
    row = {"prompts": f"a {' '.join(words)}", "seeds": number, "truncation": 1.0}
    body = json.dumps({"instances": [row]}).encode()
    writer.write(
        f"POST /v1/models/{NAME}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


def table(outcomes: dict[tuple[str, int], Outcome], clients: Sequence[int]) -> list[str]:
    lines = [
        "| clients | server | images/s | p50 ms | p99 ms | server CPU ms/image | 503 | failures |",
        "|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for number in clients:
        pair = [outcomes[kind, number] for kind in ("batched", "plain")]
        for kind, outcome in zip(("keras-t2i serve", "plain"), pair, strict=True):
            p50, p99, cpu = outcome.percentile(50), outcome.percentile(99), cpu_ms(outcome)
            lines.append(
                f"| {number} | {kind} | {outcome.throughput:.1f} | {p50:.1f} | {p99:.1f} | {cpu:.1f} | "
                f"{outcome.busy} | {outcome.failures} |"
            )
        ours, plain = pair
        ratios = [
            ours.throughput / plain.throughput if plain.latencies else float("nan"),
            ours.percentile(50) / plain.percentile(50),
            ours.percentile(99) / plain.percentile(99),
            cpu_ms(ours) / cpu_ms(plain),
        ]
        lines.append(f"| {number} | *ratio* | {' | '.join(f'*{ratio:.2f}*' for ratio in ratios)} | | |")
    return lines


def cpu_ms(outcome: Outcome) -> float:
    """Processor time of the server for one image."""
    return 1000 * outcome.cpu_seconds / len(outcome.latencies) if outcome.latencies else float("nan")


def closing(lasting: dict[str, str], requests: int) -> list[str]:
    cores = len(os.sched_getaffinity(0))
    return [
        f"{requests} requests to each server; servers and clients share {cores} core{'s' if cores > 1 else ''}. "
        f"Resident memory: keras-t2i serve {lasting['batched']}; plain {lasting['plain']}."
    ]


if __name__ == "__main__":
    main()
