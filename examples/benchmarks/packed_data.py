"""Training on packed images: what a million of them cost beside ten thousand, and what packing costs.

Command:  python examples/benchmarks/packed_data.py make --images 10000 --output FEW
          python examples/benchmarks/packed_data.py make --images 1000000 --output MANY
          python examples/benchmarks/packed_data.py train FEW MANY
          python examples/benchmarks/packed_data.py resume MANY
          python examples/benchmarks/packed_data.py workers --files 4000
          python examples/benchmarks/packed_data.py report FEW [--validated 1000000]
Cost:     a million takes 1.5 GB and some minutes of one core; the rest some minutes each.
Expect:   JSON. The first step, the memory and the images a second do not depend on how many images there are; killed
          twice within an epoch, a run ends with the weights of the uninterrupted one; packing is nearly twice as fast
          on two processors.

The images are rendered shapes, shifted and tinted so that no two are alike, each with two captions of its own. With
`--embed` the captions are embedded by the encoder in the package; without, which is for the million, their embeddings
are those of the shapes' own captions, so that what is written is as large as it would be.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

BEGUN = time.monotonic()
DRAWN, HELD_OUT, IMAGE_SIZE = 2048, 0.1, 64
WARM_STEPS, BATCH_SIZE = 2, 32


class Varied:
    """One side of a set: images and captions that follow from their numbers, of which a few are rendered."""

    def __init__(self, images: np.ndarray, captions: Sequence[str], first: int) -> None:
        self.images, self.base, self.first = images, captions, first

    def pixels(self, numbers: np.ndarray, chunk_size: int = 0) -> np.ndarray:
        numbers = numbers + self.first
        found = self.images[numbers % len(self.images)].astype(np.int16)
        turn = numbers // len(self.images)
        tints = np.stack([turn % 8, turn // 8 % 8, turn // 64 % 8], axis=-1) * 3
        return np.clip(found - tints[:, None, None], 0, 255).astype(np.uint8)

    def captions(self, number: int) -> tuple[str, str]:
        number += self.first
        base = self.base[number % len(self.base)]
        return f"{base}, picture {number}", f"picture {number}: {base}"


class Known:
    """The encoder in the package, for captions of which the part without a number was embedded before."""

    packaged_name, vocabulary_size = "caption_mini_en", None

    def __init__(self, encoder: Any, base: Sequence[str]) -> None:
        self.fingerprint, self.sequence_length = encoder.fingerprint, encoder.sequence_length
        self.embedding_dim = encoder.embedding_dim
        self.known = dict(zip(base, encoder.encode(base), strict=True))

    def encode_chunks(self, captions: Sequence[str]) -> Iterator[np.ndarray]:
        bases = (text.partition(": ")[2] or text.rpartition(", picture ")[0] for text in captions)
        yield np.stack([self.known[base] for base in bases])


def varied() -> tuple[np.ndarray, list[str]]:
    """Some rendered shapes, and a caption each."""
    from keras_t2i.data import shapes

    split = shapes(num_images=DRAWN, image_size=IMAGE_SIZE).train_split
    numbers = np.arange(DRAWN)
    return split.pixels(numbers, chunk_size=256), [split.captions[i] for i in split.caption_of_each(numbers)]


def make(options: argparse.Namespace) -> dict[str, Any]:
    """Packs so many images."""
    from keras_t2i.data.packing import pack_source
    from keras_t2i.data.sources import Item, Source
    from keras_t2i.text import TextEncoder

    images, base = varied()
    held_out = round(HELD_OUT * options.images)
    sides = {"train": (0, options.images - held_out), "validation": (options.images - held_out, held_out)}
    splits = {f"{name}_split": Varied(images, base, first) for name, (first, _) in sides.items()}
    items = [
        Item(f"{name}/{number}", (name, number, ""), splits[f"{name}_split"].captions(number), name)
        for name, (_, count) in sides.items()
        for number in range(count)
    ]
    encoder: Any = TextEncoder.from_preset("caption_mini_en")
    source = Source("varied", "varied", items, num_rows=len(items), dataset=SimpleNamespace(**splits))
    if not options.embed:
        encoder = Known(encoder, list(dict.fromkeys(base)))
    start, cpu = time.monotonic(), time.process_time()
    told = pack_source(source, options.output, encoder, IMAGE_SIZE)
    return {**told, "seconds": time.monotonic() - start, "cpu_seconds": time.process_time() - cpu}


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Trains on each directory in turn, a process a run."""
    found: dict[str, list[Any]] = {str(path): [] for path in options.data}
    for _ in range(options.rounds):
        for path in options.data:
            found[str(path)].append(in_process("one", path, "--steps", options.steps, "--family", options.family))
    return found


