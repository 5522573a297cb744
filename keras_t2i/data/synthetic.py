"""Captioned shapes, rendered on the fly: a data set with known answers for demonstrations, tests and benchmarks."""

from __future__ import annotations

import hashlib
import itertools
import math
import re

import numpy as np
import tensorflow as tf

from keras_t2i.data.pipeline import CaptionedImages, Split

__all__ = ["ATTRIBUTES", "render_shapes", "shape_captions", "shapes"]

_COLORS = {
    "red": (220, 30, 35),
    "orange": (255, 140, 0),
    "yellow": (250, 225, 40),
    "green": (35, 160, 60),
    "cyan": (40, 215, 225),
    "blue": (35, 85, 240),
    "purple": (140, 50, 190),
    "pink": (255, 130, 190),
}
_BACKGROUNDS = {
    "white": (248, 248, 248),
    "black": (12, 12, 12),
    "gray": (128, 128, 128),
    "navy": (18, 24, 82),
    "brown": (98, 62, 34),
}
_POSITIONS = {
    "in the center": (0.5, 0.5),
    "at the top left": (0.28, 0.28),
    "at the top right": (0.72, 0.28),
    "at the bottom left": (0.28, 0.72),
    "at the bottom right": (0.72, 0.72),
}
_SIZES = {"small": 0.135, "large": 0.24}

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "ring"),
    "color": tuple(_COLORS),
    "background": tuple(_BACKGROUNDS),
    "position": tuple(_POSITIONS),
    "size": tuple(_SIZES),
}
"""The five attributes of an image, in the order of its labels, and the words each takes."""

_PHRASINGS = (
    "a {size} {color} {shape} {position} on a {background} background",
    "{size} {color} {shape}, {position}, {background} background",
    "on a {background} background there is a {size} {color} {shape} {position}",
    "a {color} {shape}, {size}, {position} of a {background} picture",
    "{position} of the {background} image, one {size} {color} {shape}",
    "a picture of a {size} {color} {shape} {position}, the background is {background}",
)
_HELD_OUT_PERCENT = 10
_VARIATIONS = 4  # Images of each combination in an epoch.


def shape_captions(labels: np.ndarray) -> list[str]:
    """Returns every phrasing of one image's caption.

    Args:
        labels: The five attributes as positions in `ATTRIBUTES`, integers, shape `(5,)`.
    """
    words = {name: values[int(label)] for (name, values), label in zip(ATTRIBUTES.items(), labels, strict=True)}
    captions = [phrasing.format(**words) for phrasing in _PHRASINGS]
    return [re.sub(r"\ba (?=orange)", "an ", caption) for caption in captions]


