"""Image files as pixels: any format and depth, made square and resized alike."""

from __future__ import annotations

import contextlib
import io
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import IcoImagePlugin, Image, ImageFile

from keras_t2i.data.depths import STRIP_PIXELS, Box, Deep, eight_bits, is_in_halves, strips
from keras_t2i.data.names import FITS

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "Decoded",
    "Picture",
    "Reading",
    "crop",
    "decode_image",
    "intensities",
    "pad",
    "read_picture",
    "stretch",
    "window",
]

MAX_PIXELS = 100_000_000
"""Images with more pixels are not decoded: a small file can unpack to gigabytes."""

MAX_BYTES = 192 << 20
"""Images that take more memory while they are decoded are not: 50 megapixels of RGB, 25 of 16 bits a channel."""

_LARGE_BYTES = 32 << 20
# Bytes a pixel as Pillow keeps them, in modes with less than four; and while it decodes formats that need more than it
# keeps, each channel of JPEG2000 seven and of a progressive JPEG, which is never made smaller, two.
_KEPT = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
_DECODING = {"AVIF": 10, "QOI": 7, "WEBP": 16}
_REDUCING_GAP = 3.0
# Formats that hold pixels only: EPS and WMF files run outside programs, and stay shut.
_FORMATS = ["AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP"]
_DEEP_FORMATS = ["JPEG2000", "PNG", "PPM", "TIFF"]
_SCALES = (1, 255, 1023, 4095, 16383, 65535)
_LEAST_USED = 0.2
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
_large_image = threading.Lock()
# In one block, a large image goes back to the system as soon as it is freed; of smaller ones each thread keeps its own.
Image.core.set_block_size(MAX_BYTES)


@dataclass(frozen=True)
class Reading:
    """How image files become squares of bytes.

    Args:
        fit: What becomes of images that are not square: `"crop"` to the central square, `"pad"` with white, or
            `"stretch"`.
        intensity_range: Of images with more than 8 bits a channel, the values that become black and white; `None` for
            what suits all of a set, see `window`.

    Raises:
        ValueError: if there is no such fit, or the range is none.
    """

    fit: str = "crop"
    intensity_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        FITS[self.fit]  # Raises for what is not there.
        if self.intensity_range is not None:
            low, high = self.intensity_range
            if not -np.inf < low < high < np.inf:
                raise ValueError(
                    f"`intensity_range` must be two numbers, the lower first, as in (0, 4095); got {low:g}, {high:g}."
                )


class Decoded(NamedTuple):
    """An image as it is read.

    Args:
        pixels: uint8, shape `(image_size, image_size, 3)`.
        size: Width and height of the upright image before, in pixels.
        intensities: Its lowest and its highest value where it has more than 8 bits a channel, else `None`; one in a
            thousand may lie beyond them.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    intensities: tuple[float, float] | None


class Picture(NamedTuple):
    """A whole picture.

    Args:
        pixels: uint8, shape `(H, W, 3)`, upright.
        alpha: Opacity, uint8, shape `(H, W)`; `None` where it has none.
        is_deep: Whether its file has more than 8 bits a channel.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    is_deep: bool

    def on(self, paper: int) -> np.ndarray:
        """It laid on grey of that brightness, uint8, where it is transparent: its pixels where it is not."""
        if self.alpha is None:
            return self.pixels
        share = self.alpha[..., None].astype(np.float32) / 255
        return np.rint(share * self.pixels + (1 - share) * paper).astype(np.uint8)


