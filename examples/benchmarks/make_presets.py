"""Turns a training run into a preset that ships with the package: float16, a model card, measured quality.

Command:  python examples/benchmarks/make_presets.py RUN shapes_64 --denoise
          python examples/benchmarks/make_presets.py RUN emoji_64
          python examples/benchmarks/make_presets.py RUN emoji_128_sketch
          python examples/benchmarks/make_presets.py RUN NAME --card CARD.json --output DIRECTORY
Needs:    a run made by `keras-t2i train` or `finetune`, its data where they were, and for emoji_64 the weights of
          MobileNetV2 (`--features FILE`, where Keras cannot fetch them)
Cost:     1 to 3 minutes of one core, for measuring
Result:   the preset's directory, of at most 12 MB (13 where a branch reads images), in the package (or OUTPUT/NAME),
          and what `keras-t2i presets` says of it, as JSON. What was measured is measured on the weights that ship, in
          float16. `--card` takes JSON with further keys of the card, or others than those below; its `quality` goes
          before what is measured here.
          `--denoise` gives the preset a `CaptionDenoiser` of the training captions, for a minute more.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras_t2i
from keras_t2i import TextToImageGAN, runs
from keras_t2i.data import shape_synonym_captions
from keras_t2i.metrics import described
from keras_t2i.metrics.instruments import instruments_for
from keras_t2i.networks import GuidedGenerator
from keras_t2i.presets import describe
from keras_t2i.report.values import format_value
from keras_t2i.runs import RunConfig
from keras_t2i.runs.prepare import dataset as dataset_of
from keras_t2i.text import CaptionDenoiser

PACKAGED = Path(keras_t2i.__file__).parent / "presets"
MOST_BYTES, MOST_BYTES_WITH_A_BRANCH = 12_000_000, 13_000_000
MEASURED = ("all_attributes", "r_precision", "color_accuracy", "kernel_distance", "coverage", "diversity")
"""Of what is measured, what the card tells; the first of them that there is goes into the list of presets."""

EMOJI_CREDIT = (
    "Artwork of the training images: Noto Emoji, copyright Google LLC, Apache-2.0; Twemoji, copyright Twitter, Inc and "
    "other contributors, CC-BY 4.0; Fluent Emoji, copyright Microsoft Corporation, MIT. Edges were taught by "
    "MobileNetV2, trained on ImageNet. The text encoder, caption_mini_en, was distilled from all-MiniLM-L6-v2 "
    "(Apache-2.0)."
)

CARDS: dict[str, dict[str, str]] = {
    "shapes_64": {
        "description": "Draws one colored shape on a colored background, in the size and place that are asked for.",
        "caption": "a large red star in the center on a white background",
        "training_data": "Shapes rendered by keras_t2i itself (`keras_t2i.data.shapes`): 8 shapes, 8 colors, 5 "
        "backgrounds, 5 positions, 2 sizes. One combination in ten is held out of training.",
        "credit": "The text encoder, caption_mini_en, was distilled from all-MiniLM-L6-v2 (Apache-2.0).",
        "limits": "One shape, these words; a synonym that it was never trained on is drawn right in nine of ten "
        "captions, several at once in half of them; anything else as the nearest of what it knows. English.",
    },
    "emoji_128": {
        "description": "Draws emoji from names, colors and styles: noto, twemoji, fluent, flat, 3d; in any where none "
        "is named.",
        "caption": "a blue car, 3d style",
        "training_data": "Emoji without skin tones in five styles, 15,681 pictures, half of them recolored, with "
        "Unicode's names and keywords (examples/emoji_128/make_data.py). One name in twelve was held out in all styles "
        "until the model was measured, and taught afterwards.",
        "credit": EMOJI_CREDIT,
        "limits": "One thing on white. Of 64 captions the worst ten: slice of pizza, bottle of wine, cup of coffee, "
        "bee, train, unicorn, airplane, blue car, butterfly, ice cream. What is no emoji gives something like one "
        "at best. Writing, flags and faces that differ in little come out alike or blurred. English.",
    },
    "emoji_128_sketch": {
        "description": "Draws emoji from a sketch of dark lines on white and a caption: what, in which color, in which "
        "style; and from captions alone as emoji_128 does.",
        "caption": "a blue fish",
        "training_data": "The pictures of emoji_128, with sketches that are made of them while it learns. What draws "
        "is emoji_128, unchanged, and a branch beside it that reads the sketch.",
        "credit": EMOJI_CREDIT,
        "limits": "One thing on white. Forms are followed, fine lines as grooves; without a sketch it has the limits "
        "of emoji_128. English.",
    },
    "emoji_64": {
        "description": "Draws emoji from their names, on a white background.",
        "caption": "a red apple",
        "training_data": "Noto Emoji, without skin tones, each drawing with its Unicode name and keywords.",
        "credit": "Artwork of the training images: Noto Emoji, copyright Google LLC, SIL Open Font License 1.1 and "
        "Apache-2.0. The text encoder, caption_mini_en, was distilled from all-MiniLM-L6-v2 (Apache-2.0).",
        "limits": "Things that Noto Emoji has. Names it has not seen give the right kind of thing at best. Fine detail "
        "is blurred. English.",
    },
}


def command_of(config: RunConfig, minutes: float) -> str:
    """The command that repeats a run: what differs from the defaults, and folders by their last name."""
    given = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name != "data" and getattr(config, field.name) != field.default
    }
    parts = ["keras-t2i", "train", Path(config.data).name, "--output", "RUN", "--minutes", f"{minutes:.0f}"]
    if config.strategy is not None:
        given.pop("family", None)
        parts[1:3] = ["finetune", Path(str(given.pop("start_from"))).name, Path(config.data).name]
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        value = Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        switch = f"--no-{name.replace('_', '-')}" if value is False else option
        parts += [switch] if isinstance(value, bool) else [option, str(value)]
    return " ".join(parts)


def quality_of(numbers: dict[str, Any]) -> dict[str, str]:
    """What the card tells of what was measured, by its label, with what the judge says of real images."""
    quality = {}
    for term in described({key: value for key, value in numbers.items() if key in MEASURED or "on_real" in key}):
        label = f"{term['label']}, on {numbers['num_captions']} {numbers['measured_on']}"
        if term["key"] == "kernel_distance":
            label += f" ({numbers['features']} features)"
        on_real = "" if term["on_real"] is None else f" (real images: {format_value(term['on_real'], term['unit'])})"
        quality[label] = format_value(term["value"], term["unit"]) + on_real
    return quality


def quality_with_synonyms(gan: TextToImageGAN, config: RunConfig) -> dict[str, str]:
    """How often all attributes of a shape are right where captions have words that no training caption has."""
    dataset = dataset_of(config)
    judge = instruments_for(dataset, config.domain, True, features="none", judge="none").attributes
    assert dataset.validation_split is not None  # Rendered images always have one.
    quality = {}
    for replaced in ("one", "all"):
        captions, labels, _ = shape_synonym_captions(dataset.validation_split.labels, replaced)
        right = (judge.predict(gan.generate(captions)) == labels).all(axis=1)
        words = "one word" if replaced == "one" else "every word"
        label = f"All attributes right, {words} replaced by a synonym never trained on, {len(right)} captions"
        quality[label] = format_value(right.mean(), "share")
    return quality


def progress_of(run: Path) -> dict[str, float]:
    """Steps and minutes at the end of the last epoch, which is when the run's preset was saved."""
    with open(run / "log.csv", encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    return {"steps": int(last["step"]), "minutes": round(float(last["minutes"]))}


def make_preset(
    run: Path,
    name: str,
    output: Path,
    card: dict[str, Any],
    features: str = "auto",
    judge: str = "retriever",
    denoise: bool = False,
) -> dict[str, Any]:
    """Writes the preset of a run; returns what `keras_t2i.presets.describe` says of it.

    Args:
        run: The run.
        name: The preset's name.
        output: Where its directory goes.
        card: Keys of the card, over those in `CARDS`.
        features: Image features to measure in, see `keras_t2i.runs.evaluate`.
        judge: Judge of captions, likewise.
        denoise: Whether it gets a caption denoiser.

    Raises:
        ValueError: if the run has no preset, or the result is larger than 12 MB, 13 where a branch reads images.
    """
    config = RunConfig.read(run)
    gan = TextToImageGAN.from_preset(run)
    gan.generator.set_weights(gan.ema_generator.get_weights())  # What fine-tuning starts from; they are stored once.
    if denoise:
        gan.caption_denoiser = CaptionDenoiser()
        gan.caption_denoiser.adapt(gan.text_encoder.encode(dataset_of(config).train_split.captions))
    progress = progress_of(run)
    facts = {"family": config.family, "data": Path(config.data).name, "training": progress}
    texts = {"license": "Apache-2.0", "command": command_of(config, progress["minutes"]), **CARDS.get(name, {})}
    with tempfile.TemporaryDirectory() as place:
        # Measured is what ships: a run whose preset has the rounded weights.
        shutil.copyfile(run / "config.json", Path(place) / "config.json")
        gan.save_to_preset(Path(place) / "preset", card=facts, dtype="float16")
        numbers = runs.evaluate(Path(place), features=features, judge=judge)
        gan = TextToImageGAN.from_preset(place)
    synonyms = quality_with_synonyms(gan, config) if config.domain == "shapes" else {}
    quality = {**card.get("quality", {}), **quality_of(numbers), **synonyms}
    gan.save_to_preset(output / name, card={**facts, **texts, **card, "quality": quality}, dtype="float16")
    told = describe(output / name)
    most = MOST_BYTES_WITH_A_BRANCH if isinstance(gan.generator, GuidedGenerator) else MOST_BYTES
    if told["bytes"] > most:
        raise ValueError(f"{output / name} has {told['bytes']:,} bytes; at most {most:,} ship. Train a smaller one.")
    return {**told, "warnings": numbers["warnings"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--card", type=Path, help="JSON with further keys of the card")
    parser.add_argument("--output", type=Path, default=PACKAGED)
    parser.add_argument("--features", default="auto")
    parser.add_argument("--judge", default="retriever")
    parser.add_argument("--denoise", action="store_true")
    arguments = parser.parse_args()
    card = json.loads(arguments.card.read_text(encoding="utf-8")) if arguments.card else {}
    made = make_preset(
        arguments.run,
        arguments.name,
        arguments.output,
        card,
        arguments.features,
        arguments.judge,
        arguments.denoise,
    )
    print(json.dumps(made, indent=2))


if __name__ == "__main__":
    main()
