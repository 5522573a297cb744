"""Captioned cartoon faces, rendered on the fly: known answers like those of shapes, and parts that go together."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from keras_t2i.core.pixels import from_bytes
from keras_t2i.data.names import Rendered
from keras_t2i.data.outlines import ellipse, numbers_of
from keras_t2i.data.pipeline import CaptionedImages
from keras_t2i.data.synthetic import phrased, rendered_images, variations

__all__ = ["FACE_ATTRIBUTES", "face_captions", "faces", "render_faces"]

# Radius of the hair around the skull; height, number and sharpness of its locks; where it ends at the neck; where long
# hair ends; height, slant and curve of the hairline; height of its locks; where hair falls over the sides of the face.
_HAIR_STYLES = {
    "short": (1.05, 0.0, 1.0, 0.0, 0.05, -9.0, -0.60, 0.28, 0.45, 0.0, 9.0),
    "long": (1.10, 0.0, 1.0, 0.0, 0.30, 1.32, -0.85, 0.0, 0.60, 0.0, 0.84),
    "curly": (1.20, 0.17, 13.0, 0.0, 0.42, -9.0, -0.66, 0.0, 0.30, 0.16, 0.92),
    "spiky": (1.05, 0.42, 13.0, 1.0, -0.05, -9.0, -0.78, 0.0, 0.40, 0.24, 9.0),
}
_HAIR_COLORS = {
    "black": (38, 36, 44),
    "brown": (124, 74, 40),
    "blond": (250, 228, 150),
    "red": (205, 50, 40),
    "gray": (150, 152, 160),
}
_FACE_COLORS = {
    "yellow": (255, 206, 50),
    "green": (128, 200, 84),
    "blue": (92, 154, 240),
    "pink": (252, 160, 196),
}
# Half width of the mouth; depth of its upper and lower lip in the middle; its height; slant and height of the eyebrows.
_MOODS = {
    "smiling": (0.40, 0.14, 0.33, 0.40, 0.15, -0.40),
    "sad": (0.34, -0.34, -0.15, 0.80, 0.5, -0.36),
    "laughing": (0.48, -0.02, 0.48, 0.36, 0.15, -0.42),
    "surprised": (0.18, -0.24, 0.24, 0.60, 0.0, -0.50),
}
_BACKGROUNDS = {
    "white": (248, 248, 248),
    "orange": (255, 150, 40),
    "purple": (142, 84, 200),
    "cyan": (104, 222, 226),
}
_INK, _MOUTH, _WHITE, _CHEEKS = (46, 34, 52), (130, 28, 52), (255, 255, 255), (245, 96, 120)

FACE_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "hair_style": tuple(_HAIR_STYLES),
    "hair_color": tuple(_HAIR_COLORS),
    "face_color": tuple(_FACE_COLORS),
    "mood": tuple(_MOODS),
    "glasses": ("no glasses", "round glasses", "sunglasses"),
    "background": tuple(_BACKGROUNDS),
}
"""The six attributes of a face, in the order of its labels, and the words each takes; no two share a color."""

_PHRASINGS = (
    "a {mood} {face_color} face with {hair_style} {hair_color} hair and {glasses} on a {background} background",
    "{face_color} cartoon face, {mood}, {hair_style} {hair_color} hair, {glasses}, {background} background",
    "on a {background} background a {mood} {face_color} face with {glasses} and {hair_style} {hair_color} hair",
    "{hair_style} {hair_color} hair, {glasses}, a {mood} face that is {face_color}, in front of {background}",
    "a cartoon of a {face_color} face wearing {glasses}, {mood}, {hair_color} {hair_style} hair, {background} backdrop",
    "the face is {face_color} and {mood}, with {glasses}, the hair {hair_style} and {hair_color}, the background "
    "{background}",
)


def face_captions(labels: np.ndarray) -> list[str]:
    """Returns every phrasing of one face's caption.

    Args:
        labels: The six attributes as positions in `FACE_ATTRIBUTES`, integers, shape `(6,)`.
    """
    return phrased(labels, FACE_ATTRIBUTES, _PHRASINGS)


def faces(
    image_size: int = 64,
    batch_size: int = 32,
    seed: int = 0,
    num_images: int | None = None,
    horizontal_flip: bool = False,
) -> CaptionedImages:
    """Builds the captioned cartoon faces data set.

    4 hair styles x 5 hair colors x 4 face colors x 4 moods x 3 kinds of glasses x 4 backgrounds, in six phrasings. One
    combination in ten, chosen by a hash of its words, is held out of training. Every image drawn differs in place,
    proportions, gaze, tint and tilt within the limits of its words.

    Args:
        image_size: Height and width in pixels, from 32 to 256.
        batch_size: Images in a batch.
        seed: Seed of order and variations.
        num_images: Train on this many images that never change, of combinations drawn with `seed`; by default, on all
            combinations, drawn anew each time.
        horizontal_flip: Whether to mirror half of the training images.

    Raises:
        ValueError: if `image_size` is not from 32 to 256, or `num_images` is below 1.
    """
    if not 32 <= image_size <= 256:
        raise ValueError(f"Faces need an `image_size` from 32 to 256 pixels; got {image_size}.")
    return rendered_images(
        "faces",
        FACE_ATTRIBUTES,
        face_captions,
        render_faces,
        image_size,
        batch_size,
        seed,
        num_images,
        horizontal_flip,
    )


def render_faces(labels: tf.Tensor, seeds: tf.Tensor, image_size: int) -> tf.Tensor:
    """Renders anti-aliased cartoon faces from their attributes.

    Args:
        labels: Positions in `FACE_ATTRIBUTES`, int64, shape `(B, 6)`.
        seeds: One random seed an image, int64, shape `(B, 2)`; it decides the variation within the attributes.
        image_size: Height and width in pixels.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
    """
    hair_style, hair_color, face_color, mood, glasses, background = tf.unstack(labels, axis=1)
    draws = variations(seeds, 22)
    place = tf.unstack(draws[:, :13, None, None], axis=1)
    scale = 0.275 * (1 + 0.06 * place[0])
    x, y = _plane(place[1:4], scale, image_size)
    side = tf.abs(x)

    width = 1 + 0.05 * place[4]
    head = tf.minimum(ellipse(x, y, width, 1.08), ellipse(side - width, y - 0.1, 0.2, 0.2))
    back, front = _hair(x, y, side, numbers_of(_HAIR_STYLES, hair_style), place[5], place[6])
    eye_x, eye_y = side - 0.39 * (1 + 0.07 * place[7]), y + 0.02 + 0.03 * place[8]
    surprised = (mood == FACE_ATTRIBUTES["mood"].index("surprised"))[:, None, None]
    opening = tf.where(surprised, 1.2, 1.0)
    eye = ellipse(eye_x, eye_y, 0.2 * opening, 0.22 * opening)
    pupil = ellipse(eye_x - 0.05 * place[9] * tf.sign(x), eye_y - 0.04 * place[10], 0.12, 0.13)
    shape_of_mood = numbers_of(_MOODS, mood)
    brows = _brows(eye_x, y, shape_of_mood[4], shape_of_mood[5])
    mouth, teeth = _mouth(x / (1 + 0.1 * place[12]), y - 0.04 * place[11], shape_of_mood[:4], surprised)
    frame, lens = _glasses(side, eye_x, eye_y, glasses, width)
    features = tf.minimum(tf.minimum(frame, front - 0.05), tf.minimum(brows, pupil))
    nose = ellipse(x, y - 0.24, 0.1, 0.08)

    def cover(distance: tf.Tensor, opacity: float = 1.0) -> tf.Tensor:
        return tf.clip_by_value(0.5 - distance * (scale * image_size), 0.0, opacity)

    # From the front to the back.
    covers = [
        cover(front),
        cover(features),
        cover(lens, 0.45),
        cover(teeth),
        cover(mouth),
        cover(eye),
        cover(nose),
        tf.clip_by_value(-3.0 * ellipse(side - 0.66, y - 0.36, 0.2, 0.16), 0.0, 0.45),  # Cheeks have soft edges.
        cover(head),
        cover(head - 0.06),
        cover(back),
        cover(back - 0.06),
    ]
    hair = tf.gather(np.asarray(list(_HAIR_COLORS.values()), np.float32), hair_color) + 8.0 * draws[:, 13:16]
    face = tf.gather(np.asarray(list(_FACE_COLORS.values()), np.float32), face_color) + 8.0 * draws[:, 16:19]
    paper = tf.gather(np.asarray(list(_BACKGROUNDS.values()), np.float32), background) + 8.0 * draws[:, 19:22]
    inks = [hair, _INK, _WHITE, _WHITE, _MOUTH, _WHITE, 0.82 * face, _CHEEKS, face, _INK, 0.82 * hair, _INK, paper]
    colors = tf.stack([tf.broadcast_to(tf.constant(0.0) + ink, tf.shape(face)) for ink in inks], axis=1)
    seen, free = [], tf.ones_like(x)
    for layer in covers:
        seen.append(free * layer)
        free -= seen[-1]
    pixels = tf.einsum("bkhw,bkc->bhwc", tf.stack([*seen, free], axis=1), colors)
    return tf.clip_by_value(from_bytes(pixels), -1.0, 1.0)


def _plane(draws: list[tf.Tensor], scale: tf.Tensor, image_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Coordinates of the pixels from the middle of the face, in half widths of a face; `y` points down."""
    grid = (tf.range(image_size, dtype=tf.float32) + 0.5) / image_size
    across = (grid[None, None, :] - 0.5 - 0.035 * draws[0]) / scale
    down = (grid[None, :, None] - 0.54 - 0.025 * draws[1]) / scale
    cos, sin = tf.cos(0.08 * draws[2]), tf.sin(0.08 * draws[2])
    return across * cos + down * sin, down * cos - across * sin


