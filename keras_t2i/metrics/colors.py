"""Color accuracy: does an image show the color its caption names? Needs no trained judge, so it suits any data."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_t2i.metrics.measure import Examined, Measure

__all__ = ["COLORS", "COLOR_ACCURACY", "ColorAccuracy", "color_accuracy", "color_shares", "colors_named"]

# Examples of each basic color term (Berlin & Kay 1969) in sRGB; a pixel bears the name of the nearest in CIELAB.
_EXAMPLES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((5, 5, 5), (35, 35, 35), (35, 28, 24), (25, 30, 22)),
    "white": ((252, 252, 252), (225, 225, 223), (238, 232, 212), (215, 213, 225), (190, 190, 188)),
    "gray": ((70, 70, 70), (105, 105, 105), (140, 140, 140), (120, 125, 110)),
    "red": ((225, 25, 30), (244, 67, 54), (180, 15, 30), (125, 15, 25), (215, 60, 55), (190, 30, 60)),
    "orange": ((255, 140, 0), (235, 105, 25), (245, 160, 65), (215, 110, 20)),
    "yellow": ((250, 225, 40), (225, 190, 25), (250, 240, 130), (200, 175, 40), (240, 200, 60)),
    "green": (
        *((35, 160, 60), (25, 75, 25), (90, 120, 50), (140, 180, 80), (60, 95, 70), (160, 190, 120)),
        (130, 140, 60),
    ),
    "blue": (
        *((35, 85, 240), (20, 25, 90), (90, 90, 210), (110, 160, 235), (60, 120, 170), (70, 60, 170)),
        (60, 200, 225),
    ),
    "purple": ((140, 50, 190), (80, 35, 110), (165, 115, 210), (150, 60, 150), (195, 165, 220), (110, 80, 150)),
    "pink": (
        *((255, 130, 190), (225, 65, 140), (250, 195, 210), (240, 140, 150), (205, 90, 140), (220, 160, 190)),
        (190, 30, 110),
    ),
    "brown": ((100, 62, 34), (70, 45, 30), (150, 105, 65), (125, 85, 60), (165, 130, 95)),
}
COLORS = tuple(_EXAMPLES)
"""The eleven basic color terms."""

_SYNONYMS = {
    **{"grey": "gray", "navy": "blue", "cyan": "blue", "turquoise": "blue", "crimson": "red", "scarlet": "red"},
    **{"violet": "purple", "lilac": "purple", "lavender": "purple", "magenta": "pink"},
}
_STEMS = {"reddish": "red", "whitish": "white", "orangish": "orange", "purplish": "purple", "bluish": "blue"}
_WORDS = {
    **{name: name for name in COLORS},
    **{f"{name}ish": name for name in COLORS},
    **{"greyish": "gray", **_SYNONYMS, **_STEMS},
}
# Foliage, soil, shade and walls: in a photograph they count only where the caption names them.
_QUIET = ("black", "gray", "green", "brown")
_SIZE = 64
_MIN_SHARE, _MIN_COVER = 0.4, 0.05


class ColorAccuracy(NamedTuple):
    """How many images show the color named: `share` of those `num_judged`; not a number where none can be judged."""

    share: float
    num_judged: int


def colors_named(caption: str) -> tuple[str, ...]:
    """Returns the different basic colors a caption names, in order: `"a greyish-blue bird"` gives gray and blue."""
    words = re.findall(r"[a-z]+", caption.lower())
    return tuple(dict.fromkeys(_WORDS[word] for word in words if word in _WORDS))


def color_accuracy(images: np.ndarray, captions: Sequence[str]) -> ColorAccuracy:
    """Returns the share of images that show the color their caption names.

    Captions that name one basic color are judged, others are not. Each pixel bears the name of the nearest basic color
    in CIELAB, and counts more the nearer it is to the center. A plain background, connected to the border, does not
    count; in an image without one, such as a photograph, neither do black, gray, green and brown, unless the caption
    names them. An image obeys its caption when at least 40 percent of what counts has the color named, and this is
    at least 5 percent of all that is not plain background.

    Args:
        images: uint8, shape `(N, H, W, 3)`.
        captions: One for each image.

    Raises:
        ValueError: if the images are of another type or shape, or the captions are not as many.
    """
    images = np.asarray(images)
    if len(images) != len(captions):
        raise ValueError(f"Each image needs one caption; got {len(images)} images and {len(captions)} captions.")
    named = [colors_named(caption) for caption in captions]
    judged = [number for number, names in enumerate(named) if len(names) == 1]
    if not judged:
        _check(images)
        return ColorAccuracy(float("nan"), 0)
    colors = np.asarray([COLORS.index(named[number][0]) for number in judged])
    shares, plain = color_shares(images[judged])
    rows = np.arange(len(judged))
    quiet = np.asarray([name in _QUIET for name in COLORS])
    counts = plain[:, None] | ~quiet
    counts[rows, colors] = True
    of_color, of_all = shares[rows, colors], (shares * counts).sum(axis=1)
    obeyed = (of_color >= _MIN_SHARE * of_all) & (of_color >= _MIN_COVER)
    return ColorAccuracy(float(obeyed.mean()), len(judged))


def color_shares(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measures how much of each image has which basic color.

    Args:
        images: uint8, shape `(N, H, W, 3)`.

    Returns:
        The center-weighted share of each of `COLORS` in all that is not plain background, float64, shape
        `(N, 11)`, and whether an image has a plain background, bool, shape `(N,)`.

    Raises:
        ValueError: if the images are of another type or shape.
    """
    _check(images)
    offsets = (np.arange(_SIZE) + 0.5) / _SIZE - 0.5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 0.28**2))
    shares, plain = np.zeros((len(images), len(COLORS))), np.zeros(len(images), bool)
    for number, image in enumerate(images):
        if image.shape[:2] != (_SIZE, _SIZE):
            image = np.clip(tf.image.resize(image, (_SIZE, _SIZE), antialias=True).numpy().round(), 0, 255)
        pixels = image.astype(np.int64)
        background = _plain_background(pixels)
        plain[number] = background.any()
        red, green, blue = np.moveaxis(pixels // 8, -1, 0)
        names = _names_of_bins()[red, green, blue]
        totals = np.bincount(names.ravel(), (weights * ~background).ravel(), len(COLORS))
        shares[number] = totals / totals.sum()
    return shares, plain


def _check(images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        raise ValueError(f"Expected uint8 images of shape (N, H, W, 3); got {images.dtype} of shape {images.shape}.")


def _plain_background(pixels: np.ndarray) -> np.ndarray:
    """The even surface that is connected to the border, bool, shape `(H, W)`; nothing where the border is not even."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    distance = np.abs(pixels - np.median(border, axis=0)).max(axis=2)
    alike = distance <= 32
    reached = np.zeros_like(alike)
    edge = np.ones_like(alike)
    edge[1:-1, 1:-1] = False
    if alike[edge].mean() < 0.9:
        return reached
    grown = alike & edge
    while (grown != reached).any():
        reached = grown
        grown = reached.copy()
        grown[1:] |= reached[:-1]
        grown[:-1] |= reached[1:]
        grown[:, 1:] |= reached[:, :-1]
        grown[:, :-1] |= reached[:, 1:]
        grown &= alike
    # An image of one color throughout has no object before a background.
    return reached if reached.mean() < 0.98 else np.zeros_like(reached)


@functools.cache
def _names_of_bins() -> np.ndarray:
    """The number of the basic color of each color with 5 bits a channel, shape `(32, 32, 32)`."""
    examples = np.asarray([example for of_name in _EXAMPLES.values() for example in of_name])
    names = np.repeat(np.arange(len(COLORS)), [len(of_name) for of_name in _EXAMPLES.values()])
    bins = np.moveaxis(np.indices((32, 32, 32)), 0, -1) * 8 + 3.5
    distances = np.linalg.norm(_cielab(bins)[..., None, :] - _cielab(examples), axis=-1)
    return names[distances.argmin(axis=-1)]


def _cielab(rgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 255] to CIELAB under D65, in which distances are roughly those seen; shape `(..., 3)`."""
    values = rgb / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _colors(examined: Examined) -> dict[str, float]:
    if examined.attributes is not None and examined.labels is not None:
        return {}  # A judge of all attributes sees the color too, and better.
    found = color_accuracy(examined.generated, examined.repeated)
    if not found.num_judged:
        return {}
    on_real = color_accuracy(examined.real, examined.captions)
    return {"color_accuracy": found.share, "color_accuracy_on_real": on_real.share}


COLOR_ACCURACY = Measure(
    _colors,
    "Color obeyed",
    "higher",
    "share",
    "Of images whose caption names one color: the share that shows it.",
    on_real="color_accuracy_on_real",
)
