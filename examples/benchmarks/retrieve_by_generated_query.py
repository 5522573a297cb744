"""Measures whether the image that a generator draws for a caption finds real images better than the caption does.

Command:  python examples/benchmarks/retrieve_by_generated_query.py --run RUN --data shapes --output retrieval.md
          python examples/benchmarks/retrieve_by_generated_query.py --run RUN --data FLOWERS_FOLDER \\
            --features mobilenet_v2
Needs:    a model trained on captioned images; a judge of captions is trained on the same images and kept in the cache
Cost:     2 to 4 minutes of one core, of which the judge of captions takes about one
Result:   a Markdown table (and JSON beside `--output`): recall among the held-out real images, by the query

The gallery are the held-out real images, the queries the captions of them. All gallery images that have the caption
count as found. By caption, images are ranked by the two towers of a `Retriever`; by drawn image, by the cosine between
their image features and the mean of those of some drawn images, once as they are and once by the retriever's image
tower; and by the sum of both, each standardized over the gallery.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

import keras_t2i
from keras_t2i.data import Split
from keras_t2i.metrics.instruments import instruments_for
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

CAPTION, DRAWN, DRAWN_TOWER = "caption", "drawn image", "drawn image, retriever's tower"
SUM, SUM_TOWER = "caption + drawn image", "caption + drawn image, retriever's tower"
DEPTHS = (1, 5, 10)


def queries_of(split: Split, max_queries: int) -> tuple[list[str], np.ndarray]:
    """Distinct captions, one an image at most, and which images have them: boolean, shape `(queries, images)`."""
    positions = np.unique(split.caption_of_each())
    if len(positions) > max_queries:
        positions = np.sort(np.random.default_rng(0).permutation(positions)[:max_queries])
    row = {int(position): number for number, position in enumerate(positions)}
    hits = np.zeros((len(positions), split.num_images), bool)
    for image, ids in enumerate(split.caption_ids):
        for position in ids:
            if position in row:
                hits[row[position], image] = True
    return [split.captions[position] for position in positions], hits


def first_ranks(scores: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """The place of each query's best hit among the images, from 1; among images of the same score, the middle one.

    Args:
        scores: The higher, the better, shape `(queries, images)`.
        hits: Which images a query should find, boolean, of the same shape; at least one each.
    """
    best = np.max(np.where(hits, scores, -np.inf), axis=1, keepdims=True)
    better, alike = (scores > best) & ~hits, (scores == best) & ~hits
    return 1 + better.sum(axis=1) + 0.5 * alike.sum(axis=1)


def cosines(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Cosine of each query with each image of the gallery."""
    return _unit(queries) @ _unit(gallery).T


def by_chance(hits: np.ndarray) -> dict[str, float]:
    """What a random order reaches: recall in the mean, and the median over the queries of the expected place."""
    num_images = hits.shape[1]
    counts = [int(count) for count in hits.sum(axis=1)]
    recall = {
        f"recall_{depth}": float(
            np.mean([1 - comb(num_images - count, min(depth, num_images)) / comb(num_images, min(depth, num_images))
                     for count in counts])
        )
        for depth in DEPTHS
    }  # fmt: skip
    return {**recall, "median_rank": float(np.median([(num_images + 1) / (count + 1) for count in counts]))}


def summary(ranks: np.ndarray) -> dict[str, float]:
    """Recall at each depth and the median place."""
    recall = {f"recall_{depth}": float(np.mean(ranks <= depth)) for depth in DEPTHS}
    return {**recall, "median_rank": float(np.median(ranks))}


