"""Other words for the same: sentence embeddings drawn to those of the captions that a model was trained on."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np
from keras import layers, ops

__all__ = ["CaptionDenoiser"]

_MOST_STEPS = 100


@keras.saving.register_keras_serializable("keras_t2i")
class CaptionDenoiser(keras.Model):
    """Moves the embedding of a caption to where the captions of a data set are, so that unknown words are understood.

    A word that no training caption had, such as "crimson", leaves an embedding between known ones, where a generator
    draws something in between. A denoising autoencoder of the training embeddings points from there to the nearest
    meaning; followed a few times, it arrives. It needs no labels, no images and no other model, and learns parts of
    captions apart: combinations that no training caption had stay what they are.

    ```python
    denoiser = keras_t2i.text.CaptionDenoiser()
    denoiser.adapt(encoder.encode(training_captions))
    gan.caption_denoiser = denoiser  # Prompts of `generate`, presets and exports go through it from now on.
    images = gan.generate(["a crimson disk"])
    ```

    It suits data sets of many captions about few things. Where every caption is about something of its own, as names of
    emoji are, it draws a new one to a known one. It is saved and loaded like any Keras model.

    Reference:
        Extracting and Composing Robust Features with Denoising Autoencoders (Vincent et al., 2008). What Regularized
        Auto-Encoders Learn from the Data Generating Distribution (Alain and Bengio, 2014), arXiv:1211.4246: what such a
        network takes away from its input points up the density of the data.

    Args:
        noise: Standard deviation of the noise that it learns to take away, in units of the spread of the embeddings
            around their mean: how far from the known captions it reaches.
        steps: How often it is followed, at most 100 times.
        width: Units of its two hidden layers.
        seed: Seed of its weights, and of what it is shown.

    Call arguments:
        sentence_embeddings: float32, shape `(B, D)`.

    Returns:
        Sentence embeddings, float32, of the same shape; the same ones before `adapt`.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, noise: float = 1.25, steps: int = 8, width: int = 512, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not (noise > 0 and 1 <= steps <= _MOST_STEPS and width >= 1):
            raise ValueError(
                f"`noise` must be above 0, `steps` from 1 to {_MOST_STEPS}, `width` at least 1; "
                f"got {noise}, {steps}, {width}."
            )
        self.noise, self.num_steps, self.width, self.seed = noise, steps, width, seed

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        size = input_shape[-1]
        self.mean = self.add_weight((size,), "zeros", trainable=False, name="mean")
        self.spread = self.add_weight((), "ones", trainable=False, name="spread")
        self.adapted = self.add_weight((), "zeros", trainable=False, name="adapted")
        initializer = keras.initializers.GlorotUniform
        activations, sizes = ("relu", "relu", None), (self.width, self.width, size)
        self.network = keras.Sequential(
            [
                keras.Input((size,)),
                *(
                    layers.Dense(units, activation, kernel_initializer=initializer(self.seed + i), dtype="float32")
                    for i, (units, activation) in enumerate(zip(sizes, activations, strict=True))
                ),
            ],
            name="network",
        )

    def call(self, sentence_embeddings: Any) -> Any:
        given = ops.cast(sentence_embeddings, "float32")
        text = (given - self.mean) / self.spread
        for _ in range(self.num_steps):
            text = self.network(text)
        return ops.where(self.adapted > 0, text * self.spread + self.mean, given)

    def adapt(
        self, sentence_embeddings: np.ndarray, updates: int = 6000, batch_size: int = 256, verbose: int | str = "auto"
    ) -> None:
        """Learns the embeddings of the training captions; about a minute of one core with the defaults.

        Args:
            sentence_embeddings: One row a caption, float32, shape `(N, D)`, N at least 2.
            updates: Number of steps of Adam, from 0.001 down to 0.
            batch_size: Captions a step.
            verbose: As in `fit`.

        Raises:
            ValueError: if they are not rows of finite numbers, or all the same.
        """
        rows = np.asarray(sentence_embeddings)
        if rows.ndim != 2 or len(rows) < 2 or rows.dtype.kind != "f" or not np.isfinite(rows).all():
            raise ValueError(
                "`sentence_embeddings` must be finite floats of shape (N, D), a caption a row and at least two; "
                f"got {rows.dtype} of shape {rows.shape}. Pass `encoder.encode(captions)`."
            )
        mean = rows.mean(axis=0)
        spread = float((rows - mean).std())
        if spread < 1e-6:
            raise ValueError(f"All {len(rows)} captions have the same embedding: there is nothing to tell apart.")
        if not self.built:
            self.build(rows.shape)
        self.mean.assign(mean)
        self.spread.assign(spread)
        rate = keras.optimizers.schedules.CosineDecay(1e-3, updates)
        self.network.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)
        known = ((rows - mean) / spread).astype(np.float32)
        batches = _NoisyBatches(known, self.noise, updates, batch_size, self.seed)
        self.network.fit(batches, shuffle=False, verbose=verbose)
        self.adapted.assign(1.0)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides what it makes of an embedding."""
        digest = hashlib.sha256(f"caption denoiser {self.num_steps}".encode())
        for weight in self.get_weights():
            digest.update(np.ascontiguousarray(weight, np.float32).tobytes())
        return digest.hexdigest()

    def get_config(self) -> dict[str, Any]:
        own = {"noise": self.noise, "steps": self.num_steps, "width": self.width, "seed": self.seed}
        return {**super().get_config(), **own}


class _NoisyBatches(keras.utils.PyDataset):
    """Rows drawn at random with noise on them, and what they were; batch `i` depends on the seed and `i` alone."""

    def __init__(self, rows: np.ndarray, noise: float, updates: int, batch_size: int, seed: int) -> None:
        super().__init__()
        self.rows, self.noise = rows, noise
        self.updates, self.batch_size, self.seed = updates, batch_size, seed

    def __len__(self) -> int:
        return self.updates

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng((self.seed, index))
        clean = self.rows[random.integers(len(self.rows), size=self.batch_size)]
        noise = random.standard_normal(clean.shape, dtype=np.float32)
        return clean + np.float32(self.noise) * noise, clean
