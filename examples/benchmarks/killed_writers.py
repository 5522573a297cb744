"""Kills every writer of this package at each of its writes, flushes and renames, and lets its disk fill at ten sizes.

Command:  python examples/benchmarks/killed_writers.py
          python examples/benchmarks/killed_writers.py --writers checkpoint,preset --most 40
Needs:    Linux and a C compiler: `faulty_disk.c` beside this file stands between the writer and the disk
Cost:     20 minutes of one core, three quarters of them for SavedModel and LiteRT
Result:   a table, a row a writer: how many events it has, how often it was killed and the disk was full, and how often
          what was there afterwards was wrong. After a kill there has to be the old or the new, whole, and nothing else
          once it has been written again; after an error the old, whole, nothing beside it, and one line that names the
          place. Ends with 1 where anything was wrong.

Each attempt is a process of its own, which ends in the middle: SIGKILL before the event, or after half of the bytes of
a write. That the disk did fail is checked by how the process ended. It is a fork, for importing TensorFlow takes longer
than writing; what computes with TensorFlow comes first, while the process that forks has not, for then it cannot.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

COUNT, KILL, FULL = range(3)
SHARES = (0.0, 0.02, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9)
"""Of the bytes that a writer needs, what the disk still has room for; a read-only disk is the tenth limit."""


@dataclass(frozen=True)
class Writer:
    """What writes something.

    Args:
        name: What it writes.
        write: Writes version 0 or 1 of it into a directory.
        read: What is there, told apart from another version; raises where it is not whole.
        is_tolerant: Whether it goes on without what it could not write, and says so, as a cache does.
        is_one: Whether it is one thing; else `read` gives names and contents, each of which may be old or new.
        most: Kills at most, spread over its events.
    """

    name: str
    write: Callable[[Path, int], None]
    read: Callable[[Path], Any]
    is_tolerant: bool = False
    is_one: bool = True
    most: int = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", default="", help="names, separated by commas; all of them by default")
    parser.add_argument("--most", type=int, default=200, help="kills of each writer at most, spread over its events")
    options = parser.parse_args()
    if "LD_PRELOAD" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, "faulty_disk.so")
            source = Path(__file__).with_name("faulty_disk.c")
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
            environment = {**os.environ, "LD_PRELOAD": str(library), "TF_CPP_MIN_LOG_LEVEL": "3"}
            return subprocess.run([sys.executable, __file__, *sys.argv[1:]], env=environment, check=False).returncode
    print("| writer | events | killed | full disk | wrong |\n|---|---|---|---|---|")
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        chosen = options.writers.split(",") if options.writers else None
        for writer in writers():
            if chosen is None or writer.name in chosen:
                events, killed, full, faults = tried(writer, Path(scratch), options.most)
                wrong += len(faults)
                print(f"| {writer.name} | {events} | {killed} | {full} | {len(faults)} |", flush=True)
                for fault in faults[:5]:
                    print(f"  {fault}", file=sys.stderr)
    return 1 if wrong else 0


def tried(writer: Writer, scratch: Path, most: int) -> tuple[int, int, int, list[str]]:
    """Events of a writer, attempts that were killed and that had no room, and what went wrong."""
    there, before = scratch / "there", scratch / "before"
    shutil.rmtree(before, ignore_errors=True)
    counted(writer, fresh(there), version=0)
    old = writer.read(there)
    there.rename(before)
    events, size = counted(writer, fresh(there, before))
    new = writer.read(there)
    if old == new:
        raise RuntimeError(f"{writer.name}: the two versions cannot be told apart.")
    faults: list[str] = []
    kills = range(1, events + 1, max(1, -(-events // min(most, writer.most))))
    for event in kills:
        code, _ = attempt(writer, fresh(there, before), KILL, event)
        place = f"{writer.name}, killed at event {event} of {events}"
        if code != -signal.SIGKILL:
            faults.append(f"{place}: was not killed, but ended with {code}")
        faults += checked(place, writer, there, (old, new))
        attempt(writer, there, COUNT)
        faults += [f"{place}: {name} was left" for name in litter(there)]
        faults += checked(f"{place} and written again", writer, there, (new,))
    limits = [*((int(share * size), errno.ENOSPC) for share in SHARES), (0, errno.EROFS)]
    for room, number in limits:
        code, said = attempt(writer, fresh(there, before), FULL, room, number)
        place = f"{writer.name}, {os.strerror(number)} with room for {room:,} of {size:,} bytes"
        if code != (0 if writer.is_tolerant else 3) or not said.strip():
            faults.append(f"{place}: ended with {code} and said {said!r}")
        elif "\n" in said.strip() or there.name not in said:
            faults.append(f"{place}: said {said!r}")
        faults += checked(place, writer, there, (old,))
        faults += [f"{place}: {name} was left" for name in litter(there)]
    return events, len(kills), len(limits), faults


def fresh(there: Path, before: Path | None = None) -> Path:
    """Where to write: an empty directory, or one with the old version."""
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir() if before is None else shutil.copytree(before, there)
    return there


def counted(writer: Writer, there: Path, version: int = 1) -> tuple[int, int]:
    """How many events writing a version has, and how many bytes it writes."""
    code, said = attempt(writer, there, COUNT, version=version)
    if code:
        raise RuntimeError(f"{writer.name} cannot be written at all: {said}")
    return tuple(json.loads(said.splitlines()[-1]))  # type: ignore[return-value]


def attempt(writer: Writer, there: Path, mode: int, at: int = 0, number: int = 0, version: int = 1) -> tuple[int, str]:
    """Writes a version in a process of its own; how that ended, and what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        said, code = written(writer, there, mode, at, number, version)
        os.write(writing, said.encode()[:60_000])
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def written(writer: Writer, there: Path, mode: int, at: int, number: int, version: int) -> tuple[str, int]:
    """Writes a version while the disk is told to fail: what was said, and how the process is to end."""
    disk = ctypes.CDLL(None)
    disk.fault_events.restype = disk.fault_bytes.restype = ctypes.c_long
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        disk.fault_arm(os.fsencode(there), mode, ctypes.c_long(at), number)
        try:
            writer.write(there, version)
        except (OSError, ValueError) as error:  # What commands print in one line.
            return str(error), 3
        except BaseException:
            return traceback.format_exc(), 4
    if mode == COUNT:
        return json.dumps([disk.fault_events(), disk.fault_bytes()]), 0
    return "\n".join(str(warning.message) for warning in caught), 0


