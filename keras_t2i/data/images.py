"""Image files as pixels: any format, cropped and resized alike, decoded once and kept in one memory-mapped file."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf
from PIL import Image
from rich.console import Console
from rich.progress import track

from keras_t2i.core.cache import cache_directory
from keras_t2i.core.files import write_array
from keras_t2i.core.pixels import from_bytes

__all__ = ["MAX_PIXELS", "decode_image", "decoded_images", "open_bytes", "open_path", "pixel_loader"]

MAX_PIXELS = 100_000_000
"""Images with more pixels are not decoded: a small file can unpack to gigabytes."""

_LARGE_PIXELS = 25_000_000
_PROGRESS_FROM = 1000
_ERROR_BYTES = 160
_VERSION = "1"  # Part of every cache key: raise it when pixels come out differently.
# Formats that hold pixels only: EPS and WMF files run outside programs, and stay shut.
_FORMATS = ["AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP"]
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


def open_path(path: bytes) -> BinaryIO:
    """Opens an image file named by its path."""
    return open(os.fsdecode(path), "rb")


def open_bytes(content: bytes) -> BinaryIO:
    """Opens an image file given by its content."""
    return io.BytesIO(content)


def decode_image(file: BinaryIO, image_size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes an image to a square of RGB pixels.

    The first frame is turned upright (EXIF), cropped to its central square, resized with antialiasing (Lanczos) and, if
    it has transparency, laid on white. Gray, palette, CMYK and 16-bit images become 8-bit RGB; 32-bit and float ones
    are stretched from their own darkest to their own brightest value. Colour profiles are ignored.

    Args:
        file: An image file, open for reading.
        image_size: Height and width of the result in pixels.

    Returns:
        Pixels, uint8, shape `(image_size, image_size, 3)`, and the image's own width and height.

    Raises:
        ValueError: if the image is damaged, of an unknown format or larger than `MAX_PIXELS`.
    """
    try:
        with Image.open(file, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"{width * height / 1e6:.0f} megapixels, more than {MAX_PIXELS // 1_000_000}")
            if width * height <= _LARGE_PIXELS:
                return _square(image, image_size)
            with _large_image:  # One at a time, or every core would hold hundreds of megabytes.
                return _square(image, image_size)
    except Image.UnidentifiedImageError as error:
        raise ValueError("not an image in a format that is read here") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"more than {MAX_PIXELS // 1_000_000} megapixels") from error
    except MemoryError as error:
        raise ValueError("needs more memory than there is") from error
    except Exception as error:  # Damaged files make Pillow's readers raise nearly anything.
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _square(image: Image.Image, image_size: int) -> tuple[np.ndarray, tuple[int, int]]:
    width, height = image.size
    image.draft(None, (2 * image_size, 2 * image_size))  # JPEG decodes straight to a smaller size where it can.
    image.load()
    orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    small = _eight_bits(square).resize((image_size, image_size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    if small.mode == "RGBA":
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    small = small.convert("RGB")
    if orientation in _TURNS:  # A central square may be turned last, when it is small.
        small = small.transpose(_TURNS[orientation])
        width, height = (height, width) if orientation >= 5 else (width, height)
    return np.asarray(small), (width, height)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Returns the image in a mode that can be resized smoothly: L, RGB or RGBA."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float32), posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        return Image.fromarray(((values - low) * (255.0 / max(high - low, 1e-12))).round().astype(np.uint8))
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def decoded_images(
    sources: tf.data.Dataset,
    count: int,
    opener: Callable[[bytes], BinaryIO],
    image_size: int,
    key: str,
    cache_dir: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """Decodes images once, in parallel, and keeps them in a cache file that is read by memory mapping.

    Args:
        sources: `count` byte strings, each of which `opener` opens.
        count: Number of images.
        opener: `open_path` or `open_bytes`.
        image_size: Height and width in pixels.
        key: Text that changes whenever the images do.
        cache_dir: Where cache files go; by default `keras_t2i` in the user's cache directory. Where it cannot be
            written the images are kept in memory, with a warning.

    Returns:
        Records of shape `(count,)` with the fields `pixels` (uint8, `(image_size, image_size, 3)`), `size` (own width
        and height), `digest` (of the file's content) and `error` (UTF-8, empty where the image could be decoded).
    """
    dtype = _record_type(image_size)
    if not count:
        return np.zeros(0, dtype)
    name = hashlib.sha256(f"{_VERSION}\0{image_size}\0{count}\0{key}".encode("utf-8", "surrogateescape")).hexdigest()[
        :32
    ]
    try:
        directory = Path(cache_dir) if cache_dir is not None else cache_directory() / "images"
        path = directory / f"{name}.npy"
        cached = _open_cached(path, dtype, count)
        if cached is not None:
            return cached
        write_array(path, dtype, (count,), _records(sources, count, opener, image_size))
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        warnings.warn(f"Decoded images are kept in memory: the cache cannot be written ({reason}).", stacklevel=2)
        return np.frombuffer(b"".join(_records(sources, count, opener, image_size)), dtype)


def pixel_loader(records: np.ndarray, positions: np.ndarray) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a `Split.load_images` that reads the records at `positions`."""
    pixels = records["pixels"]

    def load_images(indices: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        del seeds  # Files have no variations to draw.
        images = tf.numpy_function(lambda numbers: pixels[positions[numbers]], [indices], tf.uint8, stateful=False)
        images.set_shape((None, *pixels.shape[1:]))
        return from_bytes(tf.cast(images, tf.float32))

    return load_images


def _record_type(image_size: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("pixels", np.uint8, (image_size, image_size, 3)),
            ("size", "<i4", (2,)),
            ("digest", "<u8"),
            ("error", f"S{_ERROR_BYTES}"),
        ]
    )


def _records(
    sources: tf.data.Dataset, count: int, opener: Callable[[bytes], BinaryIO], image_size: int
) -> Iterator[bytes]:
    """Yields each source's record in order, decoded by several threads at once."""
    dtype = _record_type(image_size)

    def record(source: bytes) -> bytes:
        result = np.zeros((), dtype)
        try:
            with opener(source) as file:
                digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
                file.seek(0)
                result["digest"] = int.from_bytes(digest[:8], "little")
                result["pixels"], result["size"] = decode_image(file, image_size)
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error)
            result["error"] = text.encode("utf-8", "replace")[:_ERROR_BYTES].decode("utf-8", "ignore").encode()
        return result.tobytes()

    encoded = sources.map(
        lambda source: tf.numpy_function(record, [source], tf.string),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    ).prefetch(16)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # What matters of them becomes the record's error.
        yield from track(
            encoded.as_numpy_iterator(),
            "Decoding images",
            total=count,
            console=Console(stderr=True),
            disable=count < _PROGRESS_FROM,
        )


def _open_cached(path: Path, dtype: np.dtype[Any], count: int) -> np.ndarray | None:
    try:
        records = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return records if records.dtype == dtype and records.shape == (count,) else None
