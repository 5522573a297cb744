"""Learned soft prompts: a concept from a handful of images, bound to a new word while every network stays frozen."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_t2i.core.latents import latents_for
from keras_t2i.core.pixels import from_bytes
from keras_t2i.text.new_words import token_table, vector_of, with_words
from keras_t2i.transfer.tensor_file import read_tensors, write_tensors

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN

__all__ = ["SoftPrompt", "add_tokens", "learn_token"]

_FORMAT = "keras_t2i soft prompt 1"
_JUDGED = 64
"""Generated images that the reported objective is measured on."""


@dataclass(frozen=True, eq=False)
class SoftPrompt:
    """A new word for one text encoder. Two are equal where all is, every number of the vector included.

    Args:
        token: The word, lower-case letters and digits.
        vector: Its vector in the encoder's table of token embeddings, float32, shape `(H,)`.
        encoder: Fingerprint of the encoder that it was learned with (`TextEncoder.fingerprint`).
        init: The word that it started from.
        objective: What was minimised, at `init` and at the learned vector, on the same images and noise.
    """

    token: str
    vector: np.ndarray
    encoder: str
    init: str
    objective: tuple[float, float]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SoftPrompt):
            return NotImplemented
        return self._facts() == other._facts() and np.array_equal(self.vector, other.vector)

    def __hash__(self) -> int:
        return hash(self._facts())

    def _facts(self) -> tuple[Any, ...]:
        return self.token, self.encoder, self.init, tuple(self.objective)

    def attach(self, gan: TextToImageGAN) -> None:
        """Gives a model the word: see `add_tokens`."""
        add_tokens(gan, self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one safetensors file; one that is there is replaced.

        Raises:
            OSError: if the file cannot be written.
        """
        before, after = self.objective
        metadata = {"token": self.token, "encoder": self.encoder, "init": self.init}
        metadata |= {"objective_before": repr(before), "objective_after": repr(after)}
        write_tensors(Path(path), _FORMAT, {"vector": self.vector}, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SoftPrompt:
        """Reads what `save` has written.

        Raises:
            ValueError: if it is no such file, or damaged.
            OSError: if it cannot be read.
        """
        tensors, metadata = read_tensors(Path(path), _FORMAT)
        try:
            objective = float(metadata["objective_before"]), float(metadata["objective_after"])
            vector = tensors["vector"]
            prompt = cls(metadata["token"], vector, metadata["encoder"], metadata["init"], objective)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path} is no soft prompt: it does not say all that one says.") from error
        if vector.ndim != 1 or vector.dtype != np.float32:
            raise ValueError(f"{path} is no soft prompt: its vector is {vector.dtype} of shape {vector.shape}.")
        return prompt


def add_tokens(gan: TextToImageGAN, *prompts: SoftPrompt) -> None:
    """Gives a model new words that were learned with its text encoder.

    `generate` understands captions with them from now on, and presets and exports of the model have them. Other
    captions give the same images as before, to the bit, and no weight of the networks changes. Words that were learned
    with the same encoder have to come in one call, for afterwards it is another.

    Args:
        gan: The model that they were learned with, or another with the same encoder.
        *prompts: From `learn_token` or `SoftPrompt.load`.

    Raises:
        ValueError: if the model has another text encoder, or knows a word already; the model is then unchanged.
    """
    encoder = gan.text_encoder
    for prompt in prompts:
        if encoder is None or encoder.fingerprint != prompt.encoder:
            has = "none" if encoder is None else f"{encoder.fingerprint[:12]}..."
            raise ValueError(
                f"{prompt.token!r} was learned with another text encoder ({prompt.encoder[:12]}...) than this model's"
                f" ({has}): learn it anew, or load the model that it was learned with."
            )
    gan.text_encoder = with_words(encoder, {prompt.token: prompt.vector for prompt in prompts})


