"""Kills training runs at random moments, and compares what they go on from with a run that nobody disturbed.

Command:  python examples/benchmarks/killed_runs.py
          python examples/benchmarks/killed_runs.py --families mlp,dcgan --kills 20 --folder /tmp/kills
Needs:    Linux or macOS
Cost:     30 minutes of one core for 100 kills of each; what is in `--folder` is gone on from
Result:   a table, a row a family: how often it was killed, how many kills were inside of a save (half of one lay there
          afterwards), between saves and before the first step; how many states were compared, of how many steps the
          most was lost, and what was wrong. Ends with 1 where anything was wrong.

Families are as `keras_t2i.networks` names them, with tiny networks; `lora` is a tiny compact model that is fine-tuned
with LoRA. One run of each is started, killed, started, killed, and so on, and then finished; each time with another
seed, so that the checkpoints alone decide what it does. Everything that training changes (weights, averages, optimizer
slots, random states, counters, running means) is hashed after each restart, step and epoch, and has to be what another
run, in one process, had there.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS_PER_EPOCH, CHECKPOINT_STEPS = 8, 2
EMBEDDING_DIM = 6
SAVE, TRAINING, START = "inside of a save", "between saves", "before the first step"
AIMED = (SAVE, TRAINING, SAVE, START)
"""Where kills are aimed at, in turn; where they fell is seen afterwards."""
ROUND = 10
"""Kills by one process, which imports what is needed and forks: the next has other hashes of its own."""


@dataclass(frozen=True)
class Files:
    """What there is of a family: two runs, what each had at which moment, and the kills."""

    folder: Path

    def run(self, part: str) -> Path:
        return self.folder / part

    def moments(self, part: str) -> Path:
        return self.folder / f"{part}.jsonl"

    @property
    def kills(self) -> Path:
        return self.folder / "kills.jsonl"

    @property
    def preset(self) -> Path:
        """What fine-tuning starts from."""
        return self.folder / "preset"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default="compact,projected,lora")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the runs are; by default a temporary one")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if options.part:
            return work(options.part, options.families, Files(folder / options.families), options.kills, options.seed)
        print("| family | kills | " + " | ".join((SAVE, TRAINING, START)), end=" | ")
        print("states compared | steps lost at most | wrong |\n|---|---|---|---|---|---|---|---|")
        wrong = 0
        for family in options.families.split(","):
            files = Files(folder / family)
            while (killed := len(lines(files.kills))) < options.kills:
                part(family, folder, "killed", min(killed + ROUND, options.kills), options.seed)
            for name in ("killed", "whole"):  # To the end.
                part(family, folder, name, options.kills, options.seed)
            told, faults = compared(files)
            wrong += len(faults)
            print(f"| {family} | " + " | ".join(map(str, told)) + f" | {len(faults)} |", flush=True)
            for fault in faults[:5]:
                print(f"  {fault}", file=sys.stderr)
    return 1 if wrong else 0


def part(family: str, folder: Path, name: str, kills: int, seed: int) -> None:
    told = {"families": family, "folder": folder, "part": name, "kills": kills, "seed": seed}
    words = [word for key, value in told.items() for word in (f"--{key}", str(value))]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, __file__, *words], env=environment, check=True)


def work(name: str, family: str, files: Files, kills: int, seed: int) -> int:
    """One part of what is done for a family, in a process that does nothing but fork, which TensorFlow allows."""
    import keras_t2i.models
    import keras_t2i.training
    import keras_t2i.transfer  # noqa: F401

    files.folder.mkdir(parents=True, exist_ok=True)
    if family == "lora" and not files.preset.exists():
        child = forked(files, lambda: make("compact", files).save_to_preset(files.preset))
        if code := ended(child):
            return code
    if name == "killed" and len(lines(files.kills)) < kills:
        for number in range(len(lines(files.kills)), kills):
            kill(family, files, number, random.Random(f"{seed} {family} {number}"))
        return 0
    if name == "whole":
        shutil.rmtree(files.run(name), ignore_errors=True)
        files.moments(name).unlink(missing_ok=True)
    before = lines(files.moments("killed"))[: lines(files.kills)[-1]["lines"]]
    epochs = max(line.get("step", 0) for line in before) // STEPS_PER_EPOCH + 1
    return ended(forked(files, lambda: train(family, files, name, epochs)))


def forked(files: Files, function: Callable[[], Any]) -> int:
    """Calls a function in a process of its own; returns its number."""
    child = os.fork()
    if child == 0:
        try:
            function()
        except BaseException:
            with open(files.folder / "errors.txt", "a") as file:
                traceback.print_exc(file=file)
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(family: str, files: Files, number: int, draw: random.Random) -> None:
    """Starts a run, or goes on with it, and kills it; keeps where that was."""
    aim, begun = AIMED[number % len(AIMED)], len(lines(files.moments("killed")))
    before = leftovers(files)
    child = forked(files, lambda: train(family, files, "killed", epochs=1_000_000, seed=number))
    moments = watched(files, child, begun)
    if aim is not START:
        next(moment for moment in moments if moment == "step")
    else:
        next(moments)
    if aim is SAVE:
        stop_inside_of_a_save(files, child, before, draw)
    else:
        time.sleep(draw.uniform(0, 2 if aim is TRAINING else 1))
    os.kill(child, signal.SIGKILL)
    code = ended(child)
    left = begun_since(files, before)
    now = lines(files.moments("killed"))[begun:]
    place = SAVE if left else TRAINING if any(each["moment"] == "step" for each in now) else START
    append(files.kills, {"number": number, "code": code, "place": place, "left": left, "lines": begun + len(now)})


def leftovers(files: Files) -> dict[str, int]:
    """Halves of checkpoints by name, with the numbers that the file system has for them."""
    return {path.name: path.stat().st_ino for path in checkpoints(files.run("killed")).glob(".tmp-*")}


def begun_since(files: Files, before: dict[str, int]) -> list[str]:
    """Halves of checkpoints that were not there before, by name."""
    return sorted(name for name, number in leftovers(files).items() if before.get(name) != number)


def watched(files: Files, child: int, begun: int) -> Iterator[str]:
    """What a run comes to, as it does."""
    size = 0
    while True:
        if files.moments("killed").exists() and size != (size := files.moments("killed").stat().st_size):
            new = lines(files.moments("killed"))[begun:]
            begun += len(new)
            yield from (each["moment"] for each in new)
        check_alive(files, child)
        time.sleep(0.01)


def stop_inside_of_a_save(files: Files, child: int, before: dict[str, int], draw: random.Random) -> None:
    """Stops a run at a random moment of a save: where that came too late, at an earlier one of the next."""
    for _ in range(draw.randint(0, 1)):
        wait_for_a_save(files, child)
    most = 0.03
    while True:
        wait_for_a_save(files, child)
        time.sleep(draw.uniform(0, most))
        os.kill(child, signal.SIGSTOP)
        os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if begun_since(files, before):
            return
        os.kill(child, signal.SIGCONT)
        check_alive(files, child)
        most /= 2


def wait_for_a_save(files: Files, child: int) -> None:
    """Returns when a save has begun that had not when this was called."""
    there = checkpoints(files.run("killed"))
    newest = max(name.removeprefix(".tmp-") for name in os.listdir(there))
    while max(name.removeprefix(".tmp-") for name in os.listdir(there)) == newest:
        check_alive(files, child)
        time.sleep(0.002)


def check_alive(files: Files, child: int) -> None:
    if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
        raise RuntimeError(f"A run ended by itself: see {files.folder / 'errors.txt'}.")


def checkpoints(run_dir: Path) -> Path:
    return run_dir / "checkpoints"


def train(family: str, files: Files, name: str, epochs: int, seed: int = 0) -> None:
    """One process's share of a run."""
    import keras

    from keras_t2i import training

    run_dir = files.run(name)
    training.make_deterministic()
    append(files.moments(name), {"moment": "process"})
    resumed = any(checkpoints(run_dir).glob("checkpoint-*"))
    gan = make(family, files, seed=seed if resumed else 0)

    class Moments(keras.callbacks.Callback):
        """Keeps what the state is at each moment."""

        state = training.TrainingState()
        begun = False

        def on_train_begin(self, logs: Any = None) -> None:
            if not self.begun:
                self.begun = True
                self.keep("begun")

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.keep("step")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.keep("epoch")

        def keep(self, moment: str) -> None:
            step, epoch = self.state.step, self.state.epoch
            told = {"moment": moment, "step": step, "epoch": epoch, "state": digest(self.model)}
            append(files.moments(name), told)

    training.train(
        gan,
        ShortEpochs(),
        run_dir,
        epochs=epochs,
        checkpoint_steps=CHECKPOINT_STEPS,
        callbacks=[Moments()],
        config={"family": family},
        verbose=0,
    )


