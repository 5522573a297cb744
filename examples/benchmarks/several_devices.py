"""What more devices bring: measured with two processes on this machine, and computed for graphics cards.

    python examples/benchmarks/several_devices.py measure

trains `compact` on shapes in one process, then in two under `TF_CONFIG` on loopback, each on one thread, by turns, and
prints images a second of each and their ratio, for batches of 32 and of 64 images, of which each of two has half. It
needs two quiet cores and takes about ten minutes; on busy ones it says something about those.

    python examples/benchmarks/several_devices.py paper

prints a table for 1, 8 and 64 graphics cards, computed, not measured: bytes of gradients of the real networks, a ring
all-reduce that nothing else hides, and a time of a step on one card that is assumed. Seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

BATCH, WARM, TIMED = 32, 5, 40
MEASURED = (32, 64)
"""Images of a batch, of all workers together."""
EMBEDDING = 384
"""Numbers of a sentence embedding, which all cards tell each other too: captions are compared over the whole batch."""
LOCAL_CARDS = 8
"""Cards of a machine."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "paper", "worker"])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--step-ms", type=float, default=20.0, help="assumed time of a step of 32 images on one card")
    parser.add_argument("--inside", type=float, default=100.0, help="assumed GB a second between cards of a machine")
    parser.add_argument("--between", type=float, default=10.0, help="assumed GB a second from machine to machine")
    parser.add_argument("--hop-us", type=float, default=10.0, help="assumed time of a message that holds nothing")
    parser.add_argument("--batch", type=int, default=BATCH, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "worker":
        worker(options.batch)
    elif options.what == "measure":
        measure(options.rounds)
    else:
        paper(options)


# -- measured ----------------------------------------------------------------------------------------------------------


def worker(batch: int) -> None:
    """Trains, and prints the images a second of all workers together, as the first sees them."""
    import keras
    import tensorflow as tf

    from keras_t2i.data.synthetic import shapes
    from keras_t2i.models import build_gan
    from keras_t2i.text import TextEncoder
    from keras_t2i.training import on_devices
    from keras_t2i.training.together import share_of

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    with on_devices():
        encoder = TextEncoder.from_preset("caption_mini_en")
        gan = build_gan("compact", encoder)
    data = shapes(image_size=64, batch_size=batch).encode(encoder)
    times: list[float] = []
    clock = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: times.append(time.perf_counter()))
    steps = WARM + TIMED
    gan.fit(share_of(data, gan.devices).train_from(0), steps_per_epoch=steps, epochs=1, callbacks=[clock], verbose=0)
    print(json.dumps({"images_per_second": batch * TIMED / (times[-1] - times[WARM - 1])}), flush=True)


def images_per_second(num_workers: int, batch: int) -> float:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(num_workers)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    running = []
    cores = sorted(os.sched_getaffinity(0))
    for number in range(num_workers):
        told = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(told), "TF_NUM_INTRAOP_THREADS": "1"}
        command = ["taskset", "-c", str(cores[number % len(cores)]), sys.executable, __file__, "worker"]
        command += ["--batch", str(batch)]
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("A worker failed; its lines are above.")
    return json.loads(outputs[0].splitlines()[-1])["images_per_second"]


def measure(rounds: int) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("Two processes are to have a core each, and this one may use one: nothing to measure.")
    for batch in MEASURED:
        found = [(images_per_second(1, batch), images_per_second(2, batch)) for _ in range(rounds)]
        for one, two in found:
            print(f"batch {batch}: one {one:.1f}, two {two:.1f} images a second: {two / one:.2f} times", flush=True)
        print(f"median {statistics.median(two / one for one, two in found):.2f}; load now {os.getloadavg()[0]:.1f}")


# -- on paper ----------------------------------------------------------------------------------------------------------


def trained_weights(family: str) -> int:
    from keras_t2i.networks import FAMILIES

    found = FAMILIES[family]
    assert found.discriminator is not None
    networks = (found.generator(image_size=64), found.discriminator(image_size=64))
    for network in networks:
        network.build_for(EMBEDDING)
    return sum(math.prod(weight.shape) for network in networks for weight in network.trainable_weights)


def seconds_of_talk(num_bytes: float, gathered: float, cards: int, options: Any) -> float:
    """A ring all-reduce of gradients and a gather of captions; the slowest link of the ring decides."""
    if cards == 1:
        return 0.0
    rate = 1e9 * (options.inside if cards <= LOCAL_CARDS else options.between)
    hops = 2 * (cards - 1) + (cards - 1)
    sent = 2 * (cards - 1) / cards * num_bytes + (cards - 1) / cards * gathered * cards
    return sent / rate + hops * options.hop_us * 1e-6


def paper(options: Any) -> None:
    print(
        f"Computed, not measured. Assumed: {options.step_ms:g} ms a step of {BATCH} images on one card, "
        f"{options.inside:g} GB/s within a machine of {LOCAL_CARDS}, {options.between:g} GB/s between machines, "
        f"{options.hop_us:g} us a hop, float32 gradients, nothing hidden behind computing.\n"
    )
    print(
        "| family | gradients | cards | batch | talk a step | step | images a second | of ideal | card hours for 10^8 |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for family in ("compact", "projected"):
        weights = trained_weights(family)
        for cards in (1, LOCAL_CARDS, 64):
            talk = seconds_of_talk(4.0 * weights, 4.0 * EMBEDDING * BATCH, cards, options)
            step = options.step_ms / 1000 + talk
            rate = cards * BATCH / step
            ideal = options.step_ms / 1000 / step
            print(
                f"| `{family}` | {4 * weights / 1e6:.1f} MB | {cards} | {cards * BATCH:,} | {1000 * talk:.1f} ms "
                f"| {1000 * step:.1f} ms | {rate:,.0f} | {100 * ideal:.0f} % | {cards * 1e8 / rate / 3600:.1f} |"
            )


if __name__ == "__main__":
    main()