def one(options: argparse.Namespace) -> dict[str, Any]:
    """Trains for some steps: when the first was done, memory, and how fast the rest were, by clock and processor."""
    import keras

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            told.setdefault("first_step_seconds", time.monotonic() - BEGUN)
            told.setdefault("first_step_cpu_seconds", time.process_time())
            if batch == WARM_STEPS - 1:
                told["clock"], told["cpu"] = time.monotonic(), time.process_time()
            told["last"], told["last_cpu"], told["rss"] = time.monotonic(), time.process_time(), resident()

    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        fit(options, Path(folder) / "run", [Watch()], steps=options.steps)
    count = (options.steps - WARM_STEPS) * BATCH_SIZE
    return {
        "first_step_seconds": told["first_step_seconds"],
        "first_step_cpu_seconds": told["first_step_cpu_seconds"],
        "resident_mb": told["rss"] / 1e6,
        "images_per_second": count / (told["last"] - told["clock"]),
        "images_per_cpu_second": count / (told["last_cpu"] - told["cpu"]),
        **reading(options.data),
    }


def reading(data: Path, count: int = 300) -> dict[str, float]:
    """What the data alone cost: to be opened, and read in batches, in CPU seconds, and in memory."""
    from keras_t2i.data import from_packed

    before, start = resident(), time.process_time()
    packed = from_packed(data, BATCH_SIZE, seed=1)
    opened = time.process_time()
    batches = iter(packed.train_from(0))
    next(batches)
    begun = time.process_time()
    for _ in range(count):
        next(batches)
    return {
        "opening_cpu_seconds": opened - start,
        "batches_per_cpu_second": count / (time.process_time() - begun),
        "grown_by_mb": (resident() - before) / 1e6,
    }