def make(family: str, files: Files, seed: int = 0) -> Any:
    """A tiny model, compiled, with all that draws random numbers."""
    import keras

    from keras_t2i.models import TextToImageGAN, compile_gan
    from keras_t2i.networks import FAMILIES
    from keras_t2i.objectives.augmentation import CaptionAugmentation, DiffAugment
    from keras_t2i.transfer import strategies

    keras.utils.set_random_seed(seed)
    terms: list[Any] = []
    if family == "lora":
        gan = TextToImageGAN.from_preset(files.preset)
        terms = strategies.apply("lora:rank=2", gan).terms
        family = "compact"
    else:
        of_generator, of_discriminator = FAMILIES[family].tiny(32)
        networks = (
            FAMILIES[family].generator(image_size=32, latent_dim=4, **of_generator),
            FAMILIES[family].discriminator(image_size=32, **of_discriminator),
        )
        gan = TextToImageGAN(None, *networks, embedding_dim=EMBEDDING_DIM)
        if family == "projected":  # Any weights will do.
            backbone = gan.discriminator.backbone
            gan.discriminator.initialize_backbone([weight + 0.01 for weight in backbone.get_weights()])
    compile_gan(
        gan,
        family,
        augmentation=DiffAugment(),
        caption_augmentation=CaptionAugmentation(dropout=0.1, noise=0.5, seed=seed),
        generator_terms=terms,
        seed=seed,
        run_eagerly=True,  # To trace a step takes longer than all that a run does before it is killed.
    )
    return gan


