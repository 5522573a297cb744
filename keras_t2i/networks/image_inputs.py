"""What a generator can be given of an image, to complete it: the table of image inputs.

Each is made of the images of a batch in every step of training, in `keras.ops`, and of a picture when it is asked.
Nothing heavy is imported before one is made, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_t2i.core.tables import Table
from keras_t2i.networks.outlines import darkness, edges, grey, sketched, with_outlines

__all__ = ["IMAGE_INPUTS", "ImageInput", "hide", "random_masks", "with_known"]

_STROKE_POINTS = 4
_NUMBERS = 6 + 2 * _STROKE_POINTS
"""Random numbers that a mask is made of."""
_SEAM = 1 / 16
"""Width of the window in which a seam is blended, as a share of the image's."""


@dataclass(frozen=True)
class ImageInput:
    """What a generator is given of an image.

    Args:
        channels: Numbers at each position of it.
        make: A function of images in [-1, 1], float32, shape `(B, H, W, 3)`, and a seed (a `keras.random.SeedGenerator`
            or an integer) to the input, float32, shape `(B, H, W, channels)`.
        known: A function of images and the input that was made of them, or of others, to what the input determines of
            images: in it a drawing is compared with the image that the input was made of.
        description: What is drawn from it, in a line; the command line shows it.
        has_hole: Whether it is a picture with a hole, `hide(images, masks)`, the rest of which stays as it is.
        moves: Whether images are moved at random while it is learned: where images are few, a caption tells its image,
            and what is given of that would not be looked at.
        of_picture: A function of pictures that are to be completed, of the shape of images, to the input; by default it
            is made of these as in training.
    """

    channels: int
    make: Callable[[Any, Any], Any]
    known: Callable[[Any, Any], Any]
    description: str
    has_hole: bool = False
    moves: bool = False
    of_picture: Callable[[Any], Any] | None = None

    def read(self, pictures: Any) -> Any:
        """The input, of pictures without a hole that are to be completed."""
        return self.make(pictures, 0) if self.of_picture is None else self.of_picture(pictures)


def hide(images: Any, masks: Any) -> Any:
    """Pictures with a hole: the images, 0 where a mask is 1, and the mask, shape `(B, H, W, 4)`.

    Args:
        images: Images in [-1, 1], float32, shape `(B, H, W, 3)`.
        masks: 1 in the hole and 0 elsewhere, float32, shape `(B, H, W, 1)`.
    """
    from keras import ops

    return ops.concatenate([images * (1.0 - masks), masks], axis=-1)


