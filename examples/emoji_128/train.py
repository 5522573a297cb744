"""Trains emoji_128 from the pictures that make_data.py makes: forms by regression, then edges by an adversary.

Command:  python examples/emoji_128/train.py FOLDER -o OUTPUT --frozen-features FILE
Needs:    the folder of make_data.py; the weights of MobileNetV2 (`--frozen-features`, where Keras cannot fetch them)
Cost:     80 minutes of one core, 25 of them from the forms beside this script on; each part is kept
Result:   OUTPUT/forms_32 (with `--anew`) and forms_64, weights; OUTPUT/drawn, a preset that draws 64 pixels. `keras-t2i
          finetune OUTPUT/drawn FOLDER --strategy upscale -o RUN` gives it its second stage, of 128 pixels.

A name and a style mean one picture here, so that squared error alone learns which form a name has: at 32 pixels, where
a step costs a third, then at 64. An adversary alone, which learns colors long before forms, would take days. It comes
last, for edges and texture, and for what captions without a style leave open.

`forms_64.weights.h5` beside this script is what the first two parts came to, in float16, and without `--anew` what is
gone on from. Artwork of the pictures that it was learned from: Noto Emoji, copyright Google LLC, Apache-2.0; Twemoji,
copyright Twitter, Inc and other contributors, CC-BY 4.0; Fluent Emoji, copyright Microsoft Corporation, MIT.
"""

from __future__ import annotations

import argparse
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_t2i import data
from keras_t2i.image_features import ImageFeatures
from keras_t2i.models import TextToImageGAN, compile_gan
from keras_t2i.networks.compact import CompactGenerator
from keras_t2i.networks.projected import ProjectedDiscriminator
from keras_t2i.objectives.augmentation import CaptionAugmentation, DiffAugment
from keras_t2i.objectives.losses import Reconstruction
from keras_t2i.runs.prepare import cached
from keras_t2i.text import TextEncoder
from keras_t2i.training import train

STYLE = re.compile(r"\b(noto|twemoji|fluent|flat|3d)( style)?$")
EVERY = 500
RECONSTRUCTION, RATE = 100.0, 2e-4
"""Of the adversarial part: with a tenth of the weight and three times the rate it forgot the forms within 450 steps."""
WIDTHS = {32: (96, 48), 64: (96, 48, 24)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--frozen-features", default="mobilenet_v2")
    parser.add_argument("--images", type=int, nargs=3, default=(800_000, 100_000, 80_000), help="seen in each part")
    parser.add_argument("--anew", action="store_true", help="learn the forms anew, not from those beside this script")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.anew:
        shutil.copy(Path(__file__).with_name("forms_64.weights.h5"), options.output)
    keras.utils.set_random_seed(0)
    encoder = TextEncoder.from_preset("caption_mini_en")
    smaller = None
    for size, num_images in zip(WIDTHS, options.images, strict=False):
        file = options.output / f"forms_{size}.weights.h5"
        if size < 64 and not options.anew:
            continue
        generator = new_generator(size, encoder.embedding_dim)
        if file.exists():
            generator.load_weights(file)
        else:
            images = styled(data.from_folder(options.folder, image_size=size, batch_size=64)).encode(cached(encoder))
            generator.adapt(images.train_split.embeddings)
            if smaller is not None:
                grow(smaller, generator)
            learn_forms(generator, images, num_images)
            generator.save_weights(file)
        smaller = generator
    draw(generator, encoder, options)


def styled(images: data.CaptionedImages) -> data.CaptionedImages:
    """The same pictures with those of their captions that name a style: of the others, a mean would be learned."""
    split = images.train_split
    names_style = [STYLE.search(caption) is not None for caption in split.captions]
    caption_ids = tuple(tuple(number for number in ids if names_style[number]) for ids in split.caption_ids)
    return replace(images, train_split=replace(split, caption_ids=caption_ids))


def new_generator(size: int, embedding_dim: int) -> CompactGenerator:
    generator = CompactGenerator(
        size,
        widths=WIDTHS[size],
        text_width=320,
        text_depth=3,
        start_size=8,
        normalized=True,
        interpolation="bilinear",
    )
    generator.build_for(embedding_dim)
    return generator


def grow(smaller: CompactGenerator, larger: CompactGenerator) -> None:
    """Gives a generator the weights of one of half its size, but for the layers behind its last block."""
    for name in ("to_text", "deeper_text", "to_style", "to_features"):
        getattr(larger, name).set_weights(getattr(smaller, name).get_weights())
    for ours, theirs in zip(larger.blocks, smaller.blocks, strict=False):
        ours.set_weights(theirs.get_weights())


def learn_forms(
    generator: CompactGenerator, images: data.CaptionedImages, num_images: int, rate: float = 1.5e-3
) -> None:
    """Squared error from noise and caption to the picture, by Adam at a rate that falls as a cosine."""
    optimizer = keras.optimizers.Adam(rate, 0.9, 0.99)
    optimizer.build(generator.trainable_variables)

    @tf.function
    def step(real: Any, embeddings: Any) -> Any:
        with tf.GradientTape() as tape:
            latents = tf.random.normal((tf.shape(real)[0], generator.latent_dim))
            loss = tf.reduce_mean(tf.square(generator(latents, embeddings, training=True) - real))
        optimizer.apply(tape.gradient(loss, generator.trainable_variables), generator.trainable_variables)
        return loss

    steps, total = num_images // images.batch_size, 0.0
    for number, batch in enumerate(images.train.repeat().take(steps), start=1):
        optimizer.learning_rate.assign(rate * (0.5 + 0.5 * math.cos(math.pi * number / steps)) + 1e-6)
        total += float(step(batch["images"], batch["sentence_embeddings"]))
        if number % EVERY == 0:
            print(
                f"{number / steps:4.0%}  {number * images.batch_size:,} images  error {total / EVERY:.4f}", flush=True
            )
            total = 0.0


def draw(generator: CompactGenerator, encoder: Any, options: argparse.Namespace) -> None:
    """The adversarial part, in a run that can be stopped and goes on."""
    images = data.from_folder(options.folder, image_size=64, batch_size=32).encode(cached(encoder))
    discriminator = ProjectedDiscriminator(64)
    discriminator.build_for(encoder.embedding_dim)
    features = ImageFeatures.from_preset(options.frozen_features)
    discriminator.initialize_backbone(features.network.get_weights())
    discriminator.adapt(images.train_split.embeddings)
    gan = TextToImageGAN(encoder, generator, discriminator)
    compile_gan(
        gan,
        "projected",
        augmentation=DiffAugment(),
        caption_augmentation=CaptionAugmentation(0.0, 0.03, seed=0),
        generator_terms=[Reconstruction(RECONSTRUCTION)],
    )
    gan.generator_optimizer.learning_rate.assign(RATE)
    gan.card = {"family": "projected"}
    train(gan, images, options.output / "run", steps=options.images[2] // images.batch_size)
    gan.save_to_preset(options.output / "drawn")


if __name__ == "__main__":
    main()
