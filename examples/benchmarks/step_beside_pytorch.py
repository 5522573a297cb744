"""How long does one step of training take beside PyTorch, with the same networks, losses, weights and batch?

    python examples/benchmarks/step_beside_pytorch.py --peers OTHER_ENVIRONMENT/bin/python --features FILE

For `compact` and `projected`, with one thread and with two, this package and PyTorch (eager, with channels last in
memory, and compiled) take turns, some steps each, for several rounds; the table has medians of milliseconds by the
clock and of processor time, and what part of the fastest of the three this package takes. Before that, all of them
compute the losses of the first batch, which must agree. PyTorch does less: it does not look whether numbers are finite.
With `--bfloat16` all of them compute in it, PyTorch by its autocast, on a processor that has it; beside them PyTorch as
it computes where nothing is said: in float32, with channels last.

The other environment needs torch, numpy and a C++ compiler, and nothing of this package. `--features` is a file of
MobileNetV2's weights, for `projected`. Twenty minutes on two quiet cores. What to expect:
`examples/results/step.md`.

    python examples/benchmarks/step_beside_pytorch.py --operations --features FILE

says on one thread where the time of this package goes, by kind of operation, and what part of the multiplications that
the processor can do in the time the step needs, if it were computed as its layers say.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_runtimes import ask

BATCH, SIZE, EMBEDDING, NOISE = 32, 64, 384, 64
RATE, BETAS, DECAY, INTERVAL = 6e-4, (0.0, 0.9), 0.995, 8
PEERS = ("eager", "channels_last", "compiled")
IN_FLOAT32 = "channels_last_float32"
OURS = "keras_t2i"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="interpreter of an environment with torch")
    parser.add_argument("--features", type=Path, help="weights of MobileNetV2, for projected")
    parser.add_argument("--families", nargs="+", default=["compact", "projected"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2 * INTERVAL, help=f"of a round, a multiple of {INTERVAL}")
    parser.add_argument("--bfloat16", action="store_true", help="compute in it, weights stay in float32")
    parser.add_argument("--operations", action="store_true", help="where the time goes, instead")
    parser.add_argument("--as-worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_worker:
        work(options, *options.as_worker)
    elif options.operations:
        operations(options)
    else:
        report(options)


# -- by turns ----------------------------------------------------------------------------------------------------------


def report(options: argparse.Namespace) -> None:
    print("| family | threads | by | ms a step | CPU ms a step | of the fastest PyTorch, clock | CPU |")
    print("|---|---|---|---|---|---|---|")
    for family in options.families:
        for threads in options.threads:
            with tempfile.TemporaryDirectory() as folder:
                found = by_turns(options, family, threads, Path(folder))
            best = [min((found[name][i] for name in PEERS if name in found), default=0.0) for i in (0, 1)]
            for name, (clock, cpu) in found.items():
                ratios = [f"{each / of:.2f}" if of else "" for each, of in zip((clock, cpu), best, strict=True)]
                print(f"| `{family}` | {threads} | {name} | {clock:.0f} | {cpu:.0f} | {ratios[0]} | {ratios[1]} |")
            sys.stdout.flush()


def by_turns(options: argparse.Namespace, family: str, threads: int, folder: Path) -> dict[str, tuple[float, float]]:
    """Milliseconds a step by the clock and of the processor, medians of all rounds, of each that takes part."""
    workers: dict[str, subprocess.Popen[str]] = {}
    losses = {}
    peers = (*PEERS, IN_FLOAT32) if options.bfloat16 else PEERS
    for name in (OURS, *peers) if options.peers else (OURS,):
        python = sys.executable if name == OURS else options.peers
        command = [python, __file__, "--as-worker", name, str(folder), "--families", family]
        command += ["--threads", str(threads), *passed_on(options)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
        workers[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        # Also the first steps, which trace and compile.
        losses[name] = json.loads(ask(workers[name], str(INTERVAL)))["losses"]
    tolerance = 3e-2 if options.bfloat16 else 1e-3
    for name in losses:
        for ours, theirs in zip(losses[OURS], losses[name], strict=True):
            if abs(ours - theirs) > tolerance * max(1.0, abs(ours)):
                raise SystemExit(f"Not the same step: {losses}.")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
    for _ in range(options.rounds):
        for name, worker in workers.items():
            told = json.loads(ask(worker, str(options.steps)))
            found[name].append((1000 * told["clock"] / options.steps, 1000 * told["cpu"] / options.steps))
    for worker in workers.values():
        worker.communicate()
    return {
        name: (statistics.median(clock for clock, _ in told), statistics.median(cpu for _, cpu in told))
        for name, told in found.items()
    }


def passed_on(options: argparse.Namespace) -> list[str]:
    """What a process for one family is told of the options."""
    features = ["--features", str(options.features)] if options.features else []
    return features + (["--bfloat16"] if options.bfloat16 else [])


def work(options: argparse.Namespace, name: str, folder: str) -> None:
    """Makes as many steps as each line asks for, and says how long they took."""
    answers, sys.stdout = sys.stdout, sys.stderr
    # Several pools of threads share as many processors as threads are meant.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads[0]])
    prepared = ours if name == OURS else peer
    losses, steps = prepared(options, Path(folder), name)
    for line in sys.stdin:
        clock, cpu = time.perf_counter(), time.process_time()
        steps(int(line))
        told = {"clock": time.perf_counter() - clock, "cpu": time.process_time() - cpu, "losses": losses}
        print(json.dumps(told), file=answers, flush=True)


# -- this package ------------------------------------------------------------------------------------------------------


def model(family: str, threads: int, features: Path | None) -> Any:
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(threads)  # As where nothing is said.
    tf.config.threading.set_intra_op_parallelism_threads(threads)

    from keras_t2i import ImageFeatures
    from keras_t2i.models import build_gan

    gan: Any = build_gan(family, None, image_size=SIZE, embedding_dim=EMBEDDING)
    if family == "projected":
        if features is None:
            raise SystemExit("`projected` needs --features: the weights of MobileNetV2.")
        gan.discriminator.initialize_backbone(ImageFeatures.from_preset(features).network.get_weights())
    return gan


def ours(options: argparse.Namespace, folder: Path, name: str) -> tuple[Any, Callable[[int], Any]]:
    import keras
    import tensorflow as tf
    from keras import ops

    if options.bfloat16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    gan = model(options.families[0], options.threads[0], options.features)
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (BATCH, SIZE, SIZE, 3)).astype(np.float32)
    embeddings = random.normal(size=(BATCH, EMBEDDING)).astype(np.float32)
    latents = random.normal(size=(BATCH, NOISE)).astype(np.float32)
    np.savez(folder / "batch.npz", images=images, embeddings=embeddings, latents=latents)
    for part in ("generator", "discriminator"):
        weights = [ops.convert_to_numpy(weight) for weight in getattr(gan, part).weights]
        np.savez(folder / f"{part}.npz", *weights)

    condition = {"sentence_embeddings": tf.constant(embeddings)}
    batch = {"images": tf.constant(images), "condition": condition, "latents": tf.constant(latents)}
    _, numbers = gan.losses_of(batch, 0, True)
    losses = [float(numbers[key]) for key in ("discriminator_loss", "generator_loss", "penalty")]
    untuned = tf.data.Options()
    untuned.autotune.enabled = False  # Or the end of each `fit` may wait for a thread that sleeps.
    data = tf.data.Dataset.from_tensors({"images": images, "sentence_embeddings": embeddings}).repeat()
    data = data.with_options(untuned)
    return losses, lambda steps: gan.fit(data, steps_per_epoch=steps, epochs=1, verbose=0)


def operations(options: argparse.Namespace) -> None:
    """Prints milliseconds a step by kind of operation, and what part of the processor's peak the step reaches."""
    if len(options.families) > 1:  # Each in a process of its own, which has its own threads.
        for family in options.families:
            command = [sys.executable, __file__, "--operations", "--families", family, *passed_on(options)]
            subprocess.run(command, check=True)
        return
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    family = options.families[0]
    with tempfile.TemporaryDirectory() as folder:
        options.threads = [1]
        _, steps = ours(options, Path(folder), OURS)
        steps(INTERVAL)
        taken = []
        for _ in range(options.rounds):
            begun = time.process_time()
            steps(INTERVAL)
            taken.append((time.process_time() - begun) / INTERVAL)
        tf.profiler.experimental.start(folder)
        steps(INTERVAL)
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    found: dict[str, float] = {}
    for plane in space.planes:
        for line in plane.lines if "CPU" in plane.name else ():
            for event in line.events:
                path, colon, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if colon and path and not path.endswith(":") and not kind.startswith(" "):
                    found[kind] = found.get(kind, 0.0) + event.duration_ps / 1e9 / INTERVAL
    step = 1000 * statistics.median(taken)
    print(f"{family}: {step:.0f} ms a step, {sum(found.values()):.0f} of them in")
    for kind, milliseconds in sorted(found.items(), key=lambda each: -each[1])[:16]:
        print(f"  {kind.removeprefix('_Mkl').removeprefix('Native'):36s} {milliseconds:6.1f} ms")
    count, peak = multiply_adds(family), matrix_product()
    reached = 2 * count / step / 1e6
    print(f"  {count / 1e9:.1f} G multiply-adds: {reached:.0f} GFLOP/s, {100 * reached / peak:.0f} % of {peak:.0f}")


