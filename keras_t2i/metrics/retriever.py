"""Retriever: a small two-tower judge of image and caption, trained on real pairs beside the generator, not with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_t2i.core.files import written
from keras_t2i.core.gate import PACKED, check_finite, read_arrays
from keras_t2i.core.pixels import from_bytes
from keras_t2i.metrics.hashed_text_tower import HashedTextTower, hash_captions

__all__ = ["Retriever"]

_EMBEDDING_DIM = 128
_GRID = 3  # Cells a side to which a feature map is averaged.
_IMAGE_DROPOUT = 0.3
_BATCH, _LEARNING_RATE, _WEIGHT_DECAY = 256, 1e-3, 1e-2
_MIN_ROUND, _MAX_ROUND, _MAX_ROUNDS, _PATIENCE = 10, 100, 60, 6
_MIN_GAIN = 0.005  # Of validation loss, in nats: less is not worth more rounds.
MIN_IMAGES = 40
"""Images that a retriever needs to be trained on."""
_FORMAT = 1


class Retriever:
    """Embeds images and captions so that an image lies closer to its own caption than to others.

    The image tower is a projection of frozen features: the vector, and one spatial map averaged to 3 x 3 cells, because
    captions name places. The text tower is its own, and not the encoder that the generator is conditioned on: words are
    sums of hashed character n-grams, so that no word is unknown, and a convolution over them reads their order.

    Both are trained on the real training pairs, in about a minute on two cores for some thousand of them; what it is
    worth on a set of captions is what `evaluate_text_image` measures on held-out real images.

    Reference:
        Learning Transferable Visual Models From Natural Language Supervision (Radford et al., 2021),
        https://arxiv.org/abs/2103.00020, for the loss; Enriching Word Vectors with Subword Information (Bojanowski et
        al., 2017), https://arxiv.org/abs/1607.04606, for the words. Differs from the first: the image network is
        frozen, and a caption that describes several images of a batch is not counted against any of them.

    Args:
        features: A `keras_t2i.ImageFeatures`, or a `CachedImageFeatures`. Take another network than one that the
            generator was trained with.
        seed: Seed of weights, order and held-out images.

    Attributes:
        name: Name for tables: `"retriever-"` and the name of the features.
    """

    def __init__(self, features: Any, seed: int = 0) -> None:
        self.features = features
        self.name = f"retriever-{features.name}"
        self._seed = seed
        self._mean = self._scale = np.empty(0, np.float32)
        self._image_tower = keras.Sequential(
            [
                layers.Dropout(_IMAGE_DROPOUT, seed=seed, dtype="float32"),
                layers.Dense(
                    _EMBEDDING_DIM, kernel_initializer=keras.initializers.GlorotUniform(seed), dtype="float32"
                ),
            ]
        )
        self._text_tower = HashedTextTower(_EMBEDDING_DIM, seed)
        self._log_scale = keras.Variable(np.log(1 / 0.07), dtype="float32", name="log_scale")

    def fit(self, images: np.ndarray, captions: Sequence[str | Sequence[str]]) -> None:
        """Trains both towers; a tenth of the images is held out to stop in time.

        Args:
            images: Real training images, uint8, shape `(N, H, W, 3)`, of the size of those to be judged; N >= 40.
            captions: The caption, or all captions, of each image. One of them is drawn each time the image is shown.

        Raises:
            ValueError: if images and captions differ in number, there are too few, or one has no caption.
        """
        _check_pairs(images, captions)
        pairs = _Pairs(self._read_images(images), captions)
        self._mean = pairs.features.mean(axis=0)
        # A feature that hardly varies must not be blown up.
        self._scale = 1.0 / (pairs.features.std(axis=0) + 1e-3 * pairs.features.std() + 1e-6)
        pairs.features = (pairs.features - self._mean) * self._scale
        self._build()
        variables = self._variables
        optimizer = keras.optimizers.AdamW(_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        optimizer.build(variables)

        def loss_of(features: tf.Tensor, grams: tf.Tensor, words: tf.Tensor, others: tf.Tensor, train: bool) -> Any:
            images, texts = self._image_tower(features, training=train), self._text_tower(grams, words, training=train)
            logits = _unit(images) @ tf.transpose(_unit(texts)) * tf.exp(tf.minimum(self._log_scale.value, np.log(100)))
            return contrastive_loss(logits, others)

        @tf.function(input_signature=_SIGNATURE)
        def train_step(features: tf.Tensor, grams: tf.Tensor, words: tf.Tensor, others: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                loss = loss_of(features, grams, words, others, True)
            optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)

        @tf.function(input_signature=_SIGNATURE)
        def validation_loss(features: tf.Tensor, grams: tf.Tensor, words: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
            return loss_of(features, grams, words, others, False)

        random = np.random.default_rng(self._seed)
        order = random.permutation(len(images))
        held_out, train = np.split(order, [max(8, len(images) // 10)])
        batches = pairs.shuffled(train, random)
        validation = [
            pairs.batch(chunk, turn + chunk)
            for turn in range(4)
            for chunk in np.array_split(held_out, -(-len(held_out) // _BATCH))
        ]
        best, best_round, weights = np.inf, 0, [variable.numpy() for variable in variables]
        for number in range(_MAX_ROUNDS):
            for _ in range(int(np.clip(len(train) // _BATCH, _MIN_ROUND, _MAX_ROUND))):
                train_step(*next(batches))
            loss = float(np.mean([validation_loss(*batch) for batch in validation]))
            if loss < best - _MIN_GAIN:
                best, best_round, weights = loss, number, [variable.numpy() for variable in variables]
            elif number - best_round >= _PATIENCE:
                break
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)

    def image_embeddings(self, images: np.ndarray) -> np.ndarray:
        """Embeds images, uint8, shape `(N, H, W, 3)`, to float32 of unit length, shape `(N, E)`.

        Raises:
            ValueError: for other images, or if the retriever is not trained.
        """
        self._check_trained()
        features = (self._read_images(images) - self._mean) * self._scale
        return _unit(self._image_tower(features, training=False)).numpy()

    def text_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        """Embeds captions to float32 of unit length, shape `(N, E)`; words after the first 64 are not read.

        Raises:
            ValueError: if a caption is not a string, or the retriever is not trained.
        """
        self._check_trained()
        embeddings = np.empty((len(captions), _EMBEDDING_DIM), np.float32)
        for start in range(0, len(captions), _BATCH):
            grams, words = hash_captions(captions[start : start + _BATCH])
            embeddings[start : start + _BATCH] = _unit(self._text_tower(grams, words, training=False)).numpy()
        return embeddings

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the trained towers to an `.npz` file, without the image features; it appears whole or not at all.

        Raises:
            ValueError: if the retriever is not trained.
            OSError: if the file cannot be written.
        """
        self._check_trained()
        about = {"format": _FORMAT, "features": self.features.name, "fingerprint": self.features.fingerprint}
        arrays = {f"w{number:02d}": variable.numpy() for number, variable in enumerate(self._variables)}
        with written(path) as beside, open(beside, "wb") as file:
            np.savez_compressed(file, about=json.dumps(about), mean=self._mean, scale=self._scale, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str], features: Any) -> Retriever:
        """Reads a retriever from a file written by `save`.

        Args:
            path: The file.
            features: The image features that it was trained on.

        Raises:
            ValueError: if the file is no retriever or damaged, or was trained on other features.
            FileNotFoundError: if there is no such file.
        """
        content = Path(path).read_bytes()
        try:
            arrays = read_arrays(content, times=PACKED)
            for weight, array in arrays.items():
                check_finite(array, weight)
            about = json.loads(str(arrays.pop("about")))
            saved_format, name, fingerprint = (about[key] for key in ("format", "features", "fingerprint"))
            mean, scale = arrays.pop("mean"), arrays.pop("scale")
        except (ValueError, KeyError, TypeError) as error:
            problem = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{path} is not a retriever, or is damaged: {problem}. Train it again.") from error
        if saved_format != _FORMAT:
            raise ValueError(f"{path} is a retriever of format {saved_format}; expected {_FORMAT}. Train it again.")
        if fingerprint != features.fingerprint:
            raise ValueError(
                f"{path} was trained on other image features: {name} ({fingerprint[:12]}), not {features.name} "
                f"({features.fingerprint[:12]}). Pass the same features, or train it again."
            )
        retriever = cls(features)
        retriever._mean, retriever._scale = mean, scale
        retriever._build()
        variables = retriever._variables
        if [array.shape for array in arrays.values()] != [tuple(variable.shape) for variable in variables]:
            raise ValueError(f"{path} is not a retriever, or is damaged: arrays of other shapes. Train it again.")
        for variable, array in zip(variables, arrays.values(), strict=True):
            variable.assign(array)
        return retriever

    @property
    def _variables(self) -> list[keras.Variable]:
        return [*self._image_tower.weights[:2], *self._text_tower.trainable_variables, self._log_scale]

    def _build(self) -> None:
        self._image_tower(np.zeros((1, len(self._mean)), np.float32))
        self._text_tower(*hash_captions(["a caption"]))

    def _check_trained(self) -> None:
        if not self._mean.size:
            raise ValueError("The retriever is not trained yet: call `fit` with real pairs, or `Retriever.load`.")

    def _read_images(self, images: np.ndarray) -> np.ndarray:
        """The feature vector, and the last map but one averaged to a grid, of each image, shape `(N, D + 9 C)`."""
        vectors = self.features(images)
        source = getattr(self.features, "features", self.features)  # A cache keeps vectors only.
        grids = []
        for start in range(0, len(images), 64):
            try:
                maps = source.maps(from_bytes(tf.cast(images[start : start + 64], tf.float32)))
            except ValueError:  # Some networks have no maps.
                return vectors
            # The last map has seen the whole image everywhere; the one before it still knows where things are.
            grids.append(_averaged(maps[-2:][0].numpy()))
        return np.hstack([vectors, np.vstack(grids)]) if grids else vectors


