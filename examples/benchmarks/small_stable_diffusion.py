"""A small Stable Diffusion 3, of KerasHub's own classes throughout, trained on shapes: does it read its captions?

Command:  python examples/benchmarks/small_stable_diffusion.py DIR
Needs:    nothing
Cost:     half an hour of one core
Result:   DIR/small, a preset as KerasHub saves its own, its autoencoder trained and its transformer not; DIR/trained, a
          preset of this package; DIR/log.jsonl and a table, a row for every few steps: the loss on held-out images with
          their captions and with those of others, at the same noise and times, and how often the packaged judge finds
          the attributes of held-out captions; DIR/grid.png, held-out images, what the autoencoder makes of them, and
          what is drawn of their captions, twice.

The transformer has four joint blocks, 128 wide, and sees 4x4 patches of latents of 8x8, eight times down as in the
large ones. CLIP's towers are random and stay so: it is the transformer that has to learn what their tokens mean. Words
are tokens of their own, made by merges of their letters. Nothing of it is pretrained.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import tensorflow as tf
from PIL import Image
from rich.progress import track

from keras_t2i.core.keras_internals import keras_hub_class
from keras_t2i.data import SHAPE_ATTRIBUTES, Split, shapes
from keras_t2i.metrics.attributes import AttributeJudge, attribute_accuracy
from keras_t2i.models import stable_diffusion_3
from keras_t2i.objectives.flow_matching import FlowMatching
from keras_t2i.transfer import strategies

SIZE, LENGTH = 64, 16
BATCH, EVERY = 32, 500
JUDGED, IN_GRID = 160, 12
STEPS, GUIDANCE = 8, 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--autoencoder-images", type=int, default=16_000)
    parser.add_argument("--steps", type=int, default=4_000)
    options = parser.parse_args()
    data = shapes(image_size=SIZE)
    held_out = data.validation_split
    assert held_out is not None
    small = options.directory / "small"
    if not small.exists():
        task = keras_hub_model(data.train_split.captions)
        learn_to_encode(task.backbone, data.train_split, options.autoencoder_images)
        task.save_to_preset(str(small))
    model = stable_diffusion_3(small)
    strategies.apply("full", model)
    model.compile(FlowMatching(), keras.optimizers.Adam(1e-3, 0.9, 0.99))
    known, asked = codes_of(model, data.train_split), codes_of(model, held_out)
    batches = tf.data.Dataset.from_tensor_slices(known).shuffle(len(known["codes"])).repeat().batch(BATCH)
    seconds = time.process_time()
    print("| steps | CPU s | loss | with other captions | all five right | each |", "|---" * 6 + "|", sep="\n")
    with (options.directory / "log.jsonl").open("w") as log:
        for step in range(EVERY, options.steps + 1, EVERY):
            rate = 1e-3 * (0.5 + 0.5 * math.cos(math.pi * step / options.steps)) + 1e-5
            model.generator_optimizer.learning_rate.assign(rate)
            model.fit(batches, steps_per_epoch=EVERY, verbose=0)
            row = {"step": step, "seconds": round(time.process_time() - seconds), **measured(model, asked, held_out)}
            log.write(json.dumps(row) + "\n")
            log.flush()
            each = ", ".join(f"{share:.0%}" for share in row["right"][1:])
            losses = f"{row['loss']:.4f} | {row['with_others']:.4f}"
            print(f"| {step:,} | {row['seconds']:,} | {losses} | {row['right'][0]:.1%} | {each} |", flush=True)
    model.save_to_preset(options.directory / "trained")
    grid(model, held_out).save(options.directory / "grid.png")


def keras_hub_model(captions: Any) -> Any:
    """KerasHub's own task with random weights, whose tokenizers know the words of these captions."""
    merges = list(dict.fromkeys(itertools.chain(*(merges_of(word) for word in sorted(words_of(captions))))))
    letters = sorted({letter for first, second in merges for letter in first + second.removesuffix("</w>")})
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}

    def preprocessor(name: str) -> Any:
        tokenizer = keras_hub.models.CLIPTokenizer(
            vocabulary=vocabulary,
            merges=[" ".join(pair) for pair in merges],
            pad_with_end_token=name == "clip_l",
            config_file=f"{name}_tokenizer.json",
        )
        return keras_hub.models.CLIPPreprocessor(
            tokenizer, sequence_length=LENGTH, config_file=f"{name}_preprocessor.json"
        )

    keras.utils.set_random_seed(0)
    widths = {"clip_l": (64, 256, "quick_gelu"), "clip_g": (128, 512, "gelu")}
    towers = {
        name: keras_hub.models.CLIPTextEncoder(
            len(tokens), width, width, 2, 2, inside, activation, -2, max_sequence_length=LENGTH, name=name
        )
        for name, (width, inside, activation) in widths.items()
    }
    for tower in towers.values():  # As they are made, positions and tokens are a thousandth of what is added to them.
        for weight in tower.weights:
            if "embedding" in weight.path:
                weight.assign(keras.random.normal(weight.shape, seed=len(weight.path)))
    autoencoder = keras_hub_class("VAEBackbone")(
        [32, 32, 64, 64], [1] * 4, [64, 64, 32, 32], [1] * 4, sampler_method="mode", name="vae"
    )
    backbone = keras_hub.models.StableDiffusion3Backbone(
        mmdit_patch_size=2,
        mmdit_hidden_dim=128,
        mmdit_num_layers=4,
        mmdit_num_heads=4,
        mmdit_position_size=192,
        mmdit_qk_norm="rms_norm",
        mmdit_dual_attention_indices=(),
        vae=autoencoder,
        **towers,
        image_shape=(SIZE, SIZE, 3),
    )
    both = keras_hub.models.StableDiffusion3TextToImagePreprocessor(preprocessor("clip_l"), preprocessor("clip_g"))
    return keras_hub.models.StableDiffusion3TextToImage(backbone, both)


