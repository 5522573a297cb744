"""Learns words from a handful of images of shapes, every network frozen, and checks that they mean what was shown.

Command:  python examples/benchmarks/learn_word.py RUN_OR_PRESET
Needs:    a model trained on shapes, such as `keras-t2i train shapes --output RUN` makes
Cost:     about half a minute of one core for each concept
Result:   JSON: for each concept, the share of images of held-out combinations that show it, with the learned word, with
          the word that learning started from, and with the concept's own word (by the packaged judge of shapes)
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import keras_t2i
from keras_t2i.data import SHAPE_ATTRIBUTES, render_shapes
from keras_t2i.metrics import AttributeJudge
from keras_t2i.transfer import add_tokens, learn_token

TEMPLATE = "a {size} {color} {shape} {position} on a {background} background"
JUDGE = Path(keras_t2i.__file__).parent / "metrics" / "judges" / "shapes.npz"
START = {"shape": "object", "color": "colorful", "background": "plain", "size": "single"}


def captions(labels: np.ndarray, attribute: str, word: str) -> list[str]:
    """Captions of rows of labels, with `word` in the place of one attribute's."""
    rows = [
        {name: values[label] for (name, values), label in zip(SHAPE_ATTRIBUTES.items(), row, strict=True)}
        for row in labels
    ]
    return [TEMPLATE.format(**{**row, attribute: word}) for row in rows]


def place_of(concept: str) -> tuple[str, int, int]:
    """The attribute that a word belongs to, its column among the labels, and its label."""
    for column, (attribute, values) in enumerate(SHAPE_ATTRIBUTES.items()):
        if concept in values and attribute in START:
            return attribute, column, values.index(concept)
    raise SystemExit(f"{concept!r} is no word for the shape, color, background or size of shapes.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--concepts", nargs="+", default=["heart", "ring", "green", "pink"], help="words of shapes")
    parser.add_argument("--num-images", type=int, default=8, help="examples of each concept")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    gan = keras_t2i.TextToImageGAN.from_preset(arguments.model)
    held_out = keras_t2i.data.shapes(gan.image_size).validation_split.labels
    judge = AttributeJudge.load(SHAPE_ATTRIBUTES, JUDGE)
    concepts = [place_of(concept) for concept in arguments.concepts]
    prompts = []
    for number, (attribute, column, label) in enumerate(concepts):
        random = np.random.default_rng([arguments.seed, number])
        shown = np.stack(
            [random.integers(len(values), size=arguments.num_images) for values in SHAPE_ATTRIBUTES.values()], axis=1
        )
        shown[:, column] = label
        seeds = np.stack([np.full(arguments.num_images, arguments.seed), np.arange(arguments.num_images)], axis=1)
        images = render_shapes(shown, seeds, gan.image_size).numpy()
        templates = captions(shown, attribute, "{}")
        prompts.append(
            learn_token(
                gan, images, f"myword{number}", templates, START[attribute], steps=arguments.steps, seed=arguments.seed
            )
        )
    add_tokens(gan, *prompts)
    result = {}
    for prompt, concept, (attribute, column, label) in zip(prompts, arguments.concepts, concepts, strict=True):
        asked = held_out[held_out[:, column] == label]
        shares = {}
        for name, word in {"learned_word": prompt.token, "start_word": prompt.init, "own_word": concept}.items():
            drawn = gan.generate(captions(asked, attribute, word), seed=arguments.seed + 1)
            right = judge.predict(drawn) == asked
            shares[name] = {"concept": float(right[:, column].mean()), "all_five": float(right.all(axis=1).mean())}
        result[concept] = {"images": len(asked), "objective": prompt.objective, **shares}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
