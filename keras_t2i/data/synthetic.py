"""Captioned images rendered on the fly, with known answers for demonstrations, tests and benchmarks; first: shapes."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from keras_t2i.core.pixels import from_bytes
from keras_t2i.data.caption_variants import synonyms
from keras_t2i.data.names import Rendered
from keras_t2i.data.pipeline import CaptionedImages
from keras_t2i.data.shape_words import HELD_OUT_SYNONYMS, SHAPE_PARAPHRASES, SHAPE_SYNONYMS
from keras_t2i.data.split import Split

__all__ = [
    "ATTRIBUTES",
    "SHAPE_ATTRIBUTES",
    "phrased",
    "render_shapes",
    "rendered_images",
    "shape_captions",
    "shape_synonym_captions",
    "shapes",
    "variations",
]

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

SHAPE_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": ("circle", "square", "triangle", "star", "heart", "diamond", "cross", "ring"),
    "color": tuple(_COLORS),
    "background": tuple(_BACKGROUNDS),
    "position": tuple(_POSITIONS),
    "size": tuple(_SIZES),
}
"""The five attributes of a shape, in the order of its labels, and the words each takes."""

ATTRIBUTES = SHAPE_ATTRIBUTES

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


def rendered_images(
    name: str,
    attributes: Mapping[str, Sequence[str]],
    captions_of: Callable[[np.ndarray], list[str]],
    render: Callable[[tf.Tensor, tf.Tensor, int], tf.Tensor],
    image_size: int,
    batch_size: int,
    seed: int,
    num_images: int | None = None,
    horizontal_flip: bool = False,
    training_captions_of: Callable[[np.ndarray], list[str]] | None = None,
) -> CaptionedImages:
    """Builds a data set of every combination of attributes from a function that draws them.

    One combination in ten, chosen by a hash of its words, is held out of training, whatever the seed.

    Args:
        name: Short name of the data set.
        attributes: Name of each attribute and the words it takes, in the order of the labels.
        captions_of: Returns the captions of one row of labels, shape `(num_attributes,)`.
        render: A function traceable by `tf.data`: labels `(B, num_attributes)` and seeds `(B, 2)`, both int64, and the
            image size, to images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
        image_size: Height and width in pixels.
        batch_size: Images in a batch.
        seed: Seed of order and variations.
        num_images: Train on this many images that never change, of combinations drawn with `seed`; by default, on four
            images of every combination, drawn anew each time.
        horizontal_flip: Whether to mirror half of the training images.
        training_captions_of: The same as `captions_of` for the training images, where those have others.

    Raises:
        ValueError: if `num_images` is below 1.
    """
    if num_images is not None and num_images < 1:
        raise ValueError(f"`num_images` must be at least 1, or None for all combinations; got {num_images}.")
    combinations = np.asarray(list(itertools.product(*(range(len(words)) for words in attributes.values()))), np.int64)
    held_out = np.asarray([_is_held_out(labels, attributes) for labels in combinations])

    def split(
        labels: np.ndarray, captions_of: Callable[[np.ndarray], list[str]] = captions_of, fixed: bool = False
    ) -> Split:
        captions: dict[str, int] = {}
        caption_ids = tuple(
            tuple(captions.setdefault(caption, len(captions)) for caption in captions_of(row)) for row in labels
        )

        def load_images(indices: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
            if fixed:
                indices = tf.cast(indices, tf.int64)
                seeds = tf.stack([tf.fill(tf.shape(indices), tf.constant(seed, tf.int64)), indices], axis=1)
            return render(tf.gather(tf.constant(labels), indices), seeds, image_size)

        return Split(tuple(captions), caption_ids, load_images, labels)

    trained, training_captions_of = combinations[~held_out], training_captions_of or captions_of
    if num_images is None:
        train_split = split(np.tile(trained, (_VARIATIONS, 1)), training_captions_of)
    else:
        order = np.random.default_rng(seed).permutation(len(trained))
        train_split = split(trained[np.resize(order, num_images)], training_captions_of, fixed=True)
    validation_split = split(combinations[held_out])
    return CaptionedImages(train_split, validation_split, image_size, batch_size, horizontal_flip, seed, name)


def phrased(labels: np.ndarray, attributes: Mapping[str, Sequence[str]], phrasings: Sequence[str]) -> list[str]:
    """Returns every phrasing of one image's caption.

    Args:
        labels: Positions in the words of `attributes`, integers, shape `(num_attributes,)`.
        attributes: Name of each attribute and the words it takes, in the order of the labels.
        phrasings: Format strings that name every attribute.
    """
    words = {name: values[int(label)] for (name, values), label in zip(attributes.items(), labels, strict=True)}
    return [re.sub(r"\ba (?=[aeiou])", "an ", phrasing.format(**words)) for phrasing in phrasings]


def variations(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """Draws `count` numbers in [-1, 1) from each seed: int64 of shape `(B, 2)` to float32 of shape `(B, count)`."""
    return tf.map_fn(
        lambda pair: tf.random.stateless_uniform((count,), pair, -1.0, 1.0),
        seeds,
        fn_output_signature=tf.TensorSpec((count,), tf.float32),
    )


def _is_held_out(labels: np.ndarray, attributes: Mapping[str, Sequence[str]]) -> bool:
    words = " ".join(values[label] for values, label in zip(attributes.values(), labels, strict=True))
    return int(hashlib.sha256(words.encode()).hexdigest(), 16) % 100 < _HELD_OUT_PERCENT


def shape_captions(labels: np.ndarray) -> list[str]:
    """Returns every phrasing of one shape's caption.

    Args:
        labels: The five attributes as positions in `SHAPE_ATTRIBUTES`, integers, shape `(5,)`.
    """
    return phrased(labels, SHAPE_ATTRIBUTES, _PHRASINGS)


def shape_synonym_captions(
    labels: np.ndarray, replaced: str = "one", seed: int = 0
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Returns captions of shapes with words that no training caption has: `HELD_OUT_SYNONYMS`.

    Args:
        labels: The five attributes as positions in `SHAPE_ATTRIBUTES`, integers, shape `(N, 5)`; as a rule those of
            `shapes().validation_split`, combinations never trained on.
        replaced: `"one"` for five captions of each row, with another attribute's word replaced in each; `"all"` for
            one caption with every word replaced.
        seed: Seed of phrasings and synonyms.

    Returns:
        The captions; their labels, shape `(M, 5)`; and the attribute whose word was replaced, as a position in
        `SHAPE_ATTRIBUTES` or -1 for all, shape `(M,)`. M is `5 N` or `N`.

    Raises:
        ValueError: if `replaced` is neither `"one"` nor `"all"`.
    """
    if replaced not in ("one", "all"):
        raise ValueError(f"`replaced` must be 'one' or 'all'; got {replaced!r}.")
    random = np.random.default_rng(seed)
    which = range(len(SHAPE_ATTRIBUTES)) if replaced == "one" else (-1,)
    captions: list[str] = []
    for row in labels:
        words = [values[int(label)] for values, label in zip(SHAPE_ATTRIBUTES.values(), row, strict=True)]
        for attribute in which:
            table = {word: HELD_OUT_SYNONYMS[word] for word in (words if attribute < 0 else [words[attribute]])}
            caption = phrased(row, SHAPE_ATTRIBUTES, [_PHRASINGS[random.integers(len(_PHRASINGS))]])[0]
            captions += synonyms(table, share=1.0)(caption, random)
    return captions, np.repeat(labels, len(which), axis=0), np.tile(np.asarray(which, np.int64), len(labels))


