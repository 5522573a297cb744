"""Image files as pixels: any format and depth, made square and resized alike."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from keras_t2i.data.names import FITS

__all__ = ["MAX_PIXELS", "Decoded", "Reading", "crop", "decode_image", "intensities", "pad", "stretch", "window"]

MAX_PIXELS = 100_000_000
"""Images with more pixels are not decoded: a small file can unpack to gigabytes."""

_LARGE_PIXELS = 25_000_000
# Formats that hold pixels only: EPS and WMF files run outside programs, and stay shut.
_FORMATS = ["AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP"]
_DEEP_FORMATS = ["JPEG2000", "PNG", "PPM", "TIFF"]
_NATIVE, _OTHER = ("L", "B") if sys.byteorder == "little" else ("B", "L")
# Pillow keeps the high byte of colors of 16 bits. Read as if their bytes were swapped, it keeps the low one; gray with
# transparency has four bytes a pixel, as RGBA has.
_LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{swapped}"
    for mode in ("RGB", "RGBA")
    for order, swapped in (("B", "L"), ("L", "B"), ("N", _OTHER))
} | {"LA;16B": "RGBA"}
_SCALES = (1, 255, 1023, 4095, 16383, 65535)
_LEAST_USED = 0.2
_SAMPLE, _OUTLIERS = 65_536, 0.001
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


class _Deep(NamedTuple):
    """Values of more than 8 bits, shape `(H, W)` or `(H, W, 3)`, and opacity, uint8, shape `(H, W)`, or `None`."""

    values: np.ndarray
    alpha: np.ndarray | None


def crop(width: int, height: int, image_size: int) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """The central square. As for all fits: the box that is kept of an image, and the size that it is brought to."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return (left, top, left + side, top + side), (image_size, image_size)


def pad(width: int, height: int, image_size: int) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """The whole image in its proportions, for white on both sides."""
    factor = image_size / max(width, height)
    return (0, 0, width, height), (max(1, round(width * factor)), max(1, round(height * factor)))


def stretch(width: int, height: int, image_size: int) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
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
        ValueError: if the image is damaged, of an unknown format or larger than `MAX_PIXELS`.
    """
    with _opened(file, _FORMATS) as image:
        return _decoded(image, file, image_size, reading or Reading())


def intensities(file: BinaryIO) -> tuple[float, float] | None:
    """`Decoded.intensities` of an image file; of one with 8 bits a channel, or a damaged one, `None`.

    Only files with more than 8 bits are decoded.
    """
    try:
        with _opened(file, _DEEP_FORMATS) as image:
            deep = _deep(image, file)
            return None if deep is None else _extremes(deep.values)
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
        with Image.open(file, formats=formats) as image:
            num_pixels = image.width * image.height
            if num_pixels > MAX_PIXELS:
                raise ValueError(f"{num_pixels / 1e6:.0f} megapixels, more than {MAX_PIXELS // 1_000_000}")
            # One large one at a time, or every core would hold hundreds of megabytes.
            with _large_image if num_pixels > _LARGE_PIXELS else contextlib.nullcontext():
                yield image
    except Image.UnidentifiedImageError as error:
        raise ValueError("not an image in a format that is read here") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"more than {MAX_PIXELS // 1_000_000} megapixels") from error
    except MemoryError as error:
        raise ValueError("needs more memory than there is") from error
    except Exception as error:  # Damaged files make Pillow's readers raise nearly anything.
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _decoded(image: ImageFile.ImageFile, file: BinaryIO, image_size: int, reading: Reading) -> Decoded:
    width, height = image.size
    image.draft(None, (2 * image_size, 2 * image_size))  # JPEG decodes straight to a smaller size where it can.
    found: tuple[float, float] | None = None
    shown: Image.Image = image
    deep = _deep(image, file)
    image.load()
    orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    box, size = FITS[reading.fit](*image.size, image_size)
    if deep is not None:
        found = _extremes(deep.values)
        shown = _eight_bits(deep, reading.intensity_range or window(np.asarray([found])) or found)
    small = _smooth(shown.crop(box)).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
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


def _smooth(image: Image.Image) -> Image.Image:
    """Returns the image in a mode that can be resized smoothly: L, RGB or RGBA."""
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _deep(image: ImageFile.ImageFile, file: BinaryIO) -> _Deep | None:
    """The values of an image with more than 8 bits a channel; others are not even decoded."""
    transparent = image.info.get("transparency")
    alpha = None
    args = image.tile[0].args if image.tile else None
    raw_mode = args[0] if isinstance(args, tuple) and args else args
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
    elif raw_mode in _LOW_BYTES:
        high = np.asarray(image)
        file.seek(0)
        with Image.open(file, formats=_DEEP_FORMATS) as again:
            again.tile = [tile._replace(args=_with_low_bytes(tile.args)) for tile in again.tile]
            low = np.asarray(again)
        if raw_mode == "LA;16B":
            high, low, alpha = low[..., 0], low[..., 1], low[..., 2]
        elif high.shape[-1] == 4:
            alpha = high[..., 3]
            high, low = high[..., :3], low[..., :3]
        values = high.astype(np.uint16) << 8 | low
    else:
        return None
    if isinstance(transparent, int | tuple):
        opaque = values != np.asarray(transparent)
        alpha = np.where(opaque.any(-1) if values.ndim == 3 else opaque, 255, 0).astype(np.uint8)
    return _Deep(values, alpha)


def _with_low_bytes(args: Any) -> Any:
    return (_LOW_BYTES[args[0]], *args[1:]) if isinstance(args, tuple) else _LOW_BYTES[args]


def _extremes(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value, but for one in a thousand: of a sample, and of what is finite."""
    sample = values.reshape(-1)[:: values.size // _SAMPLE | 1]
    finite = sample[np.isfinite(sample)]
    if not finite.size:
        raise ValueError("has no finite value")
    return (
        float(np.quantile(finite, _OUTLIERS, method="lower")),
        float(np.quantile(finite, 1 - _OUTLIERS, method="higher")),
    )


def _eight_bits(deep: _Deep, between: tuple[float, float]) -> Image.Image:
    """An image whose values between two become those from black to white: L, RGB or RGBA."""
    low, high = between
    values = np.nan_to_num(deep.values.astype(np.float32), nan=low, posinf=high, neginf=low)
    scaled = (values.clip(low, high) - low) * (255.0 / (high - low))
    image = Image.fromarray(scaled.round().astype(np.uint8))
    if deep.alpha is not None:
        image = image.convert("RGB")
        image.putalpha(Image.fromarray(deep.alpha))
    return image