def with_known(drawing: Any, hidden: Any) -> Any:
    """A drawing with the known part of a picture in its place, and the seam blended within the hole.

    Near the seam the hole is moved by what the drawing is off beside it, less the farther from it.

    Args:
        drawing: Images in [-1, 1], float32, shape `(B, H, W, 3)`, drawn as if there were no hole.
        hidden: Of `hide`.

    Returns:
        Images in [-1, 1], float32, which are the picture's, to the bit, outside the hole.
    """
    from keras import ops

    pictures, masks = hidden[..., :3], hidden[..., 3:]
    known = 1.0 - masks
    window = max(3, int(drawing.shape[1] * _SEAM) // 2 * 2 + 1)

    def around(maps: Any) -> Any:
        return ops.average_pool(maps, window, strides=1, padding="same")

    near = around(known)
    off = around(known * (pictures - drawing)) / ops.maximum(near, 1e-3)
    blended = ops.clip(drawing + ops.minimum(2.0 * near, 1.0) * off, -1.0, 1.0)
    return known * pictures + masks * blended


def random_masks(images: Any, seed: Any) -> Any:
    """A hole for each image, 1 within it, float32, shape `(B, H, W, 1)`.

    Four in ten are boxes; strokes of a brush, one side of the image, and all but a box, so that images are continued
    beyond their borders, are two in ten each.

    Args:
        images: Shape `(B, size, size, 3)`.
        seed: A `keras.random.SeedGenerator`, or an integer.
    """
    from keras import ops

    from keras_t2i.core import replicas

    size = images.shape[1]
    drawn = replicas.uniform((ops.shape(images)[0], _NUMBERS), seed=seed)
    kind, *numbers = (drawn[:, number, None, None] for number in range(_NUMBERS))
    places = (ops.arange(size, dtype="float32") + 0.5) / size
    x, y = places[None, None, :], places[None, :, None]
    hole = ops.where(kind < 0.4, _box(x, y, numbers, 0.2, 0.8), _strokes(x, y, numbers))
    hole = ops.where(kind < 0.6, hole, _side(x, y, numbers))
    hole = ops.where(kind < 0.8, hole, 1.0 - _box(x, y, numbers, 0.3, 0.8))
    return hole[..., None]


def _box(x: Any, y: Any, numbers: list[Any], least: float, most: float) -> Any:
    from keras import ops

    center_x, center_y, width, height = numbers[:4]
    across = ops.abs(x - center_x) / (least + (most - least) * width)
    down = ops.abs(y - center_y) / (least + (most - least) * height)
    return ops.cast(ops.maximum(across, down) < 0.5, "float32")


def _side(x: Any, y: Any, numbers: list[Any]) -> Any:
    from keras import ops

    which, place = ops.floor(4.0 * numbers[0]), 0.25 + 0.5 * numbers[1]
    along = ops.where(which < 2.0, x + 0.0 * y, y + 0.0 * x)
    along = ops.where((which == 0.0) | (which == 2.0), along, 1.0 - along)
    return ops.cast(along < place, "float32")


def _strokes(x: Any, y: Any, numbers: list[Any]) -> Any:
    """Lines from one point to the next, as wide as a brush."""
    from keras import ops

    radius, points = 0.03 + 0.09 * numbers[0], numbers[1:]
    nearest = None
    for start in range(0, 2 * (_STROKE_POINTS - 1), 2):
        from_x, from_y, to_x, to_y = points[start : start + 4]
        long_x, long_y = to_x - from_x, to_y - from_y
        length = ops.square(long_x) + ops.square(long_y) + 1e-6
        share = ops.clip(((x - from_x) * long_x + (y - from_y) * long_y) / length, 0.0, 1.0)
        distance = ops.square(x - from_x - share * long_x) + ops.square(y - from_y - share * long_y)
        nearest = distance if nearest is None else ops.minimum(nearest, distance)
    return ops.cast(nearest < ops.square(radius), "float32")


def _hidden(images: Any, seed: Any) -> Any:
    return hide(images, random_masks(images, seed))


def _outside(images: Any, hidden: Any) -> Any:
    return images * (1.0 - hidden[..., 3:])


def _enlarged(images: Any, seed: Any) -> Any:
    """Images that were reduced 2 or 4 times, and enlarged again."""
    from keras import ops

    from keras_t2i.core import replicas
    from keras_t2i.core.pixels import resize

    size = images.shape[1]
    often = replicas.uniform((ops.shape(images)[0], 1, 1, 1), seed=seed)
    half, quarter = (resize(resize(images, size // factor), size) for factor in (2, 4))
    return ops.where(often < 0.5, half, quarter)


IMAGE_INPUTS: Table[ImageInput] = Table(
    "image input",
    {
        "complete": ImageInput(
            4, _hidden, _outside, "Draw what a hole in a picture hides, and what is beyond its borders.", has_hole=True
        ),
        "edges": ImageInput(
            1, edges, lambda images, _: edges(images), "Draw a picture of which edges are known.", moves=True
        ),
        "colorize": ImageInput(1, grey, lambda images, _: grey(images), "Draw a grey picture in color."),
        "enlarge": ImageInput(
            3,
            _enlarged,
            lambda images, _: images,
            "Draw a picture sharp that is 2 or 4 times smaller.",
            of_picture=lambda pictures: pictures,
        ),
        "sketch": ImageInput(
            1, sketched, with_outlines, "Draw what dark lines on white outline.", moves=True, of_picture=darkness
        ),
    },
)
"""Every image input by name. Each is a strategy to transfer, too: see `keras_t2i.transfer.STRATEGIES`."""
