"""What drawing a long list of captions costs, and that a kill loses nothing of it.

Command:  python examples/benchmarks/draw_many.py MODEL [--captions 10000]
Needs:    nothing
Cost:     two minutes of one core with shapes_64
Result:   whether each caption has its image once after the command was killed by SIGKILL and started again; CPU seconds
          an image of `keras-t2i generate-shards`, PNG files and all, and of one call of `generate` a caption
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import keras_t2i

CALLS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--captions", type=int, default=10_000)
    options = parser.parse_args()
    colors = ("red", "green", "blue", "yellow", "purple")
    captions = [f"a {colors[number % 5]} circle, number {number}" for number in range(options.captions)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "captions.txt").write_text("\n".join(captions))
        command = [sys.executable, "-m", "keras_t2i", "generate-shards", options.model, str(place / "captions.txt")]
        process = subprocess.Popen([*command, "-o", str(place / "drawn")], stdout=subprocess.DEVNULL)
        while len(list((place / "drawn").glob("*.tar"))) < 3:
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = len(list((place / "drawn").glob("*.tar")))
        subprocess.run([*command, "-o", str(place / "drawn")], check=True, stdout=subprocess.DEVNULL)
        found = []
        for path in sorted((place / "drawn").glob("*.tar")):
            with tarfile.open(path) as tar:
                names = tar.getnames()
                found += [tar.extractfile(name).read().decode() for name in names if name.endswith(".txt")]
                assert len(names) == 2 * len({name.partition(".")[0] for name in names})
        left = [path.name for path in (place / "drawn").iterdir() if path.suffix != ".tar"]
        print(f"Killed after {kept} files; then each caption once: {found == captions}; beside the files: {left}.")
        before = children()
        subprocess.run([*command, "-o", str(place / "again")], check=True, stdout=subprocess.DEVNULL)
        whole = children() - before
    start = time.process_time()
    model = keras_t2i.TextToImage.from_preset(options.model)
    model.generate(captions[0])
    started = time.process_time() - start
    start = time.process_time()
    for number in range(CALLS):
        model.generate(captions[number], seed=number)
    alone = (time.process_time() - start) / CALLS
    each = (whole - started) / len(captions)
    print(f"CPU ms an image: {1000 * each:.2f} in shards, {1000 * alone:.2f} by calls: {alone / each:.1f} times.")
    print(f"Starting takes {started:.1f} CPU seconds; {os.cpu_count()} processors.")


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
