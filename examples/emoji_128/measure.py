"""Measures emoji_128, or what is to become it, in features that it was not trained on.

Command:  python examples/emoji_128/measure.py FOLDER PRESET [PRESET ...] --squeezenet FILE
Needs:    the folder of make_data.py; SqueezeNet 1.0 as measure_in_squeezenet.py reads it
Cost:     10 minutes of one core, most of them for the judges
Result:   a table, a row a preset and one of real pictures: R-precision (1 of 100) on names trained on and on held-out
          ones, by a judge trained on the real pairs; styles that a linear classifier of real pictures finds obeyed;
          colors obeyed in "a COLOR THING" for 20 things in 8 colors that no caption has together; how far images of one
          name without a style differ, as a share of how far real ones of one name differ between styles.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from make_data import HUES, PACKAGES, TOLD_APART

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from measure_in_squeezenet import squeezenet

import keras_t2i
from keras_t2i.data.folder import read_folder
from keras_t2i.metrics import color_accuracy
from keras_t2i.metrics.perceptual import diversity_within_caption, perceptual_distances
from keras_t2i.metrics.retriever import Retriever
from keras_t2i.metrics.text_image import r_precision

NUM_CAPTIONS = 500
STYLES = tuple(PACKAGES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--squeezenet", type=Path, required=True)
    options = parser.parse_args()
    models = {name: keras_t2i.TextToImageGAN.from_preset(name) for name in options.presets}
    size = next(iter(models.values())).image_size
    judge = Judge(options.folder, size, squeezenet(options.squeezenet))
    print("| pictures | names | held-out names | style | color | variety |", "|---" * 6 + "|", sep="\n")
    print(judge.row("real", None), flush=True)
    for name, model in models.items():
        print(judge.row(name, model), flush=True)


class Judge:
    """What real pictures teach, and what they come to themselves."""

    def __init__(self, folder: Path, size: int, network: keras.Model) -> None:
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
        contents = read_folder(folder, size)
        position = {file.name: number for number, file in enumerate(contents.files)}
        order = [position[row["file_name"]] for row in rows]
        self.pixels = contents.records["pixels"][contents.positions[order]]
        self.rows = rows
        taps = [layer.output for layer in network.layers if isinstance(layer, layers.Concatenate)][1::2]
        maps = {f"map_{number}": tap for number, tap in enumerate(taps)}
        self.features = keras_t2i.ImageFeatures(
            keras.Model(network.input, {"pool": network.output["pool"], **maps}), "squeezenet-128"
        )
        train = [number for number, row in enumerate(rows) if row["split"] == "train"]
        self.retriever = Retriever(keras_t2i.ImageFeatures(network, "squeezenet-128"))
        self.retriever.fit(self.pixels[train], [rows[number]["text"] for number in train])
        told = statistics(network.output["pool"], taps)
        self.statistics = keras_t2i.ImageFeatures(keras.Model(network.input, {"pool": told}), "statistics-128")
        as_drawn = [number for number in train if "color" not in rows[number]]
        self.style_of = linear(
            self.statistics(self.pixels[as_drawn]), [STYLES.index(rows[n]["style"]) for n in as_drawn]
        )
        random = np.random.default_rng(0)
        plain = [n for n, row in enumerate(rows) if "color" not in row]
        self.chosen = {
            split: random.permutation([n for n in plain if rows[n]["split"] == split])[:NUM_CAPTIONS]
            for split in ("train", "validation")
        }
        self.apart = self._between_styles(random, plain)

    def row(self, name: str, model: Any) -> str:
        cells, styles = [], []
        for numbers in self.chosen.values():
            captions = [f"{self.rows[n]['name']}, {self.rows[n]['style']} style" for n in numbers]
            images = self.pixels[numbers] if model is None else model.generate(captions, seed=7)
            found = self.retriever.image_embeddings(images), self.retriever.text_embeddings(captions)
            cells.append(f"{r_precision(*found, captions).share:.1%}")
            asked = np.array([STYLES.index(self.rows[n]["style"]) for n in numbers])
            styles.append(np.mean(self.style_of(self.statistics(images)) == asked))
        cells.append(f"{np.mean(styles):.1%}")
        if model is None:
            return f"| {name} | {' | '.join([*cells, '', '1'])} |"
        colored = [f"a {color} {thing}" for thing in TOLD_APART for color in HUES]
        cells.append(f"{color_accuracy(model.generate(colored, seed=7), colored).share:.1%}")
        captions = [self.rows[n]["name"] for n in self.chosen["train"][:60]]
        several = model.generate(captions, num_images=4, seed=5)
        several = several.reshape(len(captions), 4, *several.shape[1:])
        cells.append(f"{diversity_within_caption(self.features, several) / self.apart:.2f}")
        return f"| {name} | {' | '.join(cells)} |"

    def _between_styles(self, random: np.random.Generator, plain: list[int]) -> float:
        by_name: dict[str, list[int]] = {}
        for number in plain:
            by_name.setdefault(self.rows[number]["name"], []).append(number)
        pairs = [random.choice(numbers, 2, replace=False) for numbers in by_name.values() if len(numbers) > 1][:300]
        first, second = np.array(pairs).T
        return float(perceptual_distances(self.features, self.pixels[first], self.pixels[second]).mean())


def statistics(pool: keras.KerasTensor, maps: list[keras.KerasTensor]) -> keras.KerasTensor:
    """What tells styles: what is in a picture, and how strong and how uneven each feature of it is."""
    moments = [moment(each, axis=(1, 2)) for each in maps for moment in (keras.ops.mean, keras.ops.std)]
    return layers.Concatenate()([pool, *moments])


def linear(features: np.ndarray, labels: list[int], num_labels: int = len(STYLES)) -> Any:
    """A linear classifier of features, trained on these."""
    epochs, batch_size = 30, 256
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    model = keras.Sequential([layers.Dropout(0.5, seed=0), layers.Dense(num_labels)])
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, epochs * len(features) // batch_size + 1)
    model.compile(keras.optimizers.Adam(schedule), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit((features - mean) / scale, np.array(labels), epochs=epochs, batch_size=batch_size, verbose=0)
    return lambda found: np.argmax(model.predict((found - mean) / scale, verbose=0), axis=1)


if __name__ == "__main__":
    main()
