"""Chest phantoms with reports, rendered on the fly: captions of several sentences, in gray. No medical device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_t2i.core.pixels import from_bytes
from keras_t2i.data.chest_reports import PHANTOM_ATTRIBUTES, phantom_reports
from keras_t2i.data.names import Rendered
from keras_t2i.data.outlines import ellipse, numbers_of
from keras_t2i.data.pipeline import CaptionedImages
from keras_t2i.data.synthetic import rendered_images, variations

__all__ = ["phantoms", "render_phantoms"]

# All lengths are in halves of the picture, 120 mm; `x` points to the patient's left, which is right in the picture.
_RADII = {"12 mm": (0.05,), "20 mm": (0.083,), "32 mm": (0.133,)}
_HEIGHTS = {"upper": (-0.36,), "middle": (-0.03,), "lower": (0.25,)}
_NODULES = np.array(
    [
        [(0.0, 0.0), (99.0, 99.0), (99.0, 99.0)],
        [(-1.0, 0.2), (1.0, -0.2), (99.0, 99.0)],
        [(-1.0, 0.6), (1.0, 0.6), (0.0, -1.1)],
    ],
    np.float32,
)
"""Middles of one, two and three nodules, in their radii and the gap between them; 99 is out of the picture."""
_OPACITIES = {"calcified": (0.62, 24.0), "ground-glass": (0.32, 9.0)}
"""What nodules add to the picture, and how steep their edges are."""
_SIDES = {"no effusion": (0.0, 0.0), "right effusion": (1.0, 0.0), "left effusion": (0.0, 1.0)}
_HEARTS = {"normal": (0.27,), "enlarged": (0.43,)}


def phantoms(
    image_size: int = 64,
    batch_size: int = 32,
    seed: int = 0,
    num_images: int | None = None,
) -> CaptionedImages:
    """Builds the captioned chest phantoms data set: drawn radiographs with reports of 40 to 80 words.

    1, 2 or 3 nodules x 3 sizes x 2 opacities x 2 sides x 3 zones x 3 effusions x 2 hearts x with and without a
    pacemaker, in six phrasings. One combination in ten, chosen by a hash of its words, is held out of training. Every
    image drawn differs in build, exposure, tilt and place within the limits of its words. As radiographs have it, the
    patient's left is on the right.

    It is a phantom to try programs on. It is no medical device, and nothing that is learned from it says anything about
    people.

    Args:
        image_size: Height and width in pixels, from 32 to 256; below 48 small nodules can hardly be told apart.
        batch_size: Images in a batch.
        seed: Seed of order and variations.
        num_images: Train on this many images that never change, of combinations drawn with `seed`; by default, on all
            combinations, drawn anew each time.

    Raises:
        ValueError: if `image_size` is not from 32 to 256, or `num_images` is below 1.
    """
    if not 32 <= image_size <= 256:
        raise ValueError(f"Phantoms need an `image_size` from 32 to 256 pixels; got {image_size}.")
    return rendered_images(
        "phantoms", PHANTOM_ATTRIBUTES, phantom_reports, render_phantoms, image_size, batch_size, seed, num_images
    )


def render_phantoms(labels: tf.Tensor, seeds: tf.Tensor, image_size: int) -> tf.Tensor:
    """Renders chest phantoms from their attributes: what the ray passes adds up, as in a radiograph.

    Args:
        labels: Positions in `PHANTOM_ATTRIBUTES`, int64, shape `(B, 8)`.
        seeds: One random seed an image, int64, shape `(B, 2)`; it decides the variation within the attributes.
        image_size: Height and width in pixels.

    Returns:
        Images in [-1, 1], three equal channels, float32, shape `(B, image_size, image_size, 3)`.
    """
    number, size, opacity, side, zone, effusion, heart, device = tf.unstack(labels, axis=1)
    draws = variations(seeds, 16)
    place = tf.unstack(draws[:, :14, None, None], axis=1)
    x, y = _plane(place[0:4], image_size)
    away = tf.abs(x)

    def cover(distance: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(0.5 - distance * (image_size / 2), 0.0, 1.0)

    body = ((away / (0.92 + 0.03 * place[4])) ** 4 + ((y - 0.5) / 1.4) ** 4) ** 0.25 - 1.0
    lung = tf.maximum(ellipse(away - 0.46, y + 0.04, 0.35 + 0.01 * place[5], 0.74), y - 0.6 + (away - 0.42) ** 2)
    ribs = tf.sin(25.0 * (y + 0.35 * away - 0.5 * x * x) + 0.6 * place[6])
    spine = tf.maximum(away - 0.09, body)
    collar = tf.maximum(tf.abs(y + 0.74 - 0.25 * (away - 0.5) ** 2 + 0.12 * away) - 0.035, 0.12 - away)
    heart_width = numbers_of(_HEARTS, heart)[0] * (1 + 0.05 * place[7])
    heart_at = ellipse(x - 0.1 - 0.3 * (heart_width - 0.27), y - 0.3, heart_width, 0.3)

    gray = 0.05 + cover(body) * (0.42 + 0.05 * tf.nn.relu(ribs)) - 0.33 * cover(lung)
    gray += 0.12 * cover(spine) + 0.08 * cover(collar) + 0.3 * cover(tf.maximum(heart_at, y - 0.62))
    gray += 0.4 * _fluid(x, y, lung, numbers_of(_SIDES, effusion), place[8], cover)
    gray += _nodules(x, y, (number, size, opacity, side, zone), place[9:12])
    pacemaker = tf.cast(device == PHANTOM_ATTRIBUTES["device"].index("pacemaker"), tf.float32)[:, None, None]
    gray += pacemaker * cover(_pacemaker(x, y + 0.02 * place[12]))
    gray *= 1 + 0.06 * place[13]
    pixels = from_bytes(255.0 * tf.clip_by_value(gray, 0.0, 1.0))
    return tf.repeat(pixels[..., None], 3, axis=-1)


def _plane(draws: list[tf.Tensor], image_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Coordinates of the pixels from the middle of the chest; `y` points down."""
    grid = 2 * (tf.range(image_size, dtype=tf.float32) + 0.5) / image_size - 1
    across = (grid[None, None, :] - 0.04 * draws[0]) / (1 + 0.03 * draws[2])
    down = (grid[None, :, None] - 0.03 * draws[1]) / (1 + 0.03 * draws[2])
    turn = 0.04 * draws[3]
    return across + turn * down, down - turn * across