def shapes(
    image_size: int = 64,
    batch_size: int = 32,
    seed: int = 0,
    num_images: int | None = None,
    paraphrase: bool = False,
) -> CaptionedImages:
    """Builds the captioned shapes data set.

    8 shapes x 8 colors x 5 backgrounds x 5 positions x 2 sizes, in six phrasings. One combination in ten, chosen by a
    hash of its words, is held out of training. Every image drawn differs in place, size, tint and tilt within the
    limits of its words.

    Args:
        image_size: Height and width in pixels, at least 16.
        batch_size: Images in a batch.
        seed: Seed of order and variations.
        num_images: Train on this many images that never change, of combinations drawn with `seed`; by default, on all
            combinations, drawn anew each time.
        paraphrase: Whether to train on more captions: `SHAPE_PARAPHRASES` beside the six phrasings, and each of these
            14 once more with `SHAPE_SYNONYMS` in the place of half of its words. Validation stays the same.

    Raises:
        ValueError: if `image_size` is below 16, or `num_images` is below 1.
    """
    if image_size < 16:
        raise ValueError(f"Shapes need an `image_size` of at least 16 pixels; got {image_size}.")
    images = rendered_images(
        "shapes",
        SHAPE_ATTRIBUTES,
        shape_captions,
        render_shapes,
        image_size,
        batch_size,
        seed,
        num_images,
        training_captions_of=_all_phrasings if paraphrase else None,
    )
    return images.with_captions(synonyms(SHAPE_SYNONYMS)) if paraphrase else images


def _all_phrasings(labels: np.ndarray) -> list[str]:
    return shape_captions(labels) + phrased(labels, SHAPE_ATTRIBUTES, SHAPE_PARAPHRASES)


def render_shapes(labels: tf.Tensor, seeds: tf.Tensor, image_size: int) -> tf.Tensor:
    """Renders anti-aliased shapes from their attributes.

    Args:
        labels: Positions in `SHAPE_ATTRIBUTES`, int64, shape `(B, 5)`.
        seeds: One random seed an image, int64, shape `(B, 2)`; it decides the variation within the attributes.
        image_size: Height and width in pixels.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
    """
    draws = variations(seeds, 10)
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
    distance = tf.einsum("sbhw,bs->bhw", distances, tf.one_hot(shape, len(SHAPE_ATTRIBUTES["shape"])))
    cover = tf.clip_by_value(0.5 - distance * radius[:, None, None] * image_size, 0.0, 1.0)[..., None]
    pixels = paper[:, None, None, :] * (1 - cover) + ink[:, None, None, :] * cover
    return tf.clip_by_value(from_bytes(pixels), -1.0, 1.0)


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


SHAPES = Rendered(shapes, SHAPE_ATTRIBUTES, names_sides=True)
