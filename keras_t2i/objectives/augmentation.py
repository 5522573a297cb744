"""Differentiable augmentation: random changes to everything the discriminator sees, which gradients pass through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_t2i.core import replicas

__all__ = ["CaptionAugmentation", "DiffAugment", "brightness", "contrast", "cutout", "saturation", "translation"]

_PACKAGE = "keras_t2i"


def translation(images: Any, seed: keras.random.SeedGenerator, share: float = 1 / 8) -> Any:
    """Moves each image by up to `share` of its height and width, in whole pixels; mid gray (0) moves in."""
    _, height, width, _ = images.shape
    # A move is a product with a shifted identity matrix on either side: exact, and differentiable to every order.
    down, across = (_shifts(images, size, share, seed) for size in (height, width))
    images = ops.einsum("bij,bjwc->biwc", down, images)
    return ops.einsum("bij,bhjc->bhic", across, images)


def cutout(images: Any, seed: keras.random.SeedGenerator, share: float = 1 / 2) -> Any:
    """Blanks (to 0) a box of `share` of each image's height and width, partly outside the image at times."""
    _, height, width, _ = images.shape
    rows, columns = (_inside_box(images, size, share, seed) for size in (height, width))
    return images * (1.0 - rows[:, :, None, None] * columns[:, None, :, None])


def brightness(images: Any, seed: keras.random.SeedGenerator) -> Any:
    """Adds to each image an amount between -0.5 and 0.5."""
    return images + _draw(images, seed, -0.5, 0.5)


def saturation(images: Any, seed: keras.random.SeedGenerator) -> Any:
    """Stretches each pixel's colour away from its gray by a factor between 0 and 2."""
    gray = ops.mean(images, axis=-1, keepdims=True)
    return gray + (images - gray) * _draw(images, seed, 0.0, 2.0)


def contrast(images: Any, seed: keras.random.SeedGenerator) -> Any:
    """Stretches each image away from its mean by a factor between 0.5 and 1.5."""
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * _draw(images, seed, 0.5, 1.5)


_AUGMENTATIONS: dict[str, Callable[[Any, keras.random.SeedGenerator], Any]] = {
    "brightness": brightness,
    "saturation": saturation,
    "contrast": contrast,
    "translation": translation,
    "cutout": cutout,
}


@keras.saving.register_keras_serializable(_PACKAGE)
class DiffAugment(keras.layers.Layer):
    """Augments real and generated images alike, so that a small data set lasts longer before it is memorised.

    Pass it as `compile(augmentation=DiffAugment())` from a few thousand images downwards; larger sets need none. The
    colour changes are off by default because captions name colours. Translation stays within an eighth of the image,
    which "on the left" survives; leave it out where captions describe finer positions.

    Reference:
        Differentiable Augmentation for Data-Efficient GAN Training (Zhao et al., 2020), arXiv:2006.10738.

    Args:
        policy: Names of augmentations, applied in this order: `"brightness"`, `"saturation"`, `"contrast"`,
            `"translation"`, `"cutout"`.
        seed: Seed of the draws; every image of every call gets its own.

    Call arguments:
        images: Images in [-1, 1], floating point, shape `(B, H, W, 3)`, height and width static.

    Returns:
        Images of the same shape and type; colour changes may leave [-1, 1].

    Raises:
        ValueError: if `policy` is empty or names an unknown augmentation.
    """

    def __init__(self, policy: Sequence[str] = ("translation", "cutout"), seed: int = 0, **kwargs: Any) -> None:
        # Images keep their type under mixed precision: rounding pixels would be one more augmentation.
        super().__init__(autocast=False, **kwargs)
        unknown = [name for name in policy if name not in _AUGMENTATIONS]
        if isinstance(policy, str) or not policy or unknown:
            raise ValueError(
                f"`policy` must be a sequence of names out of: {', '.join(_AUGMENTATIONS)}; got {policy!r}."
            )
        self.policy = tuple(policy)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any) -> Any:
        for name in self.policy:
            images = _AUGMENTATIONS[name](images, self.seed_generator)
        return images

    def compute_output_shape(self, images_shape: Any) -> Any:
        return images_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "policy": self.policy, "seed": self.seed}


