"""Checks on real images that the numbers move as they should: damages images by degrees and measures what that changes.

Command:  python examples/benchmarks/validate_metrics.py --data shapes --data FOLDER --features mobilenet_v2 \\
            --output metrics.md
Needs:    captioned images, "shapes" or "faces" or folders; for folders MobileNetV2 weights, from Keras or as a file
Cost:     6 minutes of one core for a folder of 8,000 images, 2 for shapes; half of it to train a judge of captions
Result:   Markdown: for each set of images a table of damages and measures, and for each measure that a damage is
          expected to move in one direction whether it did

Real images are compared with other real images, as many of both, taken from the training images. For the judge of
captions, which was trained on those, held-out images are damaged likewise.

Two "no" are the measures' own. The cubic kernel of the kernel distance grows with the length of features: heavy blur,
which shortens them, can come out nearer than moderate blur. And precision may rise again under heavy damage, when all
images fall into the balls of a few real ones; coverage tells that apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_t2i.data import CaptionedImages, Split
from keras_t2i.data.folder import read_folder
from keras_t2i.data.pairs import real_pairs
from keras_t2i.metrics import (
    forms_within_caption,
    frechet_distance,
    hatching,
    kernel_distance,
    manifold_metrics,
    perceptual_distances,
    r_precision,
    spectral_difference,
    text_image_score,
)
from keras_t2i.metrics.instruments import instruments_for
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

IMAGE_SIZE = 64
MAX_IMAGES, MAX_JUDGED = 800, 400
NUM_HALVINGS = 10
SMALLER = (50, 100, 200, 400)
CATEGORY_COLUMNS = ("class_name", "subgroup", "group", "label")
"""Columns of a folder's metadata that may say what kind of thing an image shows; the first present is used."""

