"""Compares what reads the captions: what does pretraining bring, above all on words that never occurred in training?

The same compact generator is trained on rendered shapes for equal steps with four frozen readers of captions:

    caption_mini_en   the encoder in the package, distilled from all-MiniLM-L6-v2
    minilm            all-MiniLM-L6-v2 itself (a KerasNLP preset name, or a directory)
    random_weights    the network of caption_mini_en with the numbers of each weight shuffled: nothing learned is left
    bag_of_words      a fixed random vector for each word, added up: no order, no similar words, no network

Command:  python examples/benchmarks/compare_text_encoders.py --output encoders --minilm all_minilm_l6_v2_en
          Stopped, the same command goes on. `--paraphrase` trains on captions with many words for the same thing, of
          which those of the tests are none. `--minilm none` leaves that one out.
Cost:     for each encoder and seed, 2,500 steps: about 5 minutes of two cores; captions are embedded once, 17,000 of
          them (2 to 8 minutes)
Result:   a table in Markdown, also in OUTPUT/table.md: attributes right, as a classifier of real shapes sees them, in
          images of held-out captions, and of the same captions with one or with all words replaced by synonyms
          (crimson, disk, tiny, azure) that are in no training caption
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_t2i
from keras_t2i import training
from keras_t2i.data import SHAPE_ATTRIBUTES, CaptionedImages, shape_synonym_captions
from keras_t2i.metrics import AttributeJudge
from keras_t2i.metrics.instruments import instruments_for
from keras_t2i.networks import CompactDiscriminator, CompactGenerator
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import cached
from keras_t2i.text import CaptionEncoder, TextEncoder

IMAGES_PER_CAPTION = 2
COLUMNS = {
    "held_out": "held-out captions: all five right",
    "one_synonym": "one word replaced: all five right",
    "replaced_attribute": "the replaced word's attribute",
    "all_synonyms": "all words replaced: all five right",
    "all_synonyms_mean": "an attribute, all words replaced",
}


class BagOfWords:
    """Reads a caption as the sum of its words, each a fixed random vector; of unit root mean square.

    Args:
        embedding_dim: Length of the vectors, D.
    """

    def __init__(self, embedding_dim: int = 128) -> None:
        self.embedding_dim = embedding_dim
        self.fingerprint = hashlib.sha256(f"bag of words {embedding_dim}".encode()).hexdigest()
        self._vector = functools.cache(self._draw)

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Sentence embeddings, float32, shape `(len(captions), D)`; of a caption without words, zeros."""
        return np.stack([self._sum(caption) for caption in captions])

    def _sum(self, caption: str) -> np.ndarray:
        words = re.findall(r"\w+", caption.lower())
        total = sum((self._vector(word) for word in words), np.zeros(self.embedding_dim))
        return (total / max(np.sqrt(np.mean(total**2)), 1e-12)).astype(np.float32)

    def _draw(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:8], "big")
        return np.random.default_rng(seed).normal(size=self.embedding_dim)


def random_weights(name: str = "caption_mini_en", seed: int = 0) -> TextEncoder:
    """The encoder of that name with the numbers of each of its weights shuffled.

    Shuffled rather than drawn anew: with KerasNLP's small initial weights all captions would look nearly alike, and
    lose for that reason.
    """
    encoder = TextEncoder.from_preset(name)
    random = np.random.default_rng(seed)
    for weight in encoder.backbone.weights:
        weight.assign(random.permutation(weight.numpy().ravel()).reshape(weight.shape))
    encoder.packaged_name = None
    return encoder


def encoders(minilm: str) -> dict[str, Callable[[], Any]]:
    """How to make each encoder that is compared: they are made one at a time."""
    made: dict[str, Callable[[], Any]] = {
        "caption_mini_en": lambda: TextEncoder.from_preset("caption_mini_en"),
        "minilm": lambda: TextEncoder.from_preset(minilm),
        "random_weights": random_weights,
        "bag_of_words": BagOfWords,
    }
    return {name: make for name, make in made.items() if name != "minilm" or minilm != "none"}


def train(encoder: Any, dataset: CaptionedImages, run: Path, steps: int, seed: int) -> keras_t2i.TextToImageGAN:
    """Trains the compact networks on embeddings of `encoder`, or goes on; returns the model."""
    # Words are added up faster than they are read from a file.
    dataset = dataset.encode(cached(encoder) if isinstance(encoder, CaptionEncoder) else encoder)
    keras.utils.set_random_seed(seed)
    generator, discriminator = CompactGenerator(dataset.image_size), CompactDiscriminator(dataset.image_size)
    gan = keras_t2i.TextToImageGAN(None, generator, discriminator, embedding_dim=encoder.embedding_dim)
    gan.compile(seed=seed)
    gan.adapt(dataset.train_split.embeddings)
    config = {"encoder": encoder.fingerprint, "seed": seed, "captions": len(dataset.train_split.captions)}
    training.train(gan, dataset, run, steps=steps, config=config, verbose=0)
    return gan


