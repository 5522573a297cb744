"""Trains emoji_128 from the pictures that make_data.py makes: forms, then edges and styles, then a discriminator.

Command:  python examples/emoji_128/train.py FOLDER -o OUTPUT --frozen-features FILE [--all-names ALL]
Needs:    the folder of make_data.py, and with --all-names the one that it makes so; the weights of MobileNetV2
          (`--frozen-features`, where Keras cannot fetch them)
Cost:     two hours and a half of one core; stopped between parts, it goes on
Result:   OUTPUT/forms_32 and forms_64, weights, and all_names_64, of what has learned the names that were held out too;
          OUTPUT/drawn, a preset that draws 64 pixels. `keras-t2i finetune OUTPUT/drawn FOLDER --strategy upscale -o
          RUN` gives it its second stage, of 128 pixels.

A name and a style mean one picture here, so that squared error alone learns which form a name has, at 32 pixels. What
it blurs, because it cannot know where exactly an edge or an eye is, is drawn sharp at 64 pixels by an error in frozen
features beside that of the pixels, and by that of their Gram matrices, which know shading and texture wherever they
are. Captions without a style have a picture in each: the generator's modes choose which. An adversary alone, which
learns colors long before forms, would take days; after this, it took details away at every rate that was tried. So the
discriminator learns last and alone, that there be one to fine-tune against.

The packaged emoji_128 was trained like this in several goes, on 930,000 pictures of 64 pixels, the first 270,000 of
them without modes, the first 430,000 without Gram matrices and with paler colors. It was measured then; what ships has
seen 130,000 more, of all names, those that had been held out three times as often as others.
"""

from __future__ import annotations

import argparse
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_t2i import data
from keras_t2i.image_features import ImageFeatures
from keras_t2i.models import TextToImageGAN, compile_gan
from keras_t2i.networks.compact import CompactGenerator
from keras_t2i.networks.mobilenet_v2 import build_mobilenet_v2
from keras_t2i.networks.projected import ProjectedDiscriminator
from keras_t2i.objectives.augmentation import DiffAugment
from keras_t2i.objectives.losses import gram_loss, perceptual_loss
from keras_t2i.runs.prepare import cached
from keras_t2i.text import TextEncoder
from keras_t2i.training import train