def crop(width: int, height: int, image_size: int) -> tuple[Box, tuple[int, int]]:
    """The central square. As for all fits: the box that is kept of an image, and the size that it is brought to."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side), (image_size, image_size)


def pad(width: int, height: int, image_size: int) -> tuple[Box, tuple[int, int]]:
    """The whole image in its proportions, for white on both sides."""
    factor = image_size / max(width, height)
    return (0, 0, width, height), (max(1, round(width * factor)), max(1, round(height * factor)))


def stretch(width: int, height: int, image_size: int) -> tuple[Box, tuple[int, int]]:
    """The whole image, distorted."""
    return (0, 0, width, height), (image_size, image_size)


def decode_image(file: BinaryIO, image_size: int, reading: Reading | None = None) -> Decoded:
    """Decodes an image to a square of RGB pixels.

    The first frame is turned upright (EXIF), made square, resized with antialiasing (Lanczos) and, if it has
    transparency, laid on white. Gray, palette and CMYK images become RGB; images with more than 8 bits a channel are
    brought to 8 by `intensity_range`, or by what suits their own values. Colour profiles are ignored.

    Args:
        file: An image file, open for reading.
        image_size: Height and width of the result in pixels.
        reading: How it becomes square, and 8 bits.

    Raises:
        ValueError: if the image is damaged, of an unknown format, or larger than `MAX_PIXELS` or `MAX_BYTES` allow.
    """
    with _opened(file, _FORMATS) as image:
        return _decoded(image, image_size, reading or Reading())


def read_picture(file: BinaryIO) -> Picture:
    """Decodes a picture whole: upright (EXIF), RGB, with 8 bits a channel.

    Args:
        file: An image file, open for reading.

    Raises:
        ValueError: if it is damaged, of an unknown format, or larger than `MAX_PIXELS` or `MAX_BYTES` allow.
    """
    with _opened(file, _FORMATS) as image, _room(image, image.width * image.height):
        deep = Deep.of(image)
        image.load()
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        if deep is None:
            whole = image.convert("RGBA" if image.has_transparency_data else "RGB")
        else:
            between = window(np.asarray([deep.extremes()])) or (0.0, 1.0)
            parts = [(box, eight_bits(deep.part(box), between)) for box in strips((0, 0, *image.size))]
            whole = Image.new("RGBA" if parts[0][1].mode == "RGBA" else "RGB", image.size)
            for box, part in parts:
                whole.paste(part.convert(whole.mode), box[:2])
        if orientation in _TURNS:
            whole = whole.transpose(_TURNS[orientation])
        pixels = np.asarray(whole)
    return Picture(pixels[..., :3].copy(), pixels[..., 3] if whole.mode == "RGBA" else None, deep is not None)


def intensities(file: BinaryIO) -> tuple[float, float] | None:
    """`Decoded.intensities` of an image file; of one with 8 bits a channel, or a damaged one, `None`.

    Only files with more than 8 bits are decoded.
    """
    try:
        with _opened(file, _DEEP_FORMATS) as image, _room(image, image.width * image.height):
            deep = Deep.of(image)
            return None if deep is None else deep.extremes()
    except ValueError:
        return None


def window(found: np.ndarray) -> tuple[float, float] | None:
    """The values that become black and white in all images of a set, so that they can be compared.

    Where no value is negative, it is the range of a camera that the highest one uses a good part of: 0 to 1, or to what
    8, 10, 12, 14 or 16 bits hold. Else it is the range found.

    Args:
        found: `Decoded.intensities` of the images that have such, shape `(N, 2)`.

    Returns:
        The two values; `None` where there is no such image.
    """
    if not len(found):
        return None
    low, high = float(found[:, 0].min()), float(found[:, 1].max())
    if low >= 0:
        for scale in _SCALES:
            if _LEAST_USED * scale < high <= scale:
                return 0.0, float(scale)
    return low, high if high > low else low + 1.0


@contextlib.contextmanager
def _opened(file: BinaryIO, formats: list[str]) -> Iterator[ImageFile.ImageFile]:
    """Opens an image within the limits; whatever fails, in the block too, is a `ValueError` of one line."""
    try:
        with Image.open(_unwrapped(file), formats=formats) as image:
            num_pixels = image.width * image.height
            if num_pixels > MAX_PIXELS:
                raise ValueError(f"{num_pixels / 1e6:.0f} megapixels, more than {MAX_PIXELS // 1_000_000}")
            yield image
    except Image.UnidentifiedImageError as error:
        raise ValueError("not an image in a format that is read here") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"more than {MAX_PIXELS // 1_000_000} megapixels") from error
    except MemoryError as error:
        raise ValueError("needs more memory than there is") from error
    except Exception as error:  # Damaged files make Pillow's readers raise nearly anything.
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _unwrapped(file: BinaryIO) -> BinaryIO:
    """The PNG in an icon that is one: its size may be any, and Pillow decodes icons as it opens them."""
    inner: BinaryIO = file
    if file.read(4) == b"\0\0\1\0":
        file.seek(0)
        with contextlib.suppress(IndexError, ValueError, struct.error):
            entry = IcoImagePlugin.IcoFile(file).entry[0]
            file.seek(entry.offset)
            content = file.read(entry.size)
            inner = io.BytesIO(content) if content.startswith(b"\x89PNG") else file
    file.seek(0)
    return inner


@contextlib.contextmanager
def _room(image: ImageFile.ImageFile, num_pixels: int) -> Iterator[None]:
    """Waits for the memory that it takes to decode an image: large ones are decoded one at a time.

    Args:
        image: The image, about to be decoded.
        num_pixels: What is in the file, of which a draft is less.

    Raises:
        ValueError: if it takes more than `MAX_BYTES`.
    """
    channels = len(image.getbands())
    each = 7 * channels if image.format == "JPEG2000" else _DECODING.get(image.format or "", _KEPT.get(image.mode, 4))
    needed = image.width * image.height * each * (1 + is_in_halves(image))
    if image.info.get("progressive"):
        needed += 2 * channels * num_pixels
    if needed > MAX_BYTES:
        raise ValueError(
            f"takes {needed >> 20} MiB to be decoded ({num_pixels / 1e6:.0f} megapixels), more than {MAX_BYTES >> 20};"
            " make it smaller"
        )
    with _large_image if needed > _LARGE_BYTES else contextlib.nullcontext():
        yield


def _decoded(image: ImageFile.ImageFile, image_size: int, reading: Reading) -> Decoded:
    width, height = image.size
    image.draft(None, (2 * image_size, 2 * image_size))  # JPEG decodes straight to a smaller size where it can.
    with _room(image, width * height):
        deep = Deep.of(image)
        image.load()
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        found = None if deep is None else deep.extremes()
        between = reading.intensity_range or (window(np.asarray([found])) if found else None) or (0.0, 1.0)

        def part(box: Box) -> Image.Image:
            return _smooth(image.crop(box)) if deep is None else eight_bits(deep.part(box), between)

        small = _resized(part, *FITS[reading.fit](*image.size, image_size))
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    small = small.convert("RGB")
    if orientation in _TURNS:  # Last, when it is small.
        small = small.transpose(_TURNS[orientation])
        width, height = (height, width) if orientation >= 5 else (width, height)
    if small.size != (image_size, image_size):
        square = Image.new("RGB", (image_size, image_size), "white")
        square.paste(small, ((image_size - small.width) // 2, (image_size - small.height) // 2))
        small = square
    return Decoded(np.asarray(small), (width, height), found)


def _resized(part: Callable[[Box], Image.Image], box: Box, size: tuple[int, int]) -> Image.Image:
    """Resizes a box of an image of which `part` returns boxes: of a large one strip by strip, to take little memory."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if width * height <= STRIP_PIXELS:
        return part(box).resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    across, down = (
        max(1, int(side / wanted / _REDUCING_GAP)) for side, wanted in zip((width, height), size, strict=True)
    )
    reduced: Image.Image | None = None
    for strip in strips(box, down):
        shrunk = part(strip).reduce((across, down))
        reduced = reduced or Image.new(shrunk.mode, (shrunk.width, -(-height // down)))
        reduced.paste(shrunk, (0, (strip[1] - top) // down))
    assert reduced is not None
    return reduced.resize(size, Image.Resampling.LANCZOS, box=(0, 0, width / across, height / down))


def _smooth(image: Image.Image) -> Image.Image:
    """Returns the image in a mode that can be resized smoothly: L, RGB or RGBA."""
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)