def learn_token(
    gan: TextToImageGAN,
    images: np.ndarray,
    token: str,
    template: str | Sequence[str] = "a picture of {}",
    init: str = "object",
    features: Any = None,
    steps: int = 200,
    batch_size: int = 16,
    learning_rate: float = 0.05,
    judge_weight: float = 1.0,
    seed: int = 0,
) -> SoftPrompt:
    """Learns a word for what a handful of images have in common; nothing but its vector is trained.

    Captions with the word pass through the frozen text encoder and the frozen averaged generator. What is drawn is to
    have, on average, the image features of the examples, and the frozen discriminator is to accept the examples with
    these captions.

    A caption denoiser of the model is left out: it draws all that is near one meaning to it, so that a gradient through
    it is next to nothing. `generate` takes the learned word through it like any other.

    The word can only mean what the generator is able to draw: it finds what no caption says, it does not teach what
    was never trained. Fine-tune for that.

    Reference:
        An Image is Worth One Word: Personalizing Text-to-Image Generation using Textual Inversion (Gal et al., 2022),
        arXiv:2208.01618. Differs: a generator with one pass takes the place of a diffusion model, features that match
        on average that of its denoising loss, and the discriminator judges as well.

    Args:
        gan: A trained model with a pretrained text encoder of the BERT family.
        images: The examples, uint8 or float32 in [-1, 1], shape `(N, H, W, 3)`, of the model's size.
        token: The new word, of lower-case letters and digits, such as `"mystar"`.
        template: Caption of the examples with `{}` in the place of the word; one for all, or one each that says what
            differs between them.
        init: The word to start from: what comes nearest.
        features: Frozen image features with `maps(images)`, such as `keras_t2i.ImageFeatures`; by default the
            discriminator's own (`extract`).
        steps: Updates of the vector.
        batch_size: Images generated at each step.
        learning_rate: Step of Adam, in units of the root mean square of the encoder's token vectors.
        judge_weight: Weight of the discriminator's judgement beside the features, which have weight 1.
        seed: Seed of the noise.

    Raises:
        ValueError: for images of another size, templates without `{}` or of another number than the images, a word
            that cannot be used or is known already, or an encoder without word pieces.
    """
    examples = _as_float(images, gan.image_size)
    templates = [template] if isinstance(template, str) else list(template)
    if len(templates) not in (1, len(examples)) or any(text.count("{}") != 1 for text in templates):
        raise ValueError(
            f"`template` must be one caption with {{}} in it, or one for each of the {len(examples)} images; got "
            f"{template!r}."
        )
    start = vector_of(gan.text_encoder, init)
    encoder = with_words(gan.text_encoder, {token: start})
    objective = _Objective(gan, encoder, examples, [text.replace("{}", token) for text in templates], features)
    vector = keras.Variable(start, name=token)
    scale = float(np.sqrt(np.mean(np.square(token_table(gan.text_encoder).numpy()))))
    rate = keras.optimizers.schedules.CosineDecay(learning_rate * scale, steps)
    optimizer = keras.optimizers.Adam(rate, beta_2=0.99)
    optimizer.build([vector])
    random = np.random.default_rng(seed)

    @tf.function(autograph=False)
    def step(latents: tf.Tensor, numbers: tf.Tensor) -> None:
        _, gradient = objective.with_gradient(vector.value, latents, numbers, judge_weight)
        optimizer.apply([gradient], [vector])

    for _ in range(steps):
        latents = random.standard_normal((batch_size, gan.generator.latent_dim), np.float32)
        step(tf.constant(latents), tf.constant(random.integers(len(examples), size=batch_size)))
    learned = np.asarray(vector.numpy(), np.float32)
    before, after = (objective.measure(value, judge_weight, seed) for value in (start, learned))
    return SoftPrompt(token, learned, gan.text_encoder.fingerprint, init, (before, after))


class _Objective:
    """How far what is drawn for a word is from the examples, as a function of the word's vector."""

    def __init__(
        self, gan: TextToImageGAN, encoder: Any, examples: np.ndarray, captions: list[str], features: Any
    ) -> None:
        self.gan, self.encoder = gan, encoder
        self.table = token_table(encoder)
        self.row = self.table.shape[0] - 1
        self.examples = tf.constant(examples)
        token_ids = encoder.token_ids(captions)
        self.token_ids = tf.repeat(token_ids, len(examples), axis=0) if len(captions) == 1 else token_ids
        self.maps: Callable[[tf.Tensor], Any] = features.maps if features is not None else self._own_features
        real = tf.nest.flatten(self.maps(self.examples))
        self.means = [tf.reduce_mean(maps, axis=0) for maps in real]
        # One spread a map: with a handful of images, that of a single number would be chance.
        self.spreads = [tf.math.reduce_std(maps) + 1e-6 for maps in real]

    def _own_features(self, images: tf.Tensor) -> Any:
        return self.gan.discriminator.extract(images, training=False)

    def __call__(self, latents: tf.Tensor, numbers: tf.Tensor, judge_weight: float) -> tf.Tensor:
        """The objective for captions of the examples `numbers`, drawn with `latents`, at the table's present row."""
        token_ids = tf.gather(self.token_ids, numbers)
        mask = tf.not_equal(token_ids, self.encoder.preprocessor.tokenizer.pad_token_id)
        text = self.encoder.embed(token_ids, mask)["sentence_embeddings"]
        drawn = self.gan.ema_generator(latents, text, training=False)
        terms = [
            tf.reduce_mean(tf.square((tf.reduce_mean(maps, axis=0) - mean) / spread))
            for maps, mean, spread in zip(tf.nest.flatten(self.maps(drawn)), self.means, self.spreads, strict=True)
        ]
        logits = self.gan.discriminator(tf.gather(self.examples, numbers), text, training=False)
        judgement = tf.reduce_mean(tf.nn.softplus(-tf.cast(logits, tf.float32)))
        return tf.add_n(terms) / len(terms) + judge_weight * judgement

    def with_gradient(
        self, vector: tf.Tensor, latents: tf.Tensor, numbers: tf.Tensor, judge_weight: float
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The objective at `vector`, and its gradient with respect to it."""
        table = self.table.value
        table.scatter_nd_update([[self.row]], vector[None])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(table)
            value = self(latents, numbers, judge_weight)
        rows = tape.gradient(value, table)  # Of the rows that the captions use, this one among them.
        ours = tf.cast(tf.equal(rows.indices, self.row), tf.float32)
        return value, tf.linalg.matvec(rows.values, ours, transpose_a=True)

    def measure(self, vector: np.ndarray, judge_weight: float, seed: int) -> float:
        """The objective at `vector` over images enough for its mean."""
        self.table.value.scatter_nd_update([[self.row]], vector[None])
        latents = tf.constant(latents_for(seed, _JUDGED, self.gan.generator.latent_dim))
        numbers = tf.range(_JUDGED) % len(self.examples)
        return float(self(latents, numbers, judge_weight))


def _as_float(images: np.ndarray, image_size: int) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != (image_size, image_size, 3) or not len(images):
        raise ValueError(
            f"`images` must have shape (N, {image_size}, {image_size}, 3), as this model draws; got {images.shape}."
        )
    return from_bytes(images.astype(np.float32)) if images.dtype == np.uint8 else images.astype(np.float32)
