"""What a run goes on from where its newest checkpoint is damaged: the one before, whatever the damage is.

    python examples/benchmarks/damaged_checkpoints.py --tries 500

Prints a table; what to expect: `examples/results/damage.md`. A tiny model has two checkpoints; of copies of these, the
newest is damaged at random. It takes a minute of one core.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_t2i import TextToImageGAN
from keras_t2i.networks import MLPDiscriminator, MLPGenerator
from keras_t2i.training import Checkpoints, TrainingState
from keras_t2i.training.model_state import model_state

FILES = ("arrays.npz", "manifest.json")
BLOCK = 512
"""Bytes that a disk loses together."""


def cut(path: Path, random: np.random.Generator) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: random.integers(len(content))])


def bit(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    content[random.integers(len(content))] ^= 1 << int(random.integers(8))
    path.write_bytes(content)


def zeros(path: Path, random: np.random.Generator) -> None:
    content = bytearray(path.read_bytes())
    start = int(random.integers(len(content)))
    lost = len(content[start : start + BLOCK])
    content[start : start + lost] = bytes(lost)
    path.write_bytes(content)


def bad_json(path: Path, random: np.random.Generator) -> None:
    texts = ["", "{", "[]", "null", "{}", '{"format": 1}', '{"manifest_sha256": null}', "\ufeff{}", "[" * 1000]
    path.with_name("manifest.json").write_text(texts[random.integers(len(texts))], encoding="utf-8")


def missing(path: Path, random: np.random.Generator) -> None:
    path.unlink()


DAMAGES: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "cut off": cut,
    "one bit": bit,
    f"zeros, {BLOCK} bytes": zeros,
    "another JSON": bad_json,
    "a file missing": missing,
}


class Lines(logging.Handler):
    """Keeps what is told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| damage | tries | the one before is gone on from, and a line names the damaged one | otherwise |")
    print("|---|---|---|---|")
    for name, found in measure(options.tries, options.seed).items():
        print(f"| {name} | {len(found)} | {sum(found)} | {len(found) - sum(found)} |")


def measure(tries: int, seed: int = 0) -> dict[str, list[bool]]:
    """For each kind of damage, whether each try ended as it should: kinds and files take turns."""
    networks = (
        MLPGenerator(32, latent_dim=4, text_width=4, widths=(8, 8)),
        MLPDiscriminator(32, text_width=4, widths=(8, 8)),
    )
    gan = TextToImageGAN(None, *networks, embedding_dim=6)
    gan.compile()
    random = np.random.default_rng(seed)
    told = Lines()
    logging.getLogger("keras_t2i").addHandler(told)
    results: dict[str, list[bool]] = {name: [] for name in DAMAGES}
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        checkpoints = Checkpoints(whole)
        before = moved(gan, random)
        checkpoints.save(gan, TrainingState(step=1))
        moved(gan, random)
        newest = checkpoints.save(gan, TrainingState(step=2)).name
        for number in range(tries):
            name = list(DAMAGES)[number % len(DAMAGES)]
            copy = Path(folder) / "copy"
            shutil.copytree(whole, copy)
            DAMAGES[name](copy / newest / FILES[number // len(DAMAGES) % 2], random)
            results[name].append(is_passed_over(gan, copy, newest, before, told))
            shutil.rmtree(copy)
    logging.getLogger("keras_t2i").removeHandler(told)
    return results


def moved(gan: TextToImageGAN, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Other weights and slots; returns them."""
    floats = {name: each for name, each in model_state(gan).items() if np.issubdtype(each.dtype, np.floating)}
    for variable in floats.values():
        variable.assign(random.standard_normal(variable.shape))
    return {name: variable.numpy() for name, variable in floats.items()}


def is_passed_over(
    gan: TextToImageGAN, directory: Path, newest: str, before: dict[str, np.ndarray], told: Lines
) -> bool:
    """Whether the model is as in the checkpoint before, and one line names the newest."""
    told.lines.clear()
    state = Checkpoints(directory).restore(gan)
    now = model_state(gan)
    is_back = all(np.array_equal(value, now[name].numpy()) for name, value in before.items())
    return is_back and state == TrainingState(step=1) and [newest in line for line in told.lines] == [True]


if __name__ == "__main__":
    main()
