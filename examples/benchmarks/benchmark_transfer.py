"""What does transfer bring? From scratch against every strategy, at equal time, on three small targets.

    python examples/benchmarks/benchmark_transfer.py --noto DIR --fluent DIR --flowers DIR --features FILE --output DIR

- `emoji`: from the packaged `emoji_64` (Noto) to 223 Fluent emoji of animals and food (`fewshot_animals_food.jsonl`).
- `faces`: from the packaged `shapes_64` to 300 rendered cartoon faces.
- `flowers`: from a run on 82 species, made first, to 200 photos of the 20 others (`zs_split`).

Each is a comparison as `keras-t2i compare` makes them, with pictures and costs on a page of its own: every strategy
once, then from scratch and the best three with more seeds. Batches are of 8 images, as `keras-t2i finetune` has them
for so few; from scratch is trained so too, and with batches of 32, as `keras-t2i train` has them. Killed and started
again, it goes on where it was; table and figure hold all tasks that are done, whichever call made them. A run takes 6
minutes of two cores by default, and all of it about eight hours; what to expect:
`examples/results/transfer.md`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_t2i import runs
from keras_t2i.runs.compare import ComparisonConfig, compare
from keras_t2i.runs.compare.methods import file_name
from keras_t2i.runs.config import RunConfig

TASKS = ("emoji", "faces", "flowers")
BATCH = 8
SCRATCH = ("compact", "compact:batch_size=32")
STRATEGIES = ("full", "freeze_early", "freeze_d", "modulation", "lora", "ewc", "correspondence", "mixing")
BEST = 3
METRIC = "kernel_distance"
FLOWERS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noto", type=Path, help="folder of Noto emoji; needed by mixing and ewc")
    parser.add_argument("--fluent", type=Path, help="folder of Fluent emoji")
    parser.add_argument("--flowers", type=Path, help="folder of Oxford 102 flowers with the column zs_split")
    parser.add_argument("--features", required=True, help="image features: mobilenet_v2 or a file of its weights")
    parser.add_argument("--minutes", type=float, default=6.0, help="minutes of training each")
    parser.add_argument("--source-minutes", type=float, default=30.0, help="minutes of the source run on flowers")
    parser.add_argument("--seeds", type=int, default=3, help="runs of from scratch and of the best three")
    parser.add_argument("--tasks", default=",".join(TASKS), help="some of them, separated by commas")
    parser.add_argument("--strategies", default=",".join(STRATEGIES), help="methods of `compare`, likewise")
    parser.add_argument("--output", "-o", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for task in options.tasks.split(","):
        benchmark(task, options)
        write(options.output)
    print((options.output / "transfer.md").read_text(encoding="utf-8"))


def benchmark(task: str, options: argparse.Namespace) -> None:
    """Compares every strategy once, then the best with more seeds."""
    base, source, source_data = {"emoji": emoji, "faces": faces, "flowers": flowers}[task](options)
    base = replace(base, batch_size=BATCH, augment=True)
    common: dict[str, Any] = {
        "minutes": options.minutes,
        "features": options.features,
        "source": source,
        "source_data": source_data,
    }
    names = (*SCRATCH, *options.strategies.split(","))
    first, second = (options.output / task / name for name in ("all", "best"))
    compare(ComparisonConfig(base, names, num_seeds=1, **common), first, say)
    everything = json.loads((first / "comparison.json").read_text(encoding="utf-8"))
    ranked = sorted(
        (method for method in everything["methods"] if method["summary"].get(METRIC) and method["name"] not in SCRATCH),
        key=lambda method: method["summary"][METRIC]["mean"],
    )
    best = (*SCRATCH, *(method["name"] for method in ranked[:BEST]))
    (second / "results").mkdir(parents=True, exist_ok=True)
    for name in best:  # The first seed has been run.
        for suffix in (".json", ".npz"):
            found = first / "results" / f"{file_name(name)}-0{suffix}"
            if found.exists():
                shutil.copy2(found, second / "results" / found.name)
    compare(ComparisonConfig(base, best, num_seeds=options.seeds, **common), second, say)


Task = tuple[RunConfig, str, str]
"""What is trained on, what is started from, and what that was trained on."""


def emoji(options: argparse.Namespace) -> Task:
    """Fluent emoji of animals and food, in the captions that Noto has too."""
    folder = options.output / "data" / "fluent"
    train = rows(options.fluent / "fewshot_animals_food.jsonl")
    groups = {row["group"] for row in train}
    known = {row["file_name"] for row in train}
    held_out = [
        row
        for row in rows(options.fluent / "metadata.jsonl")
        if row["group"] in groups and row["split"] == "test" and row["file_name"] not in known
    ]
    # So few are held out that distances are measured to all images of the two groups, as is usual with 100-image sets.
    write_folder(folder, options.fluent, train, [*held_out, *train])
    return RunConfig(str(folder)), "emoji_64", str(options.noto)


def faces(options: argparse.Namespace) -> Task:
    return RunConfig("faces:300"), "shapes_64", "shapes"


def flowers(options: argparse.Namespace) -> Task:
    """200 photos of 20 species, from a model of the 82 others."""
    source, target = (options.output / "data" / name for name in ("flowers-82", "flowers-20"))
    everything = rows(options.flowers / "metadata.jsonl")
    known = [row for row in everything if row["zs_split"] == "train"]
    unseen = [row for row in everything if row["zs_split"] == "test"]
    train = [unseen[number] for number in spread(len(unseen), FLOWERS)]
    names = {row["file_name"] for row in train}
    write_folder(
        source,
        options.flowers,
        [row for row in known if row["split"] == "train"],
        [row for row in known if row["split"] != "train"],
    )
    write_folder(target, options.flowers, train, [row for row in unseen if row["file_name"] not in names])
    run = options.output / "sources" / "flowers-82"
    say(f"Source of the flowers: {run}")
    runs.train(RunConfig(str(source), flip=True), run, minutes=options.source_minutes, verbose=2)
    return RunConfig(str(target), flip=True), str(run), str(source)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def spread(count: int, wanted: int) -> list[int]:
    """Numbers below `count`, evenly apart."""
    return [number * count // wanted for number in range(wanted)]


def write_folder(folder: Path, images: Path, train: list[dict[str, Any]], held_out: list[dict[str, Any]]) -> None:
    """A folder of captioned images with these rows in the two splits; images are copied once."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for split, some in (("train", train), ("validation", held_out)):
        for row in some:
            name = f"images/{split}-{Path(row['file_name']).name}"
            if not (folder / name).exists():
                shutil.copyfile(images / row["file_name"], folder / name)
            lines.append(json.dumps({"file_name": name, "text": row["text"], "split": split}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def summaries(output: Path) -> dict[str, dict[str, Any]]:
    """Of each task that is done, in this call or in one before: the best with all seeds, then the others."""
    found = {}
    for task in TASKS:
        files = [output / task / name / "comparison.json" for name in ("best", "all")]
        if all(file.exists() for file in files):
            chosen, everything = (json.loads(file.read_text(encoding="utf-8")) for file in files)
            best = {method["name"] for method in chosen["methods"]}
            others = [method for method in everything["methods"] if method["name"] not in best]
            found[task] = {**chosen, "methods": [*chosen["methods"], *others]}
    return found


def write(output: Path) -> None:
    """Table and curves of the tasks that are done."""
    done = summaries(output)
    lines = []
    for task, comparison in done.items():
        lines += [f"## {task}", "", *table(comparison), ""]
    (output / "transfer.md").write_text("\n".join(lines), encoding="utf-8")
    draw(output / "transfer.png", done)


def table(comparison: dict[str, Any]) -> Iterator[str]:
    """One line a method: distance, obedience, and the share of the images that from scratch needs for its quality.

    That is the lower distance of the two sizes of its batches.
    """
    measures = [metric for metric in comparison["metrics"] if metric["key"] in (METRIC, *OBEDIENCE)]
    labels = [metric["label"] for metric in measures]
    yield f"| method | seeds | {' | '.join(labels)} | images to the distance of from scratch |"
    yield "|---" * (len(labels) + 3) + "|"
    tried = [method for method in comparison["methods"] if method["name"] in SCRATCH and method["summary"].get(METRIC)]
    scratch = min(tried, key=lambda method: method["summary"][METRIC]["mean"])
    goal = scratch["summary"][METRIC]["mean"]
    total = max(run["images_seen"] for run in scratch["runs"])
    for method in sorted(comparison["methods"], key=lambda one: (one["summary"].get(METRIC) or {"mean": 1e9})["mean"]):
        cells = [cell(method["summary"].get(metric["key"]), metric["unit"]) for metric in measures]
        seeds = (method["summary"].get(METRIC) or {"num": 0})["num"]
        yield f"| {method['label']} | {seeds} | {' | '.join(cells)} | {reached(method, goal, total)} |"


OBEDIENCE = ("all_attributes", "color_accuracy", "r_precision")


def cell(found: dict[str, float] | None, unit: str) -> str:
    if found is None:
        return "-"
    numbers = [f"{found[name]:.1%}" if unit == "share" else f"{found[name]:.3g}" for name in ("mean", "low", "high")]
    return numbers[0] if found["num"] < 2 else f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def reached(method: dict[str, Any], goal: float, total: int) -> str:
    """The first moment of the curve, averaged over seeds, at which a distance is as low as the goal."""
    curves = [run["curve"] for run in method["runs"] if run.get("curve")]
    for moments in zip(*curves, strict=False):
        if sum(moment["metrics"][METRIC] for moment in moments) / len(moments) <= goal:
            images = sum(moment["images_seen"] for moment in moments) / len(moments)
            return f"{images:,.0f} ({images / total:.0%})"
    return "not reached"


def draw(path: Path, comparisons: dict[str, Any]) -> None:
    """Distance against minutes, one panel a task."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import ScalarFormatter

    names = {method["name"] for comparison in comparisons.values() for method in comparison["methods"]}
    colors = dict.fromkeys(SCRATCH, "black") | {
        name: f"C{number}" for number, name in enumerate(sorted(names - set(SCRATCH)))
    }
    figure, axes = plt.subplots(
        1, len(comparisons), figsize=(5 * len(comparisons) + 2, 4), squeeze=False, layout="constrained"
    )
    for panel, (task, comparison) in zip(axes[0], comparisons.items(), strict=True):
        for method in comparison["methods"]:
            curves = [run["curve"] for run in method["runs"] if run.get("curve")]
            points = [
                (
                    sum(moment["minutes"] for moment in moments) / len(moments),
                    sum(moment["metrics"][METRIC] for moment in moments) / len(moments),
                )
                for moments in zip(*curves, strict=False)
            ]
            if points:
                name = method["name"]
                style = {"color": colors[name], "linewidth": 2.5 if name in SCRATCH else 1.5, "markersize": 3}
                style |= {"marker": "o", "linestyle": "--" if name == SCRATCH[1] else "-"}
                panel.plot(*zip(*points, strict=True), label=method["label"], **style)
        panel.set_title(task)
        panel.set_xlabel("minutes of training")
        panel.set_ylabel("kernel distance (lower is better)")
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(ScalarFormatter())
        panel.yaxis.set_minor_formatter(ScalarFormatter())
        panel.grid(alpha=0.3)
    labels = {line.get_label(): line for panel in axes[0] for line in panel.get_lines()}
    figure.legend(labels.values(), labels.keys(), fontsize=8, loc="outside right upper")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