def _locks(turns: tf.Tensor, sharpness: tf.Tensor) -> tf.Tensor:
    """A wave from 0 to 1, once a turn: round locks for sharpness 0, spikes for 1."""
    wave = tf.abs(2.0 * (turns - tf.floor(turns)) - 1.0)
    return sharpness * (1.0 - wave) + (1.0 - sharpness) * tf.sqrt(1.0 - wave * wave + 1e-6)


def _hair(
    x: tf.Tensor, y: tf.Tensor, side: tf.Tensor, style: list[tf.Tensor], volume: tf.Tensor, parting: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Distances to the hair behind the face and to that in front of it."""
    radius, locks, number, sharpness, neck, length, line, slant, curve, fringe, curtain = style
    turns = tf.atan2(x, -y - 0.15) / (2 * math.pi) * number
    outer = tf.sqrt(x * x + (y + 0.15) ** 2) - radius - 0.04 * volume - locks * _locks(turns, sharpness)
    outer /= 1.0 + sharpness  # Distances to the flanks of spikes are about half of those to their tips.
    corner_x, corner_y = tf.nn.relu(side - 0.86), tf.nn.relu(y - length + 0.3)
    falling = tf.maximum(tf.sqrt(corner_x * corner_x + corner_y * corner_y) - 0.3 - 0.04 * volume, -0.2 - y)
    back = tf.minimum(tf.maximum(outer, y - neck), falling)
    hairline = line + slant * tf.sign(parting) * x + curve * x * x + fringe * _locks(1.7 * x + 0.5, sharpness)
    return back, tf.maximum(back, tf.minimum(y - hairline, curtain - side))


def _brows(eye_x: tf.Tensor, y: tf.Tensor, slant: tf.Tensor, height: tf.Tensor) -> tf.Tensor:
    """Distance to a bar above each eye; a positive slant raises its inner end."""
    return tf.maximum(tf.abs(y - height - slant * eye_x) - 0.05, tf.abs(eye_x) - 0.18)


def _mouth(x: tf.Tensor, y: tf.Tensor, mood: list[tf.Tensor], surprised: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Distances to the mouth, between the arcs of two lips, and to the teeth, which only a laugh shows."""
    half_width, upper, lower, height = mood
    bow = 1.0 - (x / half_width) ** 2
    bow = tf.sign(bow) * tf.sqrt(tf.abs(bow) + 1e-6)
    lips = tf.maximum(y - height - lower * bow, height + upper * bow - y)
    mouth = tf.where(surprised, ellipse(x, y - height, half_width, lower), lips)
    return mouth, tf.maximum(mouth + 0.05, tf.maximum(y - height - 0.13, 0.45 - half_width))


def _glasses(
    side: tf.Tensor, eye_x: tf.Tensor, eye_y: tf.Tensor, glasses: tf.Tensor, width: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Distances to the frame of glasses and to their clear lenses; nowhere near for a face without."""
    words = FACE_ATTRIBUTES["glasses"]
    is_round, is_dark = ((glasses == words.index(word))[:, None, None] for word in ("round glasses", "sunglasses"))
    lens = tf.sqrt(eye_x * eye_x + eye_y * eye_y + 1e-12) - 0.31
    corner_x, corner_y = tf.nn.relu(tf.abs(eye_x) - 0.2), tf.nn.relu(tf.abs(eye_y) - 0.1)
    dark = tf.sqrt(corner_x * corner_x + corner_y * corner_y) - 0.14
    bar = tf.maximum(tf.maximum(tf.abs(eye_y + 0.04) - 0.045, side - width), -lens)
    frame = tf.minimum(bar, tf.where(is_dark, dark, tf.abs(lens) - 0.045))
    return tf.where(is_round | is_dark, frame, 9.0), tf.where(is_round, lens, 9.0)


FACES = Rendered(faces, FACE_ATTRIBUTES)