MEASURES = {
    "kernel_distance": "kernel distance",
    "frechet_distance": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "text_image_score": "text-image score",
    "r_precision": "R-precision",
    "spectrum_worst": "worst band, dB",
    "hatching": "hatching, dB",
    "variety": "variety in a caption",
    "forms": "of forms",
}
_WORSE = {"kernel_distance": 1, "frechet_distance": 1, "precision": -1, "density": -1, "coverage": -1}
_UNFIT = {"text_image_score": -1, "r_precision": -1}
EXPECTED: dict[str, dict[str, int]] = {
    "blur": _WORSE | _UNFIT | {"spectrum_worst": 1},
    "noise": _WORSE | _UNFIT | {"spectrum_worst": 1},
    "hatching": _WORSE | _UNFIT | {"spectrum_worst": 1, "hatching": 1},
    "one picture a caption": {"variety": -1, "forms": -1},
    "one form a caption": {"forms": -1},
    "fewer categories": {"kernel_distance": 1, "frechet_distance": 1, "recall": -1, "coverage": -1},
    "duplicates": {"kernel_distance": 1, "frechet_distance": 1, "recall": -1, "coverage": -1},
    "wrong captions": _UNFIT,
}
"""Which way each damage must move a measure; the others may go either way."""


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Images, uint8, shape `(N, H, W, 3)`, under a Gaussian blur of `sigma` pixels, mirrored at the edges."""
    reach = int(np.ceil(3 * sigma))
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    result = images.astype(np.float32)
    for axis in (1, 2):
        padding = [(reach, reach) if axis == each else (0, 0) for each in range(4)]
        padded = np.pad(result, padding, mode="symmetric")
        places = np.arange(images.shape[axis])
        shifted = (
            np.take(padded, places + shift, axis) * weight for shift, weight in enumerate(weights / weights.sum())
        )
        result = sum(shifted, np.zeros((), np.float32))
    return np.rint(result).astype(np.uint8)


def noisy(images: np.ndarray, deviation: float) -> np.ndarray:
    """Images, uint8, with Gaussian noise of a standard deviation of so many of 255 levels."""
    noise = np.random.default_rng(0).normal(0.0, deviation, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def hatched(images: np.ndarray, strength: float) -> np.ndarray:
    """Images, uint8, under diagonal waves of so many of 255 levels, four pixels from one to the next either way."""
    rows, columns = np.mgrid[: images.shape[1], : images.shape[2]]
    waves = strength * np.cos(0.5 * np.pi * (rows + columns))
    return np.clip(np.rint(images + waves[None, :, :, None]), 0, 255).astype(np.uint8)


PIXEL_DAMAGES: list[tuple[str, str, Callable[[np.ndarray], np.ndarray]]] = [
    *(("blur", f"sigma {sigma} px", lambda images, sigma=sigma: blurred(images, sigma)) for sigma in (1, 2, 4)),
    *(("noise", f"sd {level} of 255", lambda images, level=level: noisy(images, level)) for level in (10, 30, 60)),
    *(("hatching", f"{level} of 255", lambda images, level=level: hatched(images, level)) for level in (4, 8, 16)),
]
SHARES = {"half": 2, "a quarter": 4, "an eighth": 8}


@dataclass
class Row:
    """What one degree of one damage leads to: the measures, those that it cannot touch left out."""

    damage: str
    degree: str
    numbers: dict[str, float] = field(default_factory=dict)


def distances(real: np.ndarray, candidates: np.ndarray) -> dict[str, float]:
    kernel = kernel_distance(real, candidates)
    return {
        "kernel_distance": kernel.value,
        "kernel_distance_low": kernel.low,
        "kernel_distance_high": kernel.high,
        "frechet_distance": frechet_distance(real, candidates),
        **manifold_metrics(real, candidates),
    }


def texture(real: np.ndarray, candidates: np.ndarray) -> dict[str, float]:
    worst = max(map(abs, spectral_difference(candidates, real).values()))
    return {"spectrum_worst": worst, "hatching": hatching(candidates, real)[0]}


def variety(features: Any, split: Split, captions: list[str]) -> list[Row]:
    """Pairs of real images that share a caption, of which some are made one image, or one in another light."""
    pairs = real_pairs(split, captions)
    if pairs is None:
        return []
    order = np.random.default_rng(1).permutation(len(pairs.images))
    beside, taken = np.array_split(pairs.images[order], 2)
    others = [split.pixels(beside[:, side]) for side in (0, 1)]
    apart, forms = perceptual_distances(features, *others).mean(), forms_within_caption(np.stack(others, axis=1))
    lights = np.random.default_rng(2).uniform(0.4, 1.0, (len(taken), 1, 1, 3))
    first, other = (split.pixels(taken[:, side]) for side in (0, 1))
    rows = []
    for damage, copies in (("one picture a caption", first), ("one form a caption", np.rint(first * lights))):
        for percent in (0, 25, 50, 100):
            same = len(taken) * percent // 100
            second = np.concatenate([copies[:same].astype(np.uint8), other[same:]])
            found = {
                "variety": float(perceptual_distances(features, first, second).mean() / apart),
                "forms": forms_within_caption(np.stack([first, second], axis=1)) / forms,
            }
            rows.append(Row(damage, f"{percent} % of captions", found))
    return rows


def fit(judge: Any, images: np.ndarray, captions: list[str]) -> dict[str, float]:
    embeddings, texts = judge.image_embeddings(images), judge.text_embeddings(captions)
    share = r_precision(embeddings, texts, captions).share
    return {"text_image_score": text_image_score(embeddings, texts), "r_precision": share}


def categories_of(data: str, dataset: CaptionedImages) -> np.ndarray | None:
    """The category of each training image, "" where it has none; `None` where the data name no categories."""
    if dataset.train_split.labels is not None:
        return dataset.train_split.labels[:, 0].astype(str)
    metadata = Path(data) / "metadata.jsonl"
    if not metadata.is_file():
        return None
    rows = {row["file_name"]: row for row in map(json.loads, metadata.read_text(encoding="utf-8").splitlines())}
    column = next((name for name in CATEGORY_COLUMNS if name in next(iter(rows.values()))), None)
    if column is None:
        return None
    contents = read_folder(data, IMAGE_SIZE)
    names = [contents.files[number].name for number in contents.splits(0.1, seed=0)["train"]]
    return np.asarray([str(rows[name].get(column) or "") for name in names])


def most_frequent(categories: np.ndarray, divisor: int) -> np.ndarray:
    """Whether each image is of one of the most frequent categories, one in `divisor` of them."""
    ranked = [category for category, _ in Counter(categories[categories != ""].tolist()).most_common()]
    return np.isin(categories, ranked[: max(1, len(ranked) // divisor)])


def partly_shuffled(captions: list[str], percent: int) -> list[str]:
    """Captions of which so many percent have gone to another image."""
    moved = np.random.default_rng(0).permutation(len(captions))[: len(captions) * percent // 100]
    result = list(captions)
    for place, source in zip(moved, np.roll(moved, 1), strict=True):
        result[place] = captions[source]
    return result


def tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def validate(data: str, features_name: str) -> list[str]:
    """Measures every damage of one set of images; returns a section of Markdown."""
    config = RunConfig(data=data, image_size=IMAGE_SIZE)
    dataset = dataset_of(config)
    built_in = dataset.train_split.labels is not None
    tell(f"{dataset.name}: training the judge of captions")
    instruments = instruments_for(dataset, config.domain, True, "auto" if built_in else features_name)
    features, judge = instruments.features, instruments.text_image
    assert features is not None
    assert judge is not None

    train, held_out = dataset.train_split, dataset.validation_split or dataset.train_split
    categories = categories_of(data, dataset)
    size = min(MAX_IMAGES, train.num_images // 2)
    if categories is not None:
        # Once the real images are drawn, the fewest categories must still have as many.
        fewest = int(most_frequent(categories, max(SHARES.values())).sum())
        size = min(size, int(0.9 * fewest * train.num_images / (fewest + train.num_images)))
    random = np.random.default_rng(0)
    order = random.permutation(train.num_images)
    others = order[size:]
    tell(f"{dataset.name}: {size} images against {size} others")
    real, candidate_images = features(train.pixels(order[:size])), train.pixels(others[:size])
    candidates = features(candidate_images)
    judged = np.sort(random.permutation(held_out.num_images)[:MAX_JUDGED])
    judged_images = held_out.pixels(judged)
    captions = [held_out.captions[position] for position in held_out.caption_of_each()[judged]]

    both = np.concatenate([real, candidates])
    halvings = [np.split(both[random.permutation(2 * size)], 2) for _ in range(NUM_HALVINGS)]
    floor = [distances(*halves) for halves in halvings]
    real_images = train.pixels(order[:size])
    undamaged = distances(real, candidates) | fit(judge, judged_images, captions)
    undamaged |= texture(real_images, candidate_images)
    varied = variety(features, train, [train.captions[ids[0]] for ids in train.caption_ids[:MAX_JUDGED]])
    undamaged |= varied.pop(0).numbers if varied else {}
    rows = [Row("none", "", undamaged)]
    for damage, degree, change in PIXEL_DAMAGES:
        tell(f"{dataset.name}: {damage}, {degree}")
        numbers = distances(real, features(change(candidate_images))) | texture(real_images, change(candidate_images))
        rows.append(Row(damage, degree, numbers | fit(judge, change(judged_images), captions)))
    for share, divisor in SHARES.items():
        if categories is not None:
            kept = others[most_frequent(categories, divisor)[others]][:size]
            if len(kept) == size:
                numbers = distances(real, features(train.pixels(kept)))
                rows.append(Row("fewer categories", f"{share} of them", numbers))
    for share, divisor in SHARES.items():
        repeated = np.resize(candidates[: size // divisor], candidates.shape)
        rows.append(Row("duplicates", f"{share} of the images distinct", distances(real, repeated)))
    rows += varied
    for percent in (25, 50, 100):
        changed = partly_shuffled(captions, percent)
        rows.append(Row("wrong captions", f"{percent} %", fit(judge, judged_images, changed)))

    chance = 1 / min(100, len(set(captions)))
    lines = [f"## {dataset.name}", ""]
    lines += [
        f"Features: {features.name}. {size} images on either side at {IMAGE_SIZE} px; judge of captions: {judge.name}, "
        f"on {len(judged)} held-out images; R-precision by chance {chance:.1%}.",
        "",
    ]
    lines += [*_measured(rows, floor), "", *_monotone(rows, floor), "", *_numbers_of_images(both, random), ""]
    return lines


def _measured(rows: list[Row], floor: list[dict[str, float]]) -> list[str]:
    lines = [_line("damage", "degree", *MEASURES.values()), _line(*["---"] * (2 + len(MEASURES)))]
    ranges = []
    for measure in MEASURES:
        found = [numbers[measure] for numbers in floor if measure in numbers]
        ranges.append(f"{np.mean(found):.3g} ({min(found):.3g} to {max(found):.3g})" if found else "")
    lines.append(_line("none", f"{len(floor)} random halvings: mean (range)", *ranges))
    for row in rows:
        cells = [f"{row.numbers[measure]:.3g}" if measure in row.numbers else "" for measure in MEASURES]
        if cells[0]:
            cells[0] += f" [{row.numbers['kernel_distance_low']:.3g}, {row.numbers['kernel_distance_high']:.3g}]"
        lines.append(_line(row.damage, row.degree, *cells))
    return lines


def _monotone(rows: list[Row], floor: list[dict[str, float]]) -> list[str]:
    """Whether each measure went only in the direction expected of it, from no damage to the heaviest.

    "within chance": it did but for steps back that are no larger than what halvings differ by.
    """
    names = {1: "rises", -1: "falls"}
    lines = [_line("monotone?", *MEASURES.values()), _line(*["---"] * (1 + len(MEASURES)))]
    for damage, directions in EXPECTED.items():
        series = [rows[0], *(row for row in rows if row.damage == damage)]
        if len(series) == 1:
            continue
        cells = []
        for measure in MEASURES:
            if measure not in directions:
                cells.append("")
                continue
            steps = np.diff([row.numbers[measure] for row in series]) * directions[measure]
            chance = np.ptp([numbers[measure] for numbers in floor]) if measure in floor[0] else 0.0
            answer = "yes" if np.all(steps >= 0) else "within chance" if np.all(steps >= -chance) else "no"
            cells.append(f"{names[directions[measure]]}: {answer if steps.sum() > 0 else 'no'}")
        lines.append(_line(damage, *cells))
    return lines


def _numbers_of_images(both: np.ndarray, random: np.random.Generator) -> list[str]:
    """What fewer undamaged images make of the distances."""
    lines = [_line("images on either side, undamaged", "kernel distance", "Fréchet distance"), _line(*["---"] * 3)]
    for size in [size for size in SMALLER if 2 * size < len(both)] + [len(both) // 2]:
        found = []
        for _ in range(NUM_HALVINGS):
            drawn = random.permutation(len(both))[: 2 * size]
            halves = both[drawn[:size]], both[drawn[size:]]
            found.append([kernel_distance(*halves).value, frechet_distance(*halves)])
        means, lowest, highest = np.mean(found, axis=0), np.min(found, axis=0), np.max(found, axis=0)
        ranges = [f"{m:.3g} ({a:.3g} to {b:.3g})" for m, a, b in zip(means, lowest, highest, strict=True)]
        lines.append(_line(str(size), *ranges))
    return lines


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, help='"shapes", "faces" or a folder; may be repeated')
    parser.add_argument("--features", default="mobilenet_v2", help="image features of folders: a name or a file")
    parser.add_argument("--output", type=Path, required=True, help="Markdown file to write")
    arguments = parser.parse_args()
    lines = ["# Do the numbers move as they should?", ""]
    for data in arguments.data:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*rows of .* cannot be used")
            lines += validate(data, arguments.features)
        temporary = arguments.output.with_suffix(".part")
        temporary.write_text("\n".join(lines), encoding="utf-8")
        temporary.replace(arguments.output)
    tell(f"written to {arguments.output}")


if __name__ == "__main__":
    main()