def gain_interval(ranks: np.ndarray, reference: np.ndarray, depth: int = 10) -> tuple[float, float]:
    """95 % interval of the gain in recall over a reference, by resampling the queries in pairs."""
    gains = (ranks <= depth).astype(float) - (reference <= depth)
    rows = np.random.default_rng(0).integers(0, len(gains), (2000, len(gains)))
    low, high = np.quantile(gains[rows].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def retrieve(
    gan: Any,
    retriever: Any,
    features: Any,
    gallery: np.ndarray,
    captions: Sequence[str],
    hits: np.ndarray,
    center: np.ndarray,
    num_images: int = 4,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Ranks the gallery for every caption and returns the place of the best hit, by the kind of query.

    Args:
        gan: The model.
        retriever: Judge of captions, see `keras_t2i.metrics.Retriever`.
        features: Image features.
        gallery: Real images, uint8, shape `(N, H, W, 3)`.
        captions: The queries.
        hits: Which images each should find, boolean, shape `(len(captions), N)`.
        center: The mean of the features of training images, shape `(D,)`; without it all cosines are near 1.
        num_images: Images drawn for a caption.
        seed: Seed of the drawn images.
    """
    chunks = [captions[start : start + 64] for start in range(0, len(captions), 64)]
    drawn = np.concatenate([gan.generate(chunk, num_images, seed=seed + at) for at, chunk in enumerate(chunks)])

    def mean_by_caption(values: np.ndarray) -> np.ndarray:
        return values.reshape(len(captions), num_images, -1).mean(axis=1)

    towers = retriever.image_embeddings(gallery)
    scores = {
        CAPTION: cosines(retriever.text_embeddings(captions), towers),
        DRAWN: cosines(mean_by_caption(_unit(features(drawn) - center)), features(gallery) - center),
        DRAWN_TOWER: cosines(mean_by_caption(retriever.image_embeddings(drawn)), towers),
    }
    scores[SUM] = _standardized(scores[CAPTION]) + _standardized(scores[DRAWN])
    scores[SUM_TOWER] = _standardized(scores[CAPTION]) + _standardized(scores[DRAWN_TOWER])
    return {query: first_ranks(values, hits) for query, values in scores.items()}


def markdown(result: dict[str, Any]) -> str:
    """The results as a table."""
    lines = [
        f"{result['num_queries']:,} captions, {result['num_gallery']:,} held-out real images, of which"
        f" {result['mean_hits']:.1f} on average have the caption; {result['features']}; {result['num_images']} images"
        " drawn a caption. Gain: 95 % interval by resampling the queries.",
        "",
        "| query | recall@1, % | recall@5, % | recall@10, % | median rank | gain in recall@10 on the caption, points |",
        "|---|---|---|---|---|---|",
    ]
    for query, numbers in result["queries"].items():
        recalls = " | ".join(f"{numbers[f'recall_{depth}'] * 100:.1f}" for depth in DEPTHS)
        gain = numbers.get("gain_interval")
        gained = "-" if gain is None else f"{gain[0] * 100:+.1f} to {gain[1] * 100:+.1f}"
        lines.append(f"| {query} | {recalls} | {numbers['median_rank']:.1f} | {gained} |")
    return "\n".join(lines) + "\n"


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _standardized(scores: np.ndarray) -> np.ndarray:
    centered = scores - scores.mean(axis=1, keepdims=True)
    return centered / np.maximum(centered.std(axis=1, keepdims=True), 1e-12)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="a run of keras-t2i train, or a preset")
    parser.add_argument("--data", default="shapes", help="shapes, or the folder that the model was trained on")
    parser.add_argument("--features", default="auto", help="mobilenet_v2 or a file of image features")
    parser.add_argument("--images", type=int, default=4, help="images drawn for a caption")
    parser.add_argument("--queries", type=int, default=1000, help="at most so many captions")
    parser.add_argument("--output", type=Path, help="where to write the table; the numbers go beside it as .json")
    arguments = parser.parse_args()

    gan = keras_t2i.TextToImageGAN.from_preset(arguments.run)
    config = RunConfig(arguments.data, image_size=gan.image_size)
    dataset = dataset_of(config)
    instruments = instruments_for(dataset, config.domain, True, arguments.features)
    features, retriever, held_out = instruments.features, instruments.text_image, dataset.validation_split
    if features is None or retriever is None or held_out is None:
        raise SystemExit("Retrieval needs image features, captions and held-out images.")
    captions, hits = queries_of(held_out, arguments.queries)
    gallery = held_out.pixels(np.arange(held_out.num_images))
    sample = np.random.default_rng(0).permutation(dataset.train_split.num_images)[:2000]
    center = features(dataset.train_split.pixels(sample)).mean(axis=0)
    ranks = retrieve(gan, retriever, features, gallery, captions, hits, center, arguments.images)
    queries: dict[str, dict[str, Any]] = {query: dict(summary(places)) for query, places in ranks.items()}
    for query in set(queries) - {CAPTION}:
        queries[query]["gain_interval"] = gain_interval(ranks[query], ranks[CAPTION])
    result = {
        "num_queries": len(captions),
        "num_gallery": len(gallery),
        "mean_hits": float(hits.sum(axis=1).mean()),
        "features": features.name,
        "num_images": arguments.images,
        "queries": {**queries, "chance": by_chance(hits)},
    }
    table = markdown(result)
    print(table)
    if arguments.output is not None:
        arguments.output.write_text(table, encoding="utf-8")
        arguments.output.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