def checked(place: str, writer: Writer, there: Path, right: tuple[Any, ...]) -> list[str]:
    try:
        found = writer.read(there)
    except Exception as error:
        return [f"{place}: cannot be read ({' '.join(str(error).split())[:200]})"]
    if writer.is_one:
        return [] if found in right else [f"{place}: is neither the old nor the new"]
    mixed = found.keys() == right[0].keys() and all(
        any(content == each[name] for each in right) for name, content in found.items()
    )
    return [] if mixed else [f"{place}: is neither the old nor the new"]


def litter(there: Path) -> list[str]:
    return sorted(path.relative_to(there).as_posix() for path in there.rglob(".*"))


def files(folder: Path) -> dict[str, str]:
    """What is in a directory: names and contents."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[name.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def writers() -> Iterator[Writer]:
    """Everything in this package that writes what is to be kept."""
    from keras_t2i.text import TextEncoder

    yield from writers_of_exports()
    encoder = TextEncoder.from_preset("caption_mini_en")
    yield from writers_of_data(encoder)
    yield from writers_of_models(encoder)


def writers_of_exports() -> Iterator[Writer]:
    from keras_t2i.models import build_gan
    from keras_t2i.text import TextEncoder

    def exported(format: str) -> Callable[[Path, int], None]:
        def write(there: Path, version: int) -> None:
            encoder = TextEncoder.from_preset("caption_mini_en")
            build_gan("mlp", encoder, image_size=32, seed=version).export(there / "exported", format)

        return write

    variables = weights_of("exported/variables/variables.data-00000-of-00001")
    yield Writer("SavedModel", exported("saved_model"), variables, most=60)
    yield Writer("LiteRT", exported("litert"), weights_of("exported/generator.tflite"), most=60)


def writers_of_models(encoder: Any) -> Iterator[Writer]:
    import keras

    from keras_t2i import data
    from keras_t2i.core.files import verify
    from keras_t2i.models import build_gan
    from keras_t2i.training.checkpoint import Checkpoints, TrainingState

    models = []
    images = data.shapes(num_images=64, image_size=32).encode(encoder)
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        models.append(build_gan("mlp", encoder, image_size=32, seed=seed))
        models[-1].fit(images.train, epochs=1, steps_per_epoch=1, verbose=0)  # So that the optimizers have slots.

    def checkpoint(there: Path, version: int) -> None:
        Checkpoints(there).save(models[version], TrainingState(step=version))

    def newest(there: Path) -> Any:
        state = Checkpoints(there).restore(models[0])
        return state and state.step

    def preset(there: Path, version: int) -> None:
        models[version].save_to_preset(there / "preset")

    def whole(there: Path) -> Any:
        verify(there / "preset")
        return files(there)

    yield Writer("checkpoint", checkpoint, newest)
    yield Writer("preset", preset, whole)


def writers_of_data(encoder: Any) -> Iterator[Writer]:
    import numpy as np

    from keras_t2i.core.cache import Cache
    from keras_t2i.core.files import write_array, write_files
    from keras_t2i.data import packing
    from keras_t2i.transfer.tensor_file import read_tensors, write_tensors

    def pack(there: Path, version: int) -> None:
        packing.pack(captioned(version, encoder), there / "packed", told(version, encoder), str(version), workers=1)

    def decoded(there: Path, version: int) -> None:
        pieces = (bytes([version]) * 30_000 for _ in range(5))
        write_array(there / "images.npy", np.uint8, (5, 100, 100, 3), pieces)

    def embeddings(there: Path, version: int) -> None:
        cache = Cache(there, "embeddings")
        for each in range(version + 1):
            cache.write(f"name-{each}", np.full(10_000, each, np.float32))

    def pictures(there: Path, version: int) -> None:
        write_files(there, {f"{name}.png": bytes([version]) * 5000 for name in "abc"})

    def tensors(there: Path, version: int) -> None:
        write_tensors(there / "lora.safetensors", "lora", {"a": np.full(5000, version, np.float32)}, {})

    def value(there: Path) -> Any:
        return float(read_tensors(there / "lora.safetensors", "lora")[0]["a"][0])

    yield Writer("packed data", pack, files)
    yield Writer("decoded images", decoded, files)
    yield Writer("embeddings", embeddings, files, is_tolerant=True)
    yield Writer("pictures", pictures, files, is_one=False)
    yield Writer("LoRA", tensors, value)


def captioned(version: int, encoder: Any) -> Any:
    """A few captioned images that need no TensorFlow any more, which does not work in forks."""
    import numpy as np

    captions = [f"picture {number}" for number in range(16)]
    split = SimpleNamespace(
        captions=captions,
        caption_ids=tuple((number,) for number in range(16)),
        digests=None,
        num_images=16,
        pixels=lambda numbers, chunk_size: np.full((len(numbers), 32, 32, 3), version, np.uint8),
    )
    sides = {"train_split": split, "validation_split": None}
    return SimpleNamespace(**sides, image_size=32, name="pictures", seed=0, skipped=())


def told(version: int, encoder: Any) -> Any:
    """In place of an encoder, what it would say: the same of every caption."""
    import numpy as np

    def embedded(captions: Any) -> Iterator[Any]:
        yield np.full((len(captions), encoder.embedding_dim), version, np.float32)

    known = {"packaged_name": encoder.packaged_name, "fingerprint": encoder.fingerprint, "vocabulary_size": None}
    dimensions = {"sequence_length": encoder.sequence_length, "embedding_dim": encoder.embedding_dim}
    return SimpleNamespace(**known, **dimensions, encode_chunks=embedded)


def weights_of(name: str) -> Callable[[Path], Any]:
    """Reads the file that has the weights, beside the names of all others: these have random parts."""
    return lambda there: (hashlib.sha256((there / name).read_bytes()).hexdigest(), sorted(files(there)))


if __name__ == "__main__":
    sys.exit(main())