def _fluid(
    x: tf.Tensor,
    y: tf.Tensor,
    lung: tf.Tensor,
    sides: list[tf.Tensor],
    draw: tf.Tensor,
    cover: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """How much of each pixel fluid covers: it fills the lung from below, and rises towards its outer edge."""
    level = 0.42 + 0.03 * draw - 1.5 * tf.nn.relu(tf.abs(x) - 0.45) ** 1.5
    filled = cover(lung) * cover(level - y)
    return filled * tf.where(x < 0.0, *sides)


def _nodules(x: tf.Tensor, y: tf.Tensor, labels: tuple[tf.Tensor, ...], draws: list[tf.Tensor]) -> tf.Tensor:
    """What nodules add to the picture, shape `(B, H, W)`."""
    number, size, opacity, side, zone = labels
    radius = numbers_of(_RADII, size)[0] * (1 + 0.08 * draws[0])
    gap = radius + 0.03
    across = x - tf.where(side == PHANTOM_ATTRIBUTES["side"].index("left"), 0.5, -0.5)[:, None, None] - 0.04 * draws[1]
    down = y - numbers_of(_HEIGHTS, zone)[0] - 0.03 * draws[2]
    added, steepness = numbers_of(_OPACITIES, opacity)
    covers = []
    for middle in tf.unstack(tf.gather(_NODULES, number), axis=1):
        at_x, at_y = middle[:, 0, None, None] * gap, middle[:, 1, None, None] * gap
        distance = tf.sqrt((across - at_x) ** 2 + (down - at_y) ** 2 + 1e-12) - radius
        covers.append(tf.clip_by_value(0.5 - distance * steepness, 0.0, 1.0))
    return added * tf.reduce_max(tf.stack(covers), axis=0)


def _pacemaker(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Distance to a can below the left collarbone and to its lead, which runs down to the heart."""
    can = tf.maximum(tf.abs(x - 0.62) - 0.13, tf.abs(y + 0.66) - 0.08)
    across = tf.maximum(tf.abs(y + 0.72) - 0.02, tf.maximum(0.02 - x, x - 0.66))
    down = tf.maximum(tf.abs(x - 0.04) - 0.022, tf.maximum(-0.74 - y, y - 0.42))
    return tf.minimum(can, tf.minimum(across, down))


PHANTOMS = Rendered(phantoms, PHANTOM_ATTRIBUTES, names_sides=True)