def resume(options: argparse.Namespace) -> dict[str, Any]:
    """Ends two runs with the same steps, one of them killed twice."""
    with tempfile.TemporaryDirectory() as folder:
        how = (options.data, "--steps", options.steps, "--family", options.family)
        whole = in_process("weights", *how, "--run", f"{folder}/whole")
        killed = [
            in_process("weights", *how, "--run", f"{folder}/killed", "--kill-at", step)
            for step in (options.steps // 3, 2 * options.steps // 3)
        ]
        parts = in_process("weights", *how, "--run", f"{folder}/killed")
    return {"killed": killed, "identical": whole == parts, "weights": whole["weights"][:16]}


def weights(options: argparse.Namespace) -> dict[str, Any]:
    """Trains, or is killed after a step; returns a digest of all weights."""
    import keras

    class Kill(keras.callbacks.Callback):
        state: Any = SimpleNamespace(step=0)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if self.state.step == options.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    model = fit(options, Path(options.run), [Kill()], steps=options.steps, checkpoint_steps=3)
    values = [np.asarray(value) for value in model.get_weights()]
    return {"weights": hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()}


def fit(options: argparse.Namespace, run_dir: Path, callbacks: list[Any], **limits: Any) -> Any:
    from keras_t2i import training

    model, data = ready(options, run_dir)
    training.train(model, data, run_dir, callbacks=callbacks, verbose=0, **limits)
    return model


def workers(options: argparse.Namespace) -> dict[str, Any]:
    """Packs a folder of JPEG files on one processor and on two, alternating, by the clock and by the processor."""
    from PIL import Image

    from keras_t2i.data import packing
    from keras_t2i.data.sources import folder_source
    from keras_t2i.text import TextEncoder

    packing._SHARD_IMAGES = max(64, min(4096, options.files // 24))  # As many shards as a hundred thousand files have.
    found: dict[int, list[Any]] = {1: [], 2: []}
    pixels, base = varied()
    side, encoder = Varied(pixels, base, 0), TextEncoder.from_preset("caption_mini_en")
    encoder.encode(["warm"])
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        images, output = Path(folder) / "images", Path(folder) / "packed"
        images.mkdir()
        for number in range(options.files):
            (picture,) = side.pixels(np.asarray([number]))
            large = Image.fromarray(picture).resize((options.side, options.side), Image.Resampling.BICUBIC)
            large.save(images / f"{number}.jpg", quality=90)
            (images / f"{number}.txt").write_text(side.captions(number)[0])
        for _ in range(options.rounds):
            for count, told in found.items():
                shutil.rmtree(output, ignore_errors=True)
                for task in os.listdir("/proc/self/task"):
                    os.sched_setaffinity(int(task), range(count))
                start, cpu, alone, load = time.monotonic(), spent(), time.thread_time(), os.getloadavg()[0]
                packing.pack_source(folder_source(images), output, encoder, IMAGE_SIZE, workers=count)
                seconds = {"seconds": time.monotonic() - start, "cpu_seconds": spent() - cpu}
                # This thread works only while no other does.
                told.append({**seconds, "alone_cpu_seconds": time.thread_time() - alone, "load": load})
    return {f"{count} processors": told for count, told in found.items()}


def spent() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def report(options: argparse.Namespace) -> dict[str, Any]:
    """What validation, a grid and a preset cost beside steps, in CPU seconds: of the second report, when all is traced.

    Without `--validated`, of as many held-out images as training looks at.
    """
    import keras

    from keras_t2i import training
    from keras_t2i.training import run

    if options.validated is not None:
        run._VALIDATED = options.validated
    costs: dict[str, list[float]] = {"step": [], "validation": [], "report": []}

    class Watch(keras.callbacks.Callback):
        """Told of the end of an epoch before those that draw and save."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.mark = time.process_time()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.mark, before = time.process_time(), self.mark
            costs["step"].append(self.mark - before)

        def on_test_end(self, logs: Any = None) -> None:
            costs["validation"].append(time.process_time() - self.mark)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.mark = time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        model, data = ready(options, Path(folder) / "run")
        for steps in (options.steps, options.steps + 1):
            watch = Watch()
            training.train(model, data, Path(folder) / "run", callbacks=[watch], steps=steps, verbose=0)
            costs["report"].append(time.process_time() - watch.mark)  # Grid, preset and checkpoint.
    step, (validation, rest) = float(np.median(costs["step"])), (costs[name][-1] for name in ("validation", "report"))
    share = (validation + rest) / (run._REPORT_STEPS * step + validation + rest)
    return {"step": step, "validation": validation, "grid_preset_checkpoint": rest, "share_of_time": share}


def ready(options: argparse.Namespace, run_dir: Path) -> tuple[Any, Any]:
    """A model and its data, as `keras-t2i train` prepares them."""
    from keras_t2i import training
    from keras_t2i.runs import RunConfig
    from keras_t2i.runs.prepare import prepare

    training.make_deterministic()
    prepared = prepare(RunConfig(str(options.data), family=options.family, image_size=IMAGE_SIZE), run_dir)
    return prepared.model, prepared.data


def in_process(command: str, *arguments: Any) -> Any:
    """What this script answers to a command, in a process of its own; how it ended, where it was killed."""
    told = [sys.executable, __file__, command, *map(str, arguments)]
    done = subprocess.run(told, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else done.returncode


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for function in (make, train, one, resume, weights, workers, report):
        command = commands.add_parser(function.__name__)
        command.set_defaults(work=function)
        command.add_argument("--family", default="compact")
        command.add_argument("--steps", type=int, default=20)
        command.add_argument("--rounds", type=int, default=2)
        if function is train:
            command.add_argument("data", type=Path, nargs="+")
        elif function in (one, resume, weights, report):
            command.add_argument("data", type=Path)
        command.add_argument("--images", type=int, default=10_000)
        command.add_argument("--output", type=Path)
        command.add_argument("--embed", action="store_true")
        command.add_argument("--run")
        command.add_argument("--kill-at", type=int)
        command.add_argument("--files", type=int, default=4000)
        command.add_argument("--side", type=int, default=256)
        command.add_argument("--scratch")
        command.add_argument("--validated", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    options = parsed()
    print(json.dumps(options.work(options), indent=2))