def measure(draw: Callable[[Sequence[str]], np.ndarray], labels: np.ndarray, judge: AttributeJudge) -> dict[str, float]:
    """Shares of attributes right in drawings of captions of held-out combinations, as they are and with synonyms.

    Args:
        draw: Returns `IMAGES_PER_CAPTION` images, uint8, of each caption, in order.
        labels: The held-out combinations, shape `(N, 5)`.
        judge: Sees the attributes of images.
    """

    def right(captions: Sequence[str], labels: np.ndarray) -> np.ndarray:
        return judge.predict(draw(captions)) == np.repeat(labels, IMAGES_PER_CAPTION, axis=0)

    phrasings = [keras_t2i.data.shape_captions(row) for row in labels]
    plain = right([texts[number % len(texts)] for number, texts in enumerate(phrasings)], labels)
    captions, one_labels, which = shape_synonym_captions(labels, replaced="one")
    one, replaced = right(captions, one_labels), np.repeat(which, IMAGES_PER_CAPTION)
    captions, all_labels, _ = shape_synonym_captions(labels, replaced="all")
    every = right(captions, all_labels)
    of_replaced = one[np.arange(len(one)), replaced]
    return {
        "held_out": float(plain.all(axis=1).mean()),
        "one_synonym": float(one.all(axis=1).mean()),
        "replaced_attribute": float(of_replaced.mean()),
        **{f"replaced_{name}": float(of_replaced[replaced == at].mean()) for at, name in enumerate(SHAPE_ATTRIBUTES)},
        "all_synonyms": float(every.all(axis=1).mean()),
        "all_synonyms_mean": float(every.mean()),
    }


def table(results: dict[str, list[dict[str, float]]]) -> str:
    """The results as Markdown: the mean over the seeds, and from the lowest to the highest where there are several."""

    def cell(values: Sequence[float]) -> str:
        mean = f"{np.mean(values):.1%}"
        return mean if len(values) == 1 else f"{mean} ({min(values):.1%} to {max(values):.1%})"

    keys = list(COLUMNS) + [f"replaced_{name}" for name in SHAPE_ATTRIBUTES]
    heads = list(COLUMNS.values()) + [f"replaced {name}" for name in SHAPE_ATTRIBUTES]
    lines = [f"| encoder | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, runs in results.items():
        lines.append(f"| {name} | {' | '.join(cell([run[key] for run in runs]) for key in keys)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="directory; a comparison in it goes on")
    parser.add_argument("--minilm", default="all_minilm_l6_v2_en", help="preset name or directory, or none")
    parser.add_argument("--steps", type=int, default=2500, help="steps of each run, of 32 images")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each encoder")
    parser.add_argument("--paraphrase", action="store_true", help="train on paraphrases and synonyms too")
    arguments = parser.parse_args()

    training.make_deterministic()
    config = RunConfig("shapes")
    results: dict[str, list[dict[str, float]]] = {}
    for name, make in encoders(arguments.minilm).items():
        encoder = make()
        for seed in range(arguments.seeds):
            run = arguments.output / f"{name}-{seed}"
            print(f"{run}: {arguments.steps} steps", file=sys.stderr, flush=True)
            dataset = keras_t2i.data.shapes(seed=seed, paraphrase=arguments.paraphrase)
            gan = train(encoder, dataset, run, arguments.steps, seed)
            file = run / f"measured-{arguments.steps}.json"
            if not file.exists():

                def draw(captions: Sequence[str], gan: Any = gan, encoder: Any = encoder) -> np.ndarray:
                    text = np.repeat(encoder.encode(captions), IMAGES_PER_CAPTION, axis=0)
                    return gan.generate_from_embeddings(text, seed=0)

                judge = instruments_for(dataset, config.domain, True, judge="none").attributes
                numbers = measure(draw, dataset.validation_split.labels, judge)
                file.with_suffix(".tmp").write_text(json.dumps(numbers, indent=2) + "\n")
                os.replace(file.with_suffix(".tmp"), file)
            results.setdefault(name, []).append(json.loads(file.read_text()))
        (arguments.output / "table.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