def _check_pairs(images: np.ndarray, captions: Sequence[str | Sequence[str]]) -> None:
    if len(images) != len(captions):
        raise ValueError(f"Each image needs its captions; got {len(images)} images and {len(captions)} captions.")
    if len(images) < MIN_IMAGES:
        raise ValueError(f"A retriever needs at least {MIN_IMAGES} images to be trained on; got {len(images)}.")


class _Pairs:
    """Features and hashed captions of the training images."""

    def __init__(self, features: np.ndarray, captions: Sequence[str | Sequence[str]]) -> None:
        self.features = features
        numbers: dict[str, int] = {}
        ids: list[list[int]] = []
        for place, given in enumerate(captions):
            texts = [given] if isinstance(given, str) else list(given)
            if not texts:
                raise ValueError(f"Every image needs a caption; image number {place} has none.")
            ids.append([numbers.setdefault(text, len(numbers)) for text in texts])
        self._grams, self._words = hash_captions(list(numbers))
        self._counts = np.asarray([len(own) for own in ids])
        self._ids = np.full((len(ids), self._counts.max()), -1)
        for row, own in zip(self._ids, ids, strict=True):
            row[: len(own)] = own

    def batch(self, numbers: np.ndarray, turns: np.ndarray) -> tuple[np.ndarray, ...]:
        """Features, n-grams and words of images and of one caption each, and which captions describe which images."""
        drawn = self._ids[numbers, turns % self._counts[numbers]]
        used, words = np.unique(self._words[drawn], return_inverse=True)
        describes = (self._ids[numbers][:, None, :] == drawn[None, :, None]).any(axis=2)
        words = words.reshape(len(drawn), -1).astype(np.int32)
        return self.features[numbers], self._grams[used], words, describes

    def shuffled(self, numbers: np.ndarray, random: np.random.Generator) -> Iterator[tuple[np.ndarray, ...]]:
        """Batches without end: each image once, in a new order, then again."""
        size = min(_BATCH, len(numbers))
        while True:
            order = random.permutation(numbers)
            for start in range(0, len(order) - size + 1, size):
                chosen = order[start : start + size]
                yield self.batch(chosen, random.integers(0, 2**31, size))