class TableEncoder:
    """Embeds each caption as random numbers that follow from its characters."""

    embedding_dim = EMBEDDING_DIM
    fingerprint = "a" * 64

    def encode(self, captions: list[str]) -> Any:
        import numpy as np

        seeds = [zlib.crc32(caption.encode()) for caption in captions]
        return np.stack([np.random.default_rng(s).standard_normal(EMBEDDING_DIM, np.float32) for s in seeds])


class ShortEpochs:
    """The captioned shapes, with epochs of few steps and little to validate on."""

    steps_per_epoch = STEPS_PER_EPOCH

    def __init__(self) -> None:
        from keras_t2i.data import shapes

        self._dataset = shapes(num_images=48, image_size=32, batch_size=4, seed=3).encode(TableEncoder())
        self.train_split, self.validation_split = self._dataset.train_split, self._dataset.validation_split
        self.train_from = self._dataset.train_from

    def validation_sample(self, max_images: int) -> Any:
        return self._dataset.validation_sample(max_images).take(2)


def digest(gan: Any) -> str:
    """SHA-256 of everything that training changes."""
    from keras_t2i.training.model_state import model_state

    found = hashlib.sha256()
    for name, variable in sorted(model_state(gan).items()):
        value = variable.numpy()
        found.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
    return found.hexdigest()


def compared(files: Files) -> tuple[list[Any], list[str]]:
    """A row of the table, and what was wrong."""
    kills, killed, whole = (lines(path) for path in (files.kills, files.moments("killed"), files.moments("whole")))
    right = {("begun" if each["step"] == 0 else each["moment"], each["step"]): each for each in whole if "step" in each}
    faults = [f"kill {each['number']} ended with {each['code']}" for each in kills if each["code"] != -signal.SIGKILL]
    states = 0
    for each in killed:
        if each["moment"] == "process":
            continue
        states += 1
        moment = each["moment"]
        if moment == "begun" and each["step"]:
            moment = "step" if each["step"] % STEPS_PER_EPOCH else "epoch"
        other = right.get((moment, each["step"]))
        if other is None or (each["state"], each["epoch"]) != (other["state"], other["epoch"]):
            faults.append(f"{each['moment']} at step {each['step']} is not what the whole run had there")
    lost = []
    for each in kills:
        done = max((line["step"] for line in killed[: each["lines"]] if "step" in line), default=0)
        again = next(line["step"] for line in killed[each["lines"] :] if line["moment"] == "begun")
        lost.append(done - again)
    if max(lost) > CHECKPOINT_STEPS:
        faults.append(f"{max(lost)} steps were lost")
    faults += differences(files)
    places = [each["place"] for each in kills]
    return [len(kills), *(places.count(place) for place in (SAVE, TRAINING, START)), states, max(lost)], faults


def differences(files: Files) -> list[str]:
    """How what a run leaves in its directory differs from what the other one does."""
    killed, whole = files.run("killed"), files.run("whole")
    faults = [] if log(killed) == log(whole) else ["log.csv differs"]
    for grid in sorted((whole / "grids").iterdir()):
        other = killed / "grids" / grid.name
        if not other.exists() or other.read_bytes() != grid.read_bytes():
            faults.append(f"{grid.name} differs")
    left = {path.relative_to(killed).parts for path in killed.rglob("*")}
    left ^= {path.relative_to(whole).parts for path in whole.rglob("*")}
    faults += [f"{'/'.join(parts)} is left over, or missing" for parts in left if parts[0] != "checkpoints"]
    there = sorted(path.name for path in checkpoints(killed).iterdir())
    if len(there) != 2 or any(name.startswith(".") for name in there):
        faults.append(f"the checkpoints in the end are {there}")
    return faults


def log(run_dir: Path) -> list[dict[str, str]]:
    """The log without its clock, which no two runs share."""
    with open(run_dir / "log.csv", newline="") as file:
        return [{name: value for name, value in row.items() if name != "minutes"} for row in csv.DictReader(file)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, told: dict[str, Any]) -> None:
    """Adds a line by one write, of which a kill leaves all or nothing."""
    with open(path, "ab", buffering=0) as file:
        file.write(json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