def words_of(captions: Any) -> set[str]:
    return {word for caption in captions for word in caption.lower().replace(",", " ").split()}


def merges_of(word: str) -> list[tuple[str, str]]:
    """What makes one token of a word, letter by letter."""
    letters = [*word[:-1], f"{word[-1]}</w>"]
    return [("".join(letters[:count]), letters[count]) for count in range(1, len(letters))]


def learn_to_encode(backbone: Any, split: Split, num_images: int) -> None:
    """Trains the autoencoder: pixels come back, and latents have the spread that KerasHub scales to one."""
    network, spread = backbone.vae, 1 / backbone.vae.scale
    network.trainable = True
    optimizer = keras.optimizers.Adam(2e-3, 0.9, 0.99)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step(images: Any) -> Any:
        with tf.GradientTape() as tape:
            codes = network.encode(images, training=True)
            off = tf.reduce_mean(tf.square(network.decode(codes, training=True) - images))
            mean, deviation = tf.reduce_mean(codes, [0, 1, 2]), tf.math.reduce_std(codes, [0, 1, 2])
            held = tf.reduce_mean(tf.square(mean - network.shift) + tf.square(deviation - spread))
            loss = off + 0.02 * held
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return off, held

    random, steps = np.random.default_rng(0), num_images // 16
    for number in track(range(steps), "Learning to encode"):
        optimizer.learning_rate.assign(2e-3 * (0.5 + 0.5 * math.cos(math.pi * number / steps)) * min(1, number / 50))
        images = split.pixels(random.integers(0, split.num_images, 16)).astype(np.float32) / 127.5 - 1
        off, held = step(images)
        if number % 200 == 0 or number == steps - 1:
            print(f"{16 * number:,} images: off by {127.5 * float(off) ** 0.5:.1f} of 255, spread by {float(held):.3f}")
    network.trainable = False


def codes_of(model: Any, split: Split) -> dict[str, np.ndarray]:
    """Latents of all images of a split, and rows of their first captions."""
    numbers = np.arange(split.num_images)
    images = [split.pixels(some).astype(np.float32) / 127.5 - 1 for some in np.array_split(numbers, 32)]
    codes = np.concatenate([model.codes(some) for some in images])
    captions = captions_of(split)
    known = {caption: row for row, caption in enumerate(sorted(set(captions)))}
    rows = model.text_encoder.encode(list(known))
    return {"codes": codes, "sentence_embeddings": rows[[known[caption] for caption in captions]]}


def captions_of(split: Split) -> list[str]:
    return [split.captions[number] for number in split.caption_of_each()]


def measured(model: Any, asked: dict[str, np.ndarray], split: Split) -> dict[str, Any]:
    """Losses with the right captions and with those of others, and attributes that are right of what is drawn."""
    codes, rows = asked["codes"], asked["sentence_embeddings"]
    others = np.random.default_rng(0).permutation(len(rows))
    losses = [float(np.mean([error(model, codes, some, seed) for seed in range(4)])) for some in (rows, rows[others])]
    judge = AttributeJudge.packaged("shapes")
    assert judge is not None
    images = model.generate(captions_of(split)[:JUDGED], num_steps=STEPS, guidance=GUIDANCE)
    right = attribute_accuracy(judge.predict(images), split.labels[:JUDGED], list(SHAPE_ATTRIBUTES))
    return {"loss": losses[0], "with_others": losses[1], "right": [float(share) for share in right.values()]}


def error(model: Any, codes: np.ndarray, rows: np.ndarray, seed: int) -> float:
    return float(model.objective(model.generator, codes, rows, seed, False))


def grid(model: Any, split: Split) -> Image.Image:
    pixels = split.pixels(np.arange(IN_GRID))
    back = model.generator.decoded(model.codes(pixels.astype(np.float32) / 127.5 - 1))
    back = np.round((np.clip(back, -1, 1) + 1) * 127.5).astype(np.uint8)
    captions = captions_of(split)[:IN_GRID]
    drawn = [model.generate(captions, num_steps=STEPS, guidance=GUIDANCE, seed=seed) for seed in (1, 2)]
    print(*(f"- {caption}" for caption in captions), sep="\n")
    return Image.fromarray(np.concatenate([np.concatenate(list(row), axis=1) for row in (pixels, back, *drawn)]))


if __name__ == "__main__":
    main()