STYLE = re.compile(r"\b(noto|twemoji|fluent|flat|3d)( style)?$")
EVERY = 500
STYLES = ("noto", "twemoji", "fluent", "flat", "3d")
FINE = ("stride_4", "stride_8", "stride_16")
"""Frozen features that are compared, of images as large as they are."""
GRAM_WEIGHT = 3.0
WIDTHS = {32: (96, 48), 64: (96, 48, 24)}
BATCHES = {32: 64, 64: 32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--frozen-features", default="mobilenet_v2")
    parser.add_argument("--all-names", type=Path, help="what make_data.py --all-names has made")
    parser.add_argument("--images", type=int, nargs=3, default=(1_200_000, 360_000, 10_000), help="seen in each part")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    encoder = TextEncoder.from_preset("caption_mini_en")
    files = {size: options.output / f"forms_{size}.weights.h5" for size in WIDTHS}
    smaller = None
    for size, num_images in zip(WIDTHS, options.images, strict=False):
        if any(file.exists() for larger, file in files.items() if larger > size):
            continue
        generator = new_generator(size, encoder.embedding_dim)
        if files[size].exists():
            generator.load_weights(files[size])
        else:
            images = data.from_folder(options.folder, image_size=size, batch_size=BATCHES[size])
            images = images.encode(cached(encoder))
            generator.adapt(images.train_split.embeddings)
            if smaller is None:
                learn_forms(generator, images_of(images, True), num_images)
            else:
                grow(smaller, generator)
                sharpen(generator, images, num_images, options.frozen_features)
            generator.save_weights(files[size])
        smaller = generator
    judge(generator, encoder, options)
    if options.all_names is not None:
        images = data.from_folder(options.all_names, image_size=64, batch_size=BATCHES[64]).encode(cached(encoder))
        sharpen(generator, images, options.images[1] // 4, options.frozen_features, begins=False)
        generator.save_weights(options.output / "all_names_64.weights.h5")


def images_of(images: data.CaptionedImages, names_style: bool, style: str | None = None) -> data.CaptionedImages:
    """The same pictures, or those of a style, with those of their captions that name it, or with those that do not."""
    split = images.train_split
    styles = [found and found[1] for found in map(STYLE.search, split.captions)]
    chosen = [
        (place, tuple(number for number in ids if (styles[number] is not None) == names_style) or ids)
        for place, ids in enumerate(split.caption_ids)
        if style is None or style in [styles[number] for number in ids]
    ]
    places = tf.constant([place for place, _ in chosen], tf.int64)

    def load(indices: Any, seeds: Any) -> Any:
        return split.load_images(tf.gather(places, indices), seeds)

    kept = replace(split, caption_ids=tuple(ids for _, ids in chosen), load_images=load, digests=None)
    return replace(images, train_split=kept)


def new_generator(size: int, embedding_dim: int) -> CompactGenerator:
    generator = CompactGenerator(
        size,
        widths=WIDTHS[size],
        text_width=320,
        text_depth=3,
        modes=len(STYLES),
        start_size=8,
        normalized=True,
        interpolation="bilinear",
    )
    generator.build_for(embedding_dim)
    return generator


def grow(smaller: CompactGenerator, larger: CompactGenerator) -> None:
    """Gives a generator the weights of one of half its size, but for the layers behind its last block."""
    for name in ("to_text", "to_mode", "deeper_text", "to_style", "to_features"):
        getattr(larger, name).set_weights(getattr(smaller, name).get_weights())
    for ours, theirs in zip(larger.blocks, smaller.blocks, strict=False):
        ours.set_weights(theirs.get_weights())


def learn_forms(generator: CompactGenerator, images: data.CaptionedImages, num_images: int) -> None:
    """Squared error from noise and caption to the picture."""

    def error(real: Any, latents: Any, embeddings: Any) -> Any:
        return tf.reduce_mean(tf.square(generator(latents, embeddings, training=True) - real))

    learn(generator, [(images, error)], num_images, rate=1.5e-3)


def sharpen(
    generator: CompactGenerator,
    images: data.CaptionedImages,
    num_images: int,
    frozen_features: str,
    begins: bool = True,
) -> None:
    """Squared error beside that of frozen features, then with noise that says which style a caption without one has."""
    fine = build_mobilenet_v2(None, generator.image_size, FINE)
    fine.trainable = False
    fine.set_weights(ImageFeatures.from_preset(frozen_features).network.get_weights()[: len(fine.weights)])

    def error(real: Any, latents: Any, embeddings: Any) -> Any:
        images = generator(latents, embeddings, training=True)
        here, there = fine(images, training=False), [tf.stop_gradient(maps) for maps in fine(real, training=False)]
        off = tf.reduce_mean(tf.square(images - real))
        return off + perceptual_loss(here, there) + GRAM_WEIGHT * gram_loss(here, there)

    def of_style(style: int) -> Any:
        return lambda real, latents, embeddings: error(real, noise_of(style, latents), embeddings)

    if begins:
        begin_modes(generator, images.train_split)
    with_style = images_of(images, True)
    unnamed = [(images_of(images, False, style), of_style(place)) for place, style in enumerate(STYLES)]
    learn(generator, [task for each in unnamed for task in ((with_style, error), each)], num_images, rate=1e-3)


def begin_modes(generator: CompactGenerator, split: data.Split) -> None:
    """Shifts what is read of a caption as naming a style does, for each choice of the noise."""
    found = [STYLE.search(caption) for caption in split.captions]
    unnamed = np.asarray([each is None for each in found])
    shifts = []
    for style in STYLES:
        named = np.asarray([each is not None and each[1] == style for each in found])
        shifts.append(split.embeddings[named].mean(axis=0) - split.embeddings[unnamed].mean(axis=0))
    scale, kernel = np.asarray(generator.text_scale), np.asarray(generator.to_text.kernel)
    generator.to_mode.set_weights([np.stack(shifts) * scale @ kernel])


def noise_of(style: int, latents: Any) -> Any:
    """The same noise, its first numbers turned until the greatest of them is that of the style."""
    first, count = latents[:, : len(STYLES)], len(STYLES)
    places = (tf.range(count) - style + tf.argmax(first, axis=1, output_type=tf.int32)[:, None]) % count
    return tf.concat([tf.gather(first, places, batch_dims=1), latents[:, count:]], axis=1)


def learn(
    generator: CompactGenerator, tasks: Sequence[tuple[data.CaptionedImages, Any]], num_images: int, rate: float
) -> None:
    """Lowers errors, each on batches of a set, in turn, by Adam at a rate that falls as a cosine."""
    optimizer = keras.optimizers.Adam(rate, 0.9, 0.99)
    optimizer.build(generator.trainable_variables)

    def step_of(error: Any) -> Any:
        @tf.function
        def step(real: Any, embeddings: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = error(real, tf.random.normal((len(real), generator.latent_dim)), embeddings)
            optimizer.apply(tape.gradient(loss, generator.trainable_variables), generator.trainable_variables)
            return loss

        return step

    batch_size = tasks[0][0].batch_size
    steps, total = num_images // batch_size, 0.0
    step_of_each = {error: step_of(error) for _, error in tasks}
    turns = itertools.cycle([(iter(images.train.repeat()), step_of_each[error]) for images, error in tasks])
    for number, (batches, step) in zip(range(1, steps + 1), turns, strict=False):
        batch = next(batches)
        optimizer.learning_rate.assign(rate * (0.5 + 0.5 * math.cos(math.pi * number / steps)) + 1e-6)
        total += float(step(batch["images"], batch["sentence_embeddings"]))
        if number % EVERY == 0:
            print(f"{number / steps:4.0%}  {number * batch_size:,} images  error {total / EVERY:.4f}", flush=True)
            total = 0.0


def judge(generator: CompactGenerator, encoder: Any, options: argparse.Namespace) -> None:
    """Trains a discriminator of what is drawn, in a run that can be stopped and goes on; the generator stays."""
    images = data.from_folder(options.folder, image_size=64, batch_size=BATCHES[64]).encode(cached(encoder))
    discriminator = ProjectedDiscriminator(64)
    discriminator.build_for(encoder.embedding_dim)
    features = ImageFeatures.from_preset(options.frozen_features)
    discriminator.initialize_backbone(features.network.get_weights())
    discriminator.adapt(images.train_split.embeddings)
    gan = TextToImageGAN(encoder, generator, discriminator)
    compile_gan(gan, "projected", augmentation=DiffAugment())
    gan.generator_optimizer.learning_rate.assign(0.0)
    gan.card = {"family": "projected"}
    train(gan, images, options.output / "run", steps=options.images[2] // images.batch_size)
    gan.save_to_preset(options.output / "drawn")


if __name__ == "__main__":
    main()