_SIGNATURE = [
    tf.TensorSpec((None, None), tf.float32),
    tf.TensorSpec((None, None), tf.int32),
    tf.TensorSpec((None, None), tf.int32),
    tf.TensorSpec((None, None), tf.bool),
]


def contrastive_loss(logits: tf.Tensor, describes: tf.Tensor) -> tf.Tensor:
    """Mean cross-entropy of finding the caption of each image and the image of each caption in a batch.

    Args:
        logits: Scaled cosines of images and captions, shape `(B, B)`, the right pairs on the diagonal.
        describes: Whether caption j is one of image i's captions, bool, shape `(B, B)`; such a pair off the diagonal is
            neither right nor wrong, and is left out.
    """
    size = tf.shape(logits)[0]
    logits = tf.where(describes & ~tf.eye(size, dtype=tf.bool), -1e9, logits)
    right = tf.range(size)
    of_images = tf.nn.sparse_softmax_cross_entropy_with_logits(right, logits)
    of_captions = tf.nn.sparse_softmax_cross_entropy_with_logits(right, tf.transpose(logits))
    return tf.reduce_mean(of_images + of_captions) / 2.0


def _averaged(maps: np.ndarray) -> np.ndarray:
    """Averages maps, shape `(B, h, w, C)`, over a grid of equal cells, to shape `(B, 9 C)`."""

    def weights(size: int) -> np.ndarray:
        edges = np.linspace(0, size, _GRID + 1)[:, None]
        overlaps = np.minimum(edges[1:], np.arange(1, size + 1)) - np.maximum(edges[:-1], np.arange(size))
        return (np.maximum(overlaps, 0.0) * (_GRID / size)).astype(np.float32)

    cells = np.einsum("ih,bhwc,jw->bijc", weights(maps.shape[1]), maps, weights(maps.shape[2]), optimize=True)
    return cells.reshape(len(maps), -1)


def _unit(rows: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(rows, axis=1)
