"""Outlines of images, and sketches as a hand draws them: what a generator that draws from lines learns from.

Nothing heavy is imported before one is made, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

from typing import Any

__all__ = ["darkness", "edges", "grey", "moved", "outlines", "sketched", "with_outlines"]

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
"""What each contributes to brightness (ITU-R BT.601)."""
_SHARP = 20.0
"""How sharply lines of a sketch end where outlines grow faint."""
_BENT = 0.03
"""By how much they are bent, of the image's size, at most."""
_BENDS = 4
"""They are bent in as many places each way."""
_TURN, _SHIFT, _GROW, _SHRINK = 0.6, 0.15, 0.4, 0.2
"""By how much images are moved at most: turned, in radians, and shifted, as a share of the size; by which power of e
they grow, either way, and by which they are smaller on the average where they are on a plain ground."""
_PLAIN = 0.15
"""Standard deviation up to which the border of an image is a plain ground."""
_BLANK = 0.1
"""Of so many images nothing is sketched."""


def grey(images: Any, seed: Any = None) -> Any:
    """Brightness, shape `(B, H, W, 1)`."""
    return _RED * images[..., :1] + _GREEN * images[..., 1:2] + _BLUE * images[..., 2:]


def edges(images: Any, seed: Any = None) -> Any:
    """How steeply brightness changes, from 0 to 1, shape `(B, H, W, 1)`."""
    return _steepness(grey(images))


def _steepness(maps: Any) -> Any:
    """How steeply each channel changes, from 0 to 1, shape `(B, H, W, C)`: what Sobel's filters find."""
    from keras import ops

    maps = ops.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric")
    smooth_down = maps[:, :-2] + 2.0 * maps[:, 1:-1] + maps[:, 2:]
    smooth_across = maps[:, :, :-2] + 2.0 * maps[:, :, 1:-1] + maps[:, :, 2:]
    across, down = smooth_down[:, :, 2:] - smooth_down[:, :, :-2], smooth_across[:, 2:] - smooth_across[:, :-2]
    return ops.tanh(0.5 * ops.sqrt(ops.square(across) + ops.square(down) + 1e-6))


def outlines(images: Any) -> Any:
    """Where colors change, from 0 to 1, shape `(B, H, W, 1)`: yellow on white has an outline too.

    Args:
        images: Images in [-1, 1], float32, shape `(B, H, W, 3)`.
    """
    from keras import ops

    return ops.max(_steepness(images), axis=-1, keepdims=True)


def sketched(images: Any, seed: Any) -> Any:
    """Lines as a hand might draw them: more or fewer of the outlines, thin, or coarse and thick, bent; or none."""
    from keras import ops

    from keras_t2i.core import replicas
    from keras_t2i.core.pixels import resize

    count, size = ops.shape(images)[0], images.shape[1]
    numbers = replicas.uniform((count, 4, 1, 1), seed=seed)
    faint, thick, bent, blank = (numbers[:, number : number + 1] for number in range(4))
    coarse = resize(outlines(resize(images, size // 2)), size)
    steep = ops.where(thick < 0.5, outlines(images), coarse)
    lines = ops.sigmoid(_SHARP * (steep - (0.2 + 0.6 * faint)))
    field = replicas.uniform((count, _BENDS, _BENDS, 2), -1.0, 1.0, seed=seed)
    bends = _BENT * size * bent * ops.image.resize(field, (size, size), interpolation="bilinear")
    places = ops.arange(size, dtype="float32")
    rows = ops.clip(places[None, :, None] + bends[..., 0], 0, size - 1)
    columns = ops.clip(places[None, None, :] + bends[..., 1], 0, size - 1)
    from_where = ops.cast(ops.round(rows) * size + ops.round(columns), "int32")
    flat = ops.take_along_axis(ops.reshape(lines, (-1, size**2)), ops.reshape(from_where, (-1, size**2)), axis=1)
    return ops.where(blank < _BLANK, 0.0, ops.reshape(flat, (-1, size, size, 1)))


def with_outlines(images: Any, lines: Any) -> Any:
    """Images, and their outlines, blurred by as much as a hand is off; nothing where nothing was sketched."""
    from keras import ops

    window = max(3, images.shape[1] // 16 + 1)
    blurred = ops.average_pool(outlines(images), window, strides=1, padding="same")
    has_lines = ops.cast(ops.any(lines > 0.5, axis=(1, 2, 3), keepdims=True), images.dtype)
    return ops.concatenate([images, blurred], axis=-1) * has_lines


def darkness(pictures: Any) -> Any:
    """How dark drawings on white are, from 0 to 1, shape `(B, H, W, 1)`."""
    return 0.5 - 0.5 * grey(pictures)


def moved(images: Any, seed: Any) -> Any:
    """Images moved at random: mirrored and enlarged; on a plain ground also turned, shifted and made smaller.

    Args:
        images: Shape `(B, size, size, C)`: several images may be beside each other, which are moved alike.
        seed: A `keras.random.SeedGenerator`, or an integer.
    """
    from keras import ops

    from keras_t2i.core import replicas

    size, middle = images.shape[1], (images.shape[1] - 1) / 2
    drawn = replicas.uniform((ops.shape(images)[0], 6), -1.0, 1.0, seed=seed)
    much, turn, grow, right, down, side = (drawn[:, number] for number in range(6))
    much = 0.5 + 0.5 * much
    is_plain = _is_plain(images)
    turn = _TURN * much * turn * ops.cast(is_plain, images.dtype)
    shrunk = ops.exp(-much * ops.where(is_plain, _GROW * grow - _SHRINK, 0.5 * _GROW * (1.0 + grow)))
    reach = size * ops.where(is_plain, _SHIFT * much, (1.0 - shrunk) / (2.0 * shrunk))
    flip = ops.where(side < 0.0, -shrunk, shrunk)
    # Where each pixel comes from: x' = a x + b y + c, y' = d x + e y + f.
    a, b, d, e = flip * ops.cos(turn), -flip * ops.sin(turn), shrunk * ops.sin(turn), shrunk * ops.cos(turn)
    right, down, zeros = middle + reach * right, middle + reach * down, ops.zeros_like(a)
    rows = [a, b, middle - a * right - b * down, d, e, middle - d * right - e * down, zeros, zeros]
    how = {"interpolation": "bilinear", "fill_mode": "nearest"}
    return ops.stop_gradient(ops.image.affine_transform(images, ops.stack(rows, axis=-1), **how))


def _is_plain(images: Any) -> Any:
    """Whether the border of each image has one color, nearly, shape `(B,)`."""
    from keras import ops

    rows, columns = images[:, :: images.shape[1] - 1], images[:, :, :: images.shape[2] - 1]
    border = ops.concatenate(
        [ops.reshape(each, (-1, 2 * images.shape[1], images.shape[-1])) for each in (rows, columns)], axis=1
    )
    return ops.all(ops.std(border, axis=1) < _PLAIN, axis=-1)