def multiply_adds(family: str) -> int:
    """Of a step, as the layers of the networks have them, without the penalty: forth, and back to maps and kernels."""
    from keras_t2i.metrics.resources import count_multiply_adds
    from keras_t2i.networks import FAMILIES

    recipe = FAMILIES[family]
    assert recipe.discriminator is not None
    generator, discriminator = (network(image_size=SIZE) for network in (recipe.generator, recipe.discriminator))
    generator.build_for(EMBEDDING)
    discriminator.build_for(EMBEDDING)
    images, text = (SIZE, SIZE, 3), (EMBEDDING,)
    drawn = count_multiply_adds(generator, (NOISE,), text)
    judged = count_multiply_adds(discriminator, images, text)
    frozen = 0
    if family == "projected":
        frozen = count_multiply_adds(discriminator.backbone, (discriminator.input_size, discriminator.input_size, 3))
    # Both kinds of images forth, and back to kernels and maps; drawn ones back to their pixels too.
    return BATCH * (3 * drawn + 7 * (judged - frozen) + 3 * frozen)


def matrix_product(size: int = 2048, rounds: int = 7) -> float:
    """GFLOP a second that a product of large matrices reaches here, in float32."""
    import tensorflow as tf

    matrix = tf.random.stateless_normal((size, size), (1, 2))
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))
    multiply()
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        multiply()
        taken.append(time.process_time() - begun)
    return 2 * size**3 / statistics.median(taken) / 1e9


