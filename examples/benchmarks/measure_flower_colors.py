"""Measures whether generated flowers have the color that their caption names, by the rule that named it.

Command:  python examples/benchmarks/measure_flower_colors.py RUN FLOWERS_FOLDER
Needs:    a run on a folder of flowers whose `petal_colour.py` holds `petal_colours(image) -> (names, share, coverage)`
Cost:     about 1 minute of one core
Result:   JSON: the share of images whose color is the caption's (chance and real images beside it), and the distance
          between pairs of generated images divided by that between real ones
"""

from __future__ import annotations

import argparse
import json
import re
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import keras_t2i
from keras_t2i.metrics import evaluate_model

MAX_CAPTIONS = 600


def obeyed(petal_colours: Callable[[Image.Image], Any], images: np.ndarray, words: Sequence[str]) -> float:
    """The share of images, uint8, one of whose petal colors is the word asked for."""
    pairs = zip(images, words, strict=True)
    return float(np.mean([word in petal_colours(Image.fromarray(image))[0] for image, word in pairs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    rule = runpy.run_path(str(arguments.folder / "petal_colour.py"))
    petal_colours = rule["petal_colours"]
    gan = keras_t2i.TextToImageGAN.from_preset(arguments.run)
    dataset = keras_t2i.data.from_folder(arguments.folder, image_size=gan.image_size)
    split = dataset.validation_split
    captions, words, numbers = [], [], []
    for number, ids in enumerate(split.caption_ids):
        for caption in (split.captions[i] for i in ids):
            named = set(re.findall("|".join(rule["NAMES"]), caption))
            if len(named) == 1:
                captions.append(caption)
                words.append(named.pop())
                numbers.append(number)
                break
    chosen = np.random.default_rng(arguments.seed).permutation(len(captions))[:MAX_CAPTIONS]
    captions, words = [captions[i] for i in chosen], [words[i] for i in chosen]
    indices = np.asarray(numbers)[chosen]
    real = np.asarray(split.load_images(indices, np.zeros((len(indices), 2), np.int64)))
    real = np.clip(np.rint((real + 1) * 127.5), 0, 255).astype(np.uint8)
    generated = gan.generate(captions, seed=arguments.seed)
    shuffled = np.random.default_rng(arguments.seed + 1).permutation(len(captions))
    result = {
        "held_out_captions": len(captions),
        "color_obeyed": obeyed(petal_colours, generated, words),
        "color_obeyed_by_real_images": obeyed(petal_colours, real, words),
        "color_obeyed_with_shuffled_captions": obeyed(petal_colours, generated[shuffled], words),
        "diversity": evaluate_model(gan, dataset, num_images=1).numbers["diversity"],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