def shapes(image_size: int = 64, batch_size: int = 32, seed: int = 0) -> CaptionedImages:
    """Builds the captioned shapes data set.

    8 shapes x 8 colors x 5 backgrounds x 5 positions x 2 sizes, in six phrasings. One combination in ten, chosen by a
    hash of its words, is held out of training. Every image drawn differs in place, size, tint and tilt within the
    limits of its words.

    Args:
        image_size: Height and width in pixels, at least 16.
        batch_size: Images in a batch.
        seed: Seed of order and variations.

    Raises:
        ValueError: if `image_size` is below 16.
    """
    if image_size < 16:
        raise ValueError(f"Shapes need an `image_size` of at least 16 pixels; got {image_size}.")
    combinations = np.asarray(list(itertools.product(*(range(len(words)) for words in ATTRIBUTES.values()))), np.int64)
    held_out = np.asarray([_is_held_out(labels) for labels in combinations])

    def split(labels: np.ndarray) -> Split:
        captions: dict[str, int] = {}
        caption_ids = tuple(
            tuple(captions.setdefault(caption, len(captions)) for caption in shape_captions(row)) for row in labels
        )

        def load_images(indices: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            return render_shapes(tf.gather(tf.constant(labels), indices), seeds, image_size)

        return Split(tuple(captions), caption_ids, load_images, labels)

    return CaptionedImages(
        split(np.tile(combinations[~held_out], (_VARIATIONS, 1))),
        split(combinations[held_out]),
        image_size,
        batch_size,
        seed=seed,
        name="shapes",
    )


def _is_held_out(labels: np.ndarray) -> bool:
    words = " ".join(values[label] for values, label in zip(ATTRIBUTES.values(), labels, strict=True))
    return int(hashlib.sha256(words.encode()).hexdigest(), 16) % 100 < _HELD_OUT_PERCENT


def render_shapes(labels: tf.Tensor, seeds: tf.Tensor, image_size: int) -> tf.Tensor:
    """Renders anti-aliased shapes from their attributes.

    Args:
        labels: Positions in `ATTRIBUTES`, int64, shape `(B, 5)`.
        seeds: One random seed an image, int64, shape `(B, 2)`; it decides the variation within the attributes.
        image_size: Height and width in pixels.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
    """
    draws = tf.map_fn(
        lambda pair: tf.random.stateless_uniform((10,), pair, -1.0, 1.0),
        seeds,
        fn_output_signature=tf.TensorSpec((10,), tf.float32),
    )
    shape, color, background, position, size = tf.unstack(labels, axis=1)
    center = tf.gather(np.asarray(list(_POSITIONS.values()), np.float32), position) + 0.02 * draws[:, 0:2]
    radius = tf.gather(np.asarray(list(_SIZES.values()), np.float32), size) * (1 + 0.08 * draws[:, 2])
    ink = tf.gather(np.asarray(list(_COLORS.values()), np.float32), color) + 12.0 * draws[:, 3:6]
    paper = tf.gather(np.asarray(list(_BACKGROUNDS.values()), np.float32), background) + 8.0 * draws[:, 6:9]
    tilt = draws[:, 9] * (math.pi / 30)

    grid = (tf.range(image_size, dtype=tf.float32) + 0.5) / image_size
    across = (grid[None, None, :] - center[:, 0, None, None]) / radius[:, None, None]
    down = (grid[None, :, None] - center[:, 1, None, None]) / radius[:, None, None]
    cos, sin = tf.cos(tilt)[:, None, None], tf.sin(tilt)[:, None, None]
    distances = _signed_distances(across * cos + down * sin, down * cos - across * sin)
    distance = tf.einsum("sbhw,bs->bhw", distances, tf.one_hot(shape, len(ATTRIBUTES["shape"])))
    cover = tf.clip_by_value(0.5 - distance * radius[:, None, None] * image_size, 0.0, 1.0)[..., None]
    pixels = paper[:, None, None, :] * (1 - cover) + ink[:, None, None, :] * cover
    return tf.clip_by_value(pixels / 127.5 - 1.0, -1.0, 1.0)


def _signed_distances(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Distances to the outline of each shape, negative inside, in units of its radius; `y` points down."""
    length = tf.sqrt(x * x + y * y + 1e-12)
    circle = length - 0.95
    square = tf.maximum(tf.abs(x), tf.abs(y)) - 0.82
    triangle = tf.maximum(math.sqrt(3) / 2 * tf.abs(x) - y / 2 - 0.48, y - 0.75)
    cross = tf.maximum(tf.minimum(tf.abs(x), tf.abs(y)) - 0.3, tf.maximum(tf.abs(x), tf.abs(y)) - 0.95)
    diamond = (tf.abs(x) * 1.35 + tf.abs(y)) / math.hypot(1.35, 1.0) - 1.05 / math.hypot(1.35, 1.0)
    ring = tf.abs(length - 0.72) - 0.24
    return tf.stack([circle, square, triangle, _star(x, -y), _heart(x, -y), diamond, cross, ring])


def _star(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """A five-pointed star: the plane is folded into one tenth of a turn, where the outline is a single edge."""
    tenth = math.pi / 5
    angle = tf.abs(tf.math.floormod(tf.atan2(x, y) + tenth, 2 * tenth) - tenth)
    length = tf.sqrt(x * x + y * y + 1e-12)
    px, py = length * tf.sin(angle), length * tf.cos(angle)
    tip, notch = (0.0, 1.08), (0.45 * math.sin(tenth), 0.45 * math.cos(tenth))
    edge = (notch[0] - tip[0], notch[1] - tip[1])
    norm = math.hypot(*edge)
    return ((px - tip[0]) * -edge[1] + (py - tip[1]) * edge[0]) / norm


def _heart(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Two circles above a tapering point."""
    x = tf.abs(x)
    lobes = tf.sqrt((x - 0.45) ** 2 + (y - 0.35) ** 2) - 0.52
    wedge = tf.maximum(x * 0.78 - (y + 0.95) * 0.63, y - 0.35)
    return tf.minimum(lobes, wedge)
