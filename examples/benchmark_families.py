"""Trains every family on captioned shapes for equal minutes, and prints how often it draws what the caption says.

Command:  python examples/benchmark_families.py --output runs/benchmark
Cost:     5 minutes of two cores each for mlp, dcgan and df_gan, 15 for compact; give --minutes for others
Result:   a Markdown table and JSON of the share of held-out captions with all five attributes right

The same command goes on where it was stopped: runs resume, and measured points are kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

PLAN = {"compact": [5.0, 15.0], "df_gan": [5.0], "dcgan": [5.0], "mlp": [5.0]}


def keras_t2i(*arguments: str) -> dict[str, float]:
    """Runs the command line in a process of its own and returns the JSON that it prints."""
    command = [sys.executable, "-m", "keras_t2i", *arguments]
    finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(finished.stdout)


def measure(run: Path, family: str, minutes: float, seed: int) -> dict[str, float]:
    file = run / f"after-{minutes:g}-minutes.json"
    if not file.exists():
        options = ["--family", family, "--seed", str(seed), "--minutes", str(minutes), "--output", str(run)]
        trained = keras_t2i("train", "shapes", *options)
        measured = keras_t2i("evaluate", str(run))
        temporary = file.with_suffix(".part")
        temporary.write_text(json.dumps({**trained, **measured}, indent=2))
        temporary.replace(file)
    return json.loads(file.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--families", nargs="+", choices=list(PLAN), default=list(PLAN))
    parser.add_argument("--minutes", nargs="+", type=float, help="minutes at which to measure, for every family")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    results = {}
    for family in arguments.families:
        for minutes in arguments.minutes or PLAN[family]:
            run = arguments.output / f"{family}-{arguments.seed}"
            results[f"{family} {minutes:g}"] = point = measure(run, family, minutes, arguments.seed)
            print(f"{family} after {minutes:g} minutes: {point['all_attributes']:.1%}", file=sys.stderr, flush=True)
    print("| family | minutes | steps | all five | shape | color | background | position | size |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, point in results.items():
        family, minutes = name.split()
        attributes = ("all_attributes", "shape", "color", "background", "position", "size")
        shares = " | ".join(f"{point[attribute]:.1%}" for attribute in attributes)
        print(f"| `{family}` | {minutes} | {point['steps']:,} | {shares} |")
    (arguments.output / "results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