# -- PyTorch -----------------------------------------------------------------------------------------------------------


def peer(options: argparse.Namespace, folder: Path, name: str) -> tuple[Any, Callable[[int], Any]]:
    import torch
    from pytorch_networks import Compact, Generator, Projected, losses_of, r1, stored

    torch.set_num_threads(options.threads[0])
    torch.manual_seed(0)
    smooth = options.families[0] == "projected"
    computing = torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16 and name != IN_FLOAT32)
    images, embeddings, latents = stored(folder / "batch.npz")
    images = images.permute(0, 3, 1, 2).contiguous()
    generator, average = (Generator(stored(folder / "generator.npz"), smooth) for _ in range(2))
    discriminator = (Projected if smooth else Compact)(stored(folder / "discriminator.npz"))
    average.requires_grad_(False)
    if name != "eager":
        images = images.contiguous(memory_format=torch.channels_last)
        for network in (generator, average, discriminator):
            network.to(memory_format=torch.channels_last)
    drawn, seen = generator.forward, discriminator.forward
    if name == "compiled":
        drawn, seen = torch.compile(drawn), torch.compile(seen)

    @computing
    def judged(noise: Any) -> tuple[Any, Any]:
        texts = discriminator.texts(embeddings)
        return losses_of(discriminator, seen(images), seen(drawn(noise, embeddings)), texts, smooth)

    penalty = computing(r1)

    share = 0.0 if smooth else float(INTERVAL)
    losses = [*(loss.item() for loss in judged(latents)), share * penalty(discriminator, images, embeddings).item()]
    networks = (discriminator, generator)
    trained = [[weight for weight in network.parameters() if weight.requires_grad] for network in networks]
    optimizers = [torch.optim.Adam(weights, RATE, BETAS, 1e-7, fused=True) for weights in trained]
    done = 0

    def steps(count: int) -> None:
        nonlocal done
        for _ in range(count):
            real, fooled = judged(torch.randn(BATCH, NOISE))
            if share and done % INTERVAL == 0:
                real = real + share * penalty(discriminator, images, embeddings)
            gradients = (
                torch.autograd.grad(real, trained[0], retain_graph=True),
                torch.autograd.grad(fooled, trained[1]),
            )
            for weights, found, optimizer in zip(trained, gradients, optimizers, strict=True):
                for weight, gradient in zip(weights, found, strict=True):
                    weight.grad = gradient
                optimizer.step()
            decay = min(DECAY, (1 + done) / (10 + done))
            torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1.0 - decay)
            done += 1

    return losses, steps


if __name__ == "__main__":
    main()
