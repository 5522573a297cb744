"""Measures whether generated images help a classifier that has only a few real images of each class.

Command:  python examples/benchmarks/use_generated_images.py --run RUN --data shapes --output generated.md
          python examples/benchmarks/use_generated_images.py --run RUN --data FLOWERS_FOLDER --features mobilenet_v2
Needs:    a model trained on captioned images. Shapes are classed by their shape; the images of a folder by the first
          caption of each ("a photo of a rose"), the most frequent classes of them
Cost:     about 8 minutes of one core for shapes, 4 for twenty kinds of flowers with image features
Result:   a Markdown table (and JSON beside `--output`): balanced accuracy on held-out real images, by what was trained
          on, over several draws of the few real images

All classifiers are trained for the same number of steps; where there are additional images, half of each batch is
drawn from them. The generator has seen all training images and not only the few of the classifier: a gain says what a
generator is worth that someone trained on more images than the classifier's owner has, and no more than that. What
those images give to a classifier directly is the row "all real images".

Reference: Classification Accuracy Score for Conditional Generative Models (Ravuri and Vinyals, 2019),
https://arxiv.org/abs/1905.10887, for "generated images only"; How good is my GAN? (Shmelkov et al., 2018),
https://arxiv.org/abs/1807.09499, for judging generated images by a classifier of real ones.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_t2i
from keras_t2i.data import SHAPE_ATTRIBUTES, CaptionedImages, Split
from keras_t2i.runs.config import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of

FEW, FEW_AUGMENTED, FEW_GENERATED = "few real", "few real, augmented", "few real + generated"
FEW_BOTH, GENERATED, ALL = "few real, augmented + generated", "generated only", "all real images"
BATCH_SIZE = 32
RENDERINGS = 4  # Of each held-out combination of attributes, where images are rendered.


@dataclass(frozen=True)
class LabeledImages:
    """Images, uint8, shape `(N, H, W, 3)`, or features of them, shape `(N, D)`, and their classes, shape `(N,)`."""

    inputs: np.ndarray
    labels: np.ndarray

    def __add__(self, other: LabeledImages) -> LabeledImages:
        return LabeledImages(np.concatenate([self.inputs, other.inputs]), np.concatenate([self.labels, other.labels]))

    def few(self, per_class: int, random: np.random.Generator) -> LabeledImages:
        """As many of each class, drawn without replacement."""
        chosen = [random.permutation(np.flatnonzero(self.labels == label)) for label in np.unique(self.labels)]
        rows = np.concatenate([numbers[:per_class] for numbers in chosen])
        return LabeledImages(self.inputs[rows], self.labels[rows])


@dataclass(frozen=True)
class Classes:
    """What there is to tell apart: names, real images, and for each class the captions that only its images have."""

    names: list[str]
    train: LabeledImages
    held_out: LabeledImages
    captions: list[list[str]]


def read_classes(dataset: CaptionedImages, num_classes: int) -> Classes:
    """Finds the classes of captioned images: the shape of rendered shapes, else the first caption of each image."""
    held_out = dataset.validation_split
    if held_out is None:
        raise ValueError("Classifiers are tested on held-out images; this data set holds none out.")
    rendered = dataset.name == "shapes"

    def names_of(split: Split) -> list[str]:
        if rendered and split.labels is not None:
            return [SHAPE_ATTRIBUTES["shape"][label] for label in split.labels[:, 0]]
        return [split.captions[ids[0]] for ids in split.caption_ids]

    train_names, held_out_names = names_of(dataset.train_split), names_of(held_out)
    tested = set(held_out_names)
    names = [name for name, _ in Counter(train_names).most_common() if name in tested][:num_classes]

    def labeled(split: Split, names_here: list[str], seeds: Sequence[int]) -> LabeledImages:
        numbers = np.asarray([number for number, name in enumerate(names_here) if name in names], np.int64)
        labels = np.asarray([names.index(names_here[number]) for number in numbers])
        traced = replace(split, load_images=tf.function(split.load_images))  # Rendering in eager mode is slow.
        images = [traced.pixels(numbers, seed) for seed in seeds]
        return LabeledImages(np.concatenate(images), np.tile(labels, len(seeds)))

    classes_of: dict[str, Counter[str]] = {}
    for name, ids in zip(train_names, dataset.train_split.caption_ids, strict=True):
        for position in ids:
            classes_of.setdefault(dataset.train_split.captions[position], Counter())[name] += 1
    # As often as they occur; "a white flower" says nothing about the kind.
    captions = [
        [caption for caption, counts in classes_of.items() if set(counts) == {name} for _ in range(counts[name])]
        for name in names
    ]
    return Classes(
        names,
        labeled(dataset.train_split, train_names, [0]),
        labeled(held_out, held_out_names, range(1, 1 + (RENDERINGS if rendered else 1))),
        captions,
    )


def generated_images(gan: Any, captions: list[list[str]], per_class: int, seed: int) -> LabeledImages:
    """Images of captions drawn from those of each class."""
    random = np.random.default_rng(seed)
    prompts = [str(caption) for texts in captions for caption in random.choice(texts, per_class)]
    images = np.concatenate(
        [gan.generate(prompts[start : start + 256], seed=seed * 1000 + start) for start in range(0, len(prompts), 256)]
    )
    return LabeledImages(images, np.repeat(np.arange(len(captions)), per_class))


def augmented_images(few: LabeledImages, per_class: int, random: np.random.Generator) -> LabeledImages:
    """Copies that are mirrored (half of them), cropped to 80 to 100 % of each side, and brighter or darker by 20 %."""
    repeats = -(-per_class * len(np.unique(few.labels)) // len(few.labels))
    images, size = np.concatenate([few.inputs] * repeats), few.inputs.shape[1]
    for number, image in enumerate(images):
        side = round(size * random.uniform(0.8, 1.0))
        top, left = random.integers(0, size - side + 1, 2)
        places = ((np.arange(size) + 0.5) * side / size).astype(int)
        crop = image[top : top + side, left : left + side][places][:, places]
        crop = crop[:, ::-1] if random.random() < 0.5 else crop
        images[number] = np.clip(crop * random.uniform(0.8, 1.2), 0, 255)
    return LabeledImages(images, np.tile(few.labels, repeats))


def build_classifier(input_shape: tuple[int, ...], num_classes: int, steps: int) -> keras.Model:
    """A small convolutional network for images; for features, a linear one of their unit length."""
    inputs = keras.Input(input_shape)
    if len(input_shape) == 1:
        x = layers.Rescaling(float(np.sqrt(input_shape[0])))(layers.UnitNormalization()(inputs))
    else:
        x = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
        for width in (16, 32, 64, 64):
            x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(num_classes)(x))
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(3e-3, steps), weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # Compiling takes longer than these steps do.
    )
    return model


def mixed_batches(sources: Sequence[LabeledImages], seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless batches of inputs and labels, of which each source fills an equal part."""
    random = np.random.default_rng(seed)
    while True:
        rows = [random.integers(0, len(source.labels), BATCH_SIZE // len(sources)) for source in sources]
        pairs = list(zip(sources, rows, strict=True))
        inputs = np.concatenate([source.inputs[chosen] for source, chosen in pairs])
        yield inputs.astype(np.float32), np.concatenate([source.labels[chosen] for source, chosen in pairs])


def train_classifier(
    train: LabeledImages, additional: LabeledImages | None, num_classes: int, steps: int, seed: int
) -> keras.Model:
    """Trains for a number of steps; half of each batch is drawn from the additional images, where there are any."""
    keras.utils.set_random_seed(seed)
    model = build_classifier(train.inputs.shape[1:], num_classes, steps)
    sources = [train] if additional is None else [train, additional]
    model.fit(mixed_batches(sources, seed), steps_per_epoch=steps, shuffle=False, verbose=0)
    return model


def balanced_accuracy(model: keras.Model, test: LabeledImages) -> float:
    """The share of images of a class that are recognized, averaged over the classes; guessing gives one over them."""
    logits = model.predict(test.inputs.astype(np.float32), batch_size=256, verbose=0)
    right = np.argmax(logits, axis=1) == test.labels
    return float(np.mean([np.mean(right[test.labels == label]) for label in np.unique(test.labels)]))


def compare(
    gan: Any,
    classes: Classes,
    features: Any | None = None,
    num_real: int = 20,
    num_generated: int = 100,
    num_draws: int = 5,
    steps: int = 600,
) -> dict[str, Any]:
    """Trains a classifier on each kind of training set, for several draws of the few real images.

    Args:
        gan: The model.
        classes: Names, real images and captions of the classes.
        features: Image features to classify by; without, the pixels are.
        num_real: Real images of a class.
        num_generated: Generated, or augmented, images of a class.
        num_draws: Draws of the real images; weights, order and generated images are drawn anew with them.
        steps: Steps of training, alike for all.

    Returns:
        The accuracy at each draw by what was trained on, and how many generated images the classifier of all real
        images takes for what they should be.
    """

    def read(data: LabeledImages) -> LabeledImages:
        return data if features is None else LabeledImages(features(data.inputs), data.labels)

    accuracy: dict[str, list[float]] = {
        name: [] for name in (FEW, FEW_AUGMENTED, FEW_GENERATED, FEW_BOTH, GENERATED, ALL)
    }
    recognized = []
    everything, held_out = read(classes.train), read(classes.held_out)
    for draw in range(num_draws):
        few_images = classes.train.few(num_real, np.random.default_rng(draw))
        few = read(few_images)
        augmented = read(augmented_images(few_images, num_generated, np.random.default_rng(draw)))
        generated = read(generated_images(gan, classes.captions, num_generated, draw))
        sets: dict[str, tuple[LabeledImages, LabeledImages | None]] = {
            FEW: (few, None),
            FEW_AUGMENTED: (few, augmented),
            FEW_GENERATED: (few, generated),
            FEW_BOTH: (few + augmented, generated),
            GENERATED: (generated, None),
            ALL: (everything, None),
        }
        for name, (train, additional) in sets.items():
            model = train_classifier(train, additional, len(classes.names), steps, draw)
            accuracy[name].append(balanced_accuracy(model, held_out))
            if name == ALL:
                recognized.append(balanced_accuracy(model, generated))
            keras.backend.clear_session(free_memory=False)
    return {
        "classes": classes.names,
        "classifier": "small convolutional network" if features is None else f"linear, {features.name}",
        "num_real": num_real,
        "num_generated": num_generated,
        "num_draws": num_draws,
        "steps": steps,
        "num_held_out": len(held_out.labels),
        "chance": 1 / len(classes.names),
        "accuracy": accuracy,
        "generated_recognized": recognized,
    }


def markdown(result: dict[str, Any]) -> str:
    """The results as a table: mean and range over the draws, and differences to the few real images, draw by draw."""
    accuracy = {name: np.asarray(values) * 100 for name, values in result["accuracy"].items()}
    lines = [
        f"{len(result['classes'])} classes, {result['num_real']} real and {result['num_generated']} generated images of"
        f" each; {result['classifier']}, {result['steps']} steps; balanced accuracy on {result['num_held_out']:,} real"
        f" held-out images, guessing {result['chance']:.1%}; mean (lowest to highest) of {result['num_draws']} draws.",
        "",
        "| trained on | accuracy, % | difference to few real, points | better in |",
        "|---|---|---|---|",
    ]
    for name, values in accuracy.items():
        gains = values - accuracy[FEW]
        compared = f"{gains.mean():+.1f} ({gains.min():+.1f} to {gains.max():+.1f}) | {np.sum(gains > 0)}/{len(gains)}"
        lines.append(
            f"| {name} | {values.mean():.1f} ({values.min():.1f} to {values.max():.1f}) |"
            f" {'- | -' if name == FEW else compared} |"
        )
    gains = accuracy[FEW_BOTH] - accuracy[FEW_AUGMENTED]
    lines += [
        "",
        f"Generated images on top of augmentation: {gains.mean():+.1f} points ({gains.min():+.1f} to"
        f" {gains.max():+.1f}), better in {np.sum(gains > 0)}/{len(gains)} draws. Of the generated images, the"
        f" classifier of all real images takes {np.mean(result['generated_recognized']):.1%} for their class.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="a run of keras-t2i train, or a preset")
    parser.add_argument("--data", default="shapes", help="shapes, or the folder that the model was trained on")
    parser.add_argument("--features", help="mobilenet_v2 or a file of image features; without, pixels are classified")
    parser.add_argument("--classes", type=int, default=20, help="at most so many classes, the most frequent ones")
    parser.add_argument("--real", type=int, default=20, help="real images of a class")
    parser.add_argument("--generated", type=int, default=100, help="generated images of a class")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--output", type=Path, help="where to write the table; the numbers go beside it as .json")
    arguments = parser.parse_args()

    gan = keras_t2i.TextToImageGAN.from_preset(arguments.run)
    dataset = dataset_of(RunConfig(arguments.data, image_size=gan.image_size))
    features = arguments.features and keras_t2i.ImageFeatures.from_preset(arguments.features)
    classes = read_classes(dataset, arguments.classes)
    result = compare(gan, classes, features, arguments.real, arguments.generated, arguments.draws, arguments.steps)
    table = markdown(result)
    print(table)
    if arguments.output is not None:
        arguments.output.write_text(table, encoding="utf-8")
        arguments.output.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
