"""Trains models that go wrong and models that do not: do the warnings of `evaluate` tell which is which?

Command:  python examples/benchmarks/alarms.py --folder /tmp/alarms
          python examples/benchmarks/alarms.py --first-seed 0 --runs 1      to tune by: other seeds than the table's
Needs:    nothing; what was finished in `--folder` is not trained again
Cost:     half a minute of one core a run: 20 minutes for 20 that are to go wrong and 20 that are not
Result:   a table, a row a way to train: runs, runs in which the fault did not happen (which count apart and are
          replaced by other seeds), runs with the right warning, and what was measured beside the warnings. Ends with 1
          where fewer than 95 % of the faults were told, more than 5 % of the healthy runs raised one of the warnings,
          or too few runs came out as they were meant to.

The warnings are those of collapse (between captions, and within one), of overfitting and of copies. Whether a fault has
happened is asked of none of the measures that they come from. `spread` and `within` are distances between images of
different captions and of one, in features of a frozen network with random weights, divided by those of real images;
`known` is the accuracy with which the discriminator's verdict tells training images from images rendered anew; `copied`
is the share of images that lie closer to a training image, in the same random features, than 99 % of images rendered
anew: by chance a hundredth. Between a fault and health lies a band (see `FAULT` and `HEALTHY`): runs that end in it
are neither.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COLLAPSE, OVERFITTING, COPIES = "collapse", "overfitting", "copies"
SAID: dict[str, tuple[str, ...]] = {
    COLLAPSE: ("Collapse:", "One caption, one picture:"),
    OVERFITTING: ("Overfitting:",),
    COPIES: ("Copies:",),
}
"""How the warnings of each fault begin."""
FAULT = {
    COLLAPSE: lambda found: min(found["spread"], found["within"]) < 0.4,
    OVERFITTING: lambda found: found["known"] > 0.75,
    COPIES: lambda found: found["copied"] > 0.15,
}
"""Whether it has happened, by what was measured beside the warnings."""
HEALTHY = {
    COLLAPSE: lambda found: min(found["spread"], found["within"]) > 0.5,
    OVERFITTING: lambda found: found["known"] < 0.65,
    COPIES: lambda found: found["copied"] < 0.05,
}
TOLD, FALSE = 0.95, 0.05
NUM_REAL, MAX_IMAGES = 300, 200
TRIES = 3
"""Seeds for each run of the table, where it does not come out as it was meant to."""


@dataclass(frozen=True, eq=False)
class Way:
    """A way to train: of which family, on what, with which settings, how long, and what is to come of it."""

    name: str
    data: str
    steps: int
    options: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None
    start_from: str | None = None


SMALL: dict[str, Any] = {"image_size": 32, "batch_size": 16}
LARGE: dict[str, Any] = {"image_size": 32, "batch_size": 64, "family": "mlp"}
WAYS = (
    Way("mlp, learning rate x 30", "faces:400", 60, {**LARGE, "learning_rate_scale": 30.0}, COLLAPSE),
    Way("mlp, 40 images", "faces:40", 200, LARGE, OVERFITTING),
    Way("mlp, 2,000 images", "faces:2000", 200, LARGE),
    Way("shapes_64 on faces", "faces:1500", 30, {"batch_size": 8}, start_from="shapes_64"),
    Way(
        "compact, 20 images by pixel",
        "faces:20",
        700,
        {**SMALL, "penalty": "none", "reconstruction": 30.0},
        COPIES,
    ),
    Way(
        "compact, learning rate x 30",
        "shapes:400",
        40,
        {**SMALL, "penalty": "none", "learning_rate_scale": 30.0},
        COLLAPSE,
    ),
    Way("dcgan, 40 images", "faces:40", 100, {**SMALL, "family": "dcgan"}, OVERFITTING),
    Way("emoji_64 on shapes", "shapes:1500", 30, {"batch_size": 8}, start_from="emoji_64"),
    Way("compact, shapes", "shapes", 150, SMALL),
    Way("compact, 2,000 faces", "faces:2000", 150, SMALL),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4, help="of each way to train")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--ways", default="", help="only those whose names contain this")
    parser.add_argument("--folder", type=Path, help="where results are kept; by default nowhere")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = (options.folder or Path(scratch)) / "results.jsonl"
        results.parent.mkdir(parents=True, exist_ok=True)
        rows = {}
        for way in (way for way in WAYS if options.ways in way.name):
            rows[way] = list(tried(way, options.runs, options.first_seed, results))
    print("\n".join(table(rows)), flush=True)
    return 0 if reached(rows, options.runs) else 1


def tried(way: Way, runs: int, first_seed: int, results: Path) -> Iterator[dict[str, Any]]:
    """Runs until so many came out as they were meant to, each of another seed, or there were too many."""
    done = {(each["way"], each["seed"]): each for each in lines(results)}
    right = 0
    for seed in range(first_seed, first_seed + TRIES * runs):
        if right == runs:
            return
        found = done.get((way.name, seed))
        if found is None:
            found = {"way": way.name, "seed": seed, **run(way, seed)}
            with open(results, "a") as file:
                file.write(json.dumps(found) + "\n")
        right += as_meant(way, found)
        told = {name: value for name, value in found.items() if name != "warnings"}
        print(f"{told} {[text.partition(':')[0] for text in found['warnings']]}", file=sys.stderr, flush=True)
        yield found


def as_meant(way: Way, found: Mapping[str, Any]) -> bool:
    """Whether a run had its fault, or was healthy where it was to have none."""
    return FAULT[way.fault](found) if way.fault else all(healthy(found) for healthy in HEALTHY.values())


def raised(found: Mapping[str, Any]) -> set[str]:
    """The faults that a run was warned of."""
    return {fault for fault, said in SAID.items() if any(text.startswith(said) for text in found["warnings"])}


def run(way: Way, seed: int) -> dict[str, Any]:
    """Trains a model and says what `evaluate` warns of, and what was measured beside it."""
    import keras

    from keras_t2i.metrics import evaluate_model, warnings_for
    from keras_t2i.metrics.instruments import instruments_for
    from keras_t2i.runs import RunConfig
    from keras_t2i.runs.derived import finetuning
    from keras_t2i.runs.prepare import prepare

    begun, spent = time.time(), time.process_time()
    keras.backend.clear_session()
    if way.start_from is None:
        config = RunConfig(way.data, seed=seed, **way.options)
    else:
        config = finetuning(way.start_from, way.data, seed=seed, **way.options)
    ready = prepare(config)
    model, data = ready.model, ready.data
    model.fit(data.train_from(), steps_per_epoch=way.steps, epochs=1, verbose=0)
    instruments = instruments_for(data, config.domain, judge="none")
    found = evaluate_model(model, data, **instruments.as_arguments(), max_images=MAX_IMAGES)
    numbers = {
        name: found.numbers.get(name)
        for name in ("diversity", "variety_within_caption", "discriminator_gap", "memorization")
    }
    measured = beside(model, data, config.domain, found.generated, seed)
    took = {"seconds": round(time.time() - begun), "processor": round(time.process_time() - spent, 1)}
    return {**measured, **numbers, **took, "warnings": warnings_for(found.numbers)}


def beside(model: Any, data: Any, domain: str, drawn: Any, seed: int) -> dict[str, float]:
    """What tells a fault without the measures that warn of it."""
    import numpy as np

    from keras_t2i.data import RENDERED

    size = data.image_size
    anew = RENDERED[domain].load(num_images=NUM_REAL, image_size=size, seed=10**6 + seed).train_split
    again = RENDERED[domain].load(num_images=None, image_size=size).train_split
    train = data.train_split
    some = np.random.default_rng(seed).permutation(train.num_images)[:2000]
    seen, real = train.pixels(some), anew.pixels(np.arange(NUM_REAL))
    pairs = [again.pixels(np.arange(0, NUM_REAL, 4), each) for each in (1, 2)]
    of_drawn, of_seen, of_real = (frozen(images) for images in (drawn.reshape(-1, *drawn.shape[2:]), seen, real))
    first, second = of_drawn[::2], of_drawn[1::2]
    one, other = (frozen(images) for images in pairs)
    logits = [
        verdicts(model, split, numbers) for split, numbers in ((train, some[:NUM_REAL]), (anew, np.arange(NUM_REAL)))
    ]
    near = nearest(of_drawn, of_seen), nearest(of_real, of_seen)
    return {
        "spread": apart(first, np.roll(first, 1, axis=0)) / apart(of_real, np.roll(of_real, 1, axis=0)),
        "within": apart(first, second) / apart(one, other),
        "known": accuracy(*logits),
        "copied": float(np.mean(near[0] < np.quantile(near[1], 0.01))),
    }


def frozen(images: Any) -> Any:
    """Features of images, uint8, shape `(N, H, W, 3)`, in a network of random weights, always the same; `(N, D)`."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    x = tf.image.resize(tf.cast(images, tf.float32) / 127.5 - 1.0, (32, 32), antialias=True)
    for channels in (16, 32, 48):
        weights = random.standard_normal((3, 3, x.shape[-1], channels)) * np.sqrt(2 / (9 * x.shape[-1]))
        x = tf.nn.relu(tf.nn.conv2d(x, tf.constant(weights, tf.float32), 2, "SAME"))
    return tf.reshape(x, (len(images), -1)).numpy()