@keras.saving.register_keras_serializable(_PACKAGE)
class CaptionAugmentation(keras.layers.Layer):
    """Changes sentence embeddings at random in each step of training, for both networks alike.

    `noise` teaches that a caption in other words means the same; `mixing` fills the space between captions; `dropout`
    teaches the generator to draw without a caption, which `TextToImageGAN.generate(guidance=...)` starts from.

    Reference:
        Noise: Lafite (Zhou et al., 2022), arXiv:2111.13792. Mixing: mixup (Zhang et al., 2018), arXiv:1710.09412.
        Differs: the real image keeps the larger part of a mixture. Dropout: Classifier-Free Diffusion Guidance (Ho and
        Salimans, 2022), arXiv:2207.12598. Differs: the mean caption stands for none.

    Args:
        dropout: Share of captions replaced by the mean of the captions that the networks were adapted to.
        noise: Standard deviation of normal noise, in units of the spread of these captions around their mean.
        mixing: Largest share, below one half, of the batch's next caption that is mixed into each.
        seed: Seed of the draws.

    Call arguments:
        sentence_embeddings: float32, shape `(B, D)`.
        mean: Mean of the data set's embeddings, shape `(D,)`.
        scale: One over their spread, a scalar.

    Returns:
        Sentence embeddings of the same shape.

    Raises:
        ValueError: if a share or the noise is out of range.
    """

    def __init__(
        self, dropout: float = 0.0, noise: float = 0.0, mixing: float = 0.0, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.built = True  # It has no weights; on JAX, Keras would call the whole model to find that out.
        if not (0 <= dropout < 1 and noise >= 0 and 0 <= mixing < 0.5):
            raise ValueError(
                "`dropout` must be in [0, 1), `noise` at least 0 and `mixing` in [0, 0.5); "
                f"got {dropout}, {noise} and {mixing}."
            )
        self.dropout = dropout
        self.noise = noise
        self.mixing = mixing
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, sentence_embeddings: Any, mean: Any, scale: Any) -> Any:
        text, rows = sentence_embeddings, (ops.shape(sentence_embeddings)[0], 1)
        if self.mixing:
            share = replicas.uniform(rows, 0.0, self.mixing, seed=self.seed_generator)
            following = replicas.own(ops.roll(replicas.whole(text), 1, axis=0))
            text = text + share * (following - text)
        if self.noise:
            draws = self.noise * replicas.normal(ops.shape(text), seed=self.seed_generator)
            text = text + draws / scale
        if self.dropout:
            dropped = replicas.uniform(rows, seed=self.seed_generator) < self.dropout
            text = ops.where(dropped, ops.convert_to_tensor(mean)[None], text)
        return text

    def compute_output_shape(self, text_shape: Any, mean_shape: Any = None, scale_shape: Any = None) -> Any:
        return text_shape

    def get_config(self) -> dict[str, Any]:
        names = ("dropout", "noise", "mixing", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _draw(images: Any, seed: keras.random.SeedGenerator, low: float, high: float) -> Any:
    """One number an image, uniform, of a shape that broadcasts against images."""
    return ops.cast(replicas.uniform((ops.shape(images)[0], 1, 1, 1), low, high, seed=seed), images.dtype)


def _shifts(images: Any, size: int, share: float, seed: keras.random.SeedGenerator) -> Any:
    """One identity matrix an image, `(B, size, size)`, shifted by a whole number up to `share` of `size`."""
    limit = round(size * share)
    offsets = replicas.randint((ops.shape(images)[0], 1, 1), -limit, limit + 1, seed=seed)
    positions = ops.arange(size, dtype="int32")
    return ops.cast(positions[None, None, :] - positions[None, :, None] == offsets, images.dtype)


def _inside_box(images: Any, size: int, share: float, seed: keras.random.SeedGenerator) -> Any:
    """One interval an image, as ones among zeros, `(B, size)`: `share` of `size`, its centre anywhere."""
    length = round(size * share)
    centers = replicas.randint((ops.shape(images)[0], 1), 0, size + 1, seed=seed)
    distances = ops.arange(size, dtype="int32")[None, :] - centers + length // 2
    return ops.cast(ops.logical_and(distances >= 0, distances < length), images.dtype)