def apart(a: Any, b: Any) -> float:
    """The median distance of rows to their counterparts."""
    import numpy as np

    return float(np.median(np.linalg.norm(a - b, axis=1)))


def nearest(rows: Any, others: Any) -> Any:
    """The distance of each row to the nearest of the others."""
    import numpy as np

    return np.asarray([np.linalg.norm(others - row, axis=1).min() for row in rows])


def verdicts(model: Any, split: Any, numbers: Any) -> Any:
    """The discriminator's logits of images of a split beside their captions."""
    import numpy as np

    images = split.pixels(numbers).astype(np.float32) / 127.5 - 1.0
    text = model.text_encoder.encode([split.captions[split.caption_ids[number][0]] for number in numbers])
    return np.asarray(model.discriminator(images, text, training=False)).ravel()


def accuracy(train: Any, anew: Any) -> float:
    """How often the best threshold for one half of both is right about the other half, where both count alike."""
    import numpy as np

    limits = np.unique(np.concatenate([train[::2], anew[::2]]))
    best = max(limits, key=lambda limit: np.mean(train[::2] >= limit) + np.mean(anew[::2] < limit))
    return float(np.mean(train[1::2] >= best) + np.mean(anew[1::2] < best)) / 2


def table(rows: Mapping[Way, list[dict[str, Any]]]) -> list[str]:
    """Markdown: a row a way to train."""
    names = ("spread", "within", "known", "copied")
    told = [
        "| way to train | fault | runs | did not come out so | warned rightly | warned falsely | "
        + " | ".join(names)
        + " |"
    ]
    told.append("|---" * (6 + len(names)) + "|")
    for way, found in rows.items():
        meant = [each for each in found if as_meant(way, each)]
        spans = [f"{min(e[n] for e in meant):.2f} to {max(e[n] for e in meant):.2f}" if meant else "" for n in names]
        counts = (len(meant), len(found) - len(meant), *counted(way, found))
        told.append(f"| {way.name} | {way.fault or 'none'} | " + " | ".join(map(str, (*counts, *spans))) + " |")
    return told


def counted(way: Way, found: list[dict[str, Any]]) -> tuple[str, str]:
    """Of runs that came out as they were meant to: how many were warned of their fault; of any, where there is none."""
    meant = [raised(each) for each in found if as_meant(way, each)]
    return (str(sum(way.fault in each for each in meant)), "") if way.fault else ("", str(sum(map(bool, meant))))


def reached(rows: Mapping[Way, list[dict[str, Any]]], runs: int) -> bool:
    """Whether all runs came out as they were meant to in the end, enough faults were told and few enough others."""
    meant = {way: [each for each in found if as_meant(way, each)] for way, found in rows.items()}
    faults = [way.fault in raised(each) for way, found in meant.items() if way.fault for each in found]
    others = [bool(raised(each)) for way, found in meant.items() if not way.fault for each in found]
    if any(len(found) < runs for found in meant.values()):
        return False
    return sum(faults) >= TOLD * len(faults) and sum(others) <= FALSE * len(others)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
