"""Images decoded once, and kept in one memory-mapped file."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import track

from keras_t2i.core.cache import cache_directory
from keras_t2i.core.files import write_array
from keras_t2i.core.pixels import from_bytes
from keras_t2i.data.images import Reading, decode_image, intensities, window
from keras_t2i.data.looks import look_of

__all__ = ["decoded_images", "open_bytes", "open_path", "pixel_loader"]

_PROGRESS_FROM = 1000
_ERROR_BYTES = 160
_LOOKED_AT = 64
_VERSION = "2"  # Part of every cache key: raise it when pixels come out differently.


def open_path(path: bytes) -> BinaryIO:
    """Opens an image file named by its path."""
    return open(os.fsdecode(path), "rb")


def open_bytes(content: bytes) -> BinaryIO:
    """Opens an image file given by its content."""
    return io.BytesIO(content)


def decoded_images(
    sources: tf.data.Dataset,
    count: int,
    opener: Callable[[bytes], BinaryIO],
    image_size: int,
    reading: Reading,
    key: str,
    cache_dir: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    """Decodes images once, in parallel, and keeps them in a cache file that is read by memory mapping.

    Where some have more than 8 bits a channel and `reading` names no range for them, those are looked at first, so that
    all are brought to 8 bits by the same values.

    Args:
        sources: `count` byte strings, each of which `opener` opens.
        count: Number of images.
        opener: `open_path` or `open_bytes`.
        image_size: Height and width in pixels.
        reading: How they become square, and 8 bits.
        key: Text that changes whenever the images do.
        cache_dir: Where cache files go; by default `keras_t2i` in the user's cache directory. Where it cannot be
            written the images are kept in memory, with a warning.

    Returns:
        Records of shape `(count,)` with the fields `pixels` (uint8, `(image_size, image_size, 3)`), `size` (own width
        and height), `intensities` (float64, lowest and highest value of an image with more than 8 bits a channel, else
        not a number), `spread` and `hash` (see `keras_t2i.data.looks`), `digest` (of the file's content) and `error`
        (UTF-8, empty where the image could be decoded).
    """
    dtype = _record_type(image_size)
    if not count:
        return np.zeros(0, dtype)
    described = f"{_VERSION}\0{image_size}\0{count}\0{reading}\0{key}"
    name = hashlib.sha256(described.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def records() -> Iterator[bytes]:
        shared = reading.intensity_range or _shared_window(sources, opener)
        return _records(sources, count, opener, image_size, replace(reading, intensity_range=shared))

    try:
        directory = Path(cache_dir) if cache_dir is not None else cache_directory() / "images"
        path = directory / f"{name}.npy"
        cached = _open_cached(path, dtype, count)
        if cached is not None:
            return cached
        write_array(path, dtype, (count,), records())
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        warnings.warn(f"Decoded images are kept in memory: the cache cannot be written ({reason}).", stacklevel=2)
        return np.frombuffer(b"".join(records()), dtype)


def pixel_loader(pixels: np.ndarray, positions: np.ndarray) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a `Split.load_images` that reads the images at `positions` of `pixels`, uint8, shape `(N, H, W, 3)`."""

    def load_images(indices: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        del seeds  # They have no variations to draw.
        images = tf.numpy_function(lambda numbers: pixels[positions[numbers]], [indices], tf.uint8, stateful=False)
        images.set_shape((None, *pixels.shape[1:]))
        return from_bytes(tf.cast(images, tf.float32))

    return load_images


def _record_type(image_size: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("pixels", np.uint8, (image_size, image_size, 3)),
            ("size", "<i4", (2,)),
            ("intensities", "<f8", (2,)),
            ("spread", np.uint8),
            ("hash", "<u8", (2,)),
            ("digest", "<u8"),
            ("error", f"S{_ERROR_BYTES}"),
        ]
    )


def _shared_window(sources: tf.data.Dataset, opener: Callable[[bytes], BinaryIO]) -> tuple[float, float] | None:
    """The values that become black and white in all images with more than 8 bits; `None` where there are none."""

    def found(batch: np.ndarray) -> np.ndarray:
        rows = np.full((len(batch), 2), np.nan)
        for row, source in zip(rows, batch, strict=True):
            try:
                with opener(source) as file:
                    row[:] = intensities(file) or np.nan
            except OSError:
                pass  # Which its record will say.
        return rows

    looked_at = sources.batch(_LOOKED_AT).map(
        lambda batch: tf.numpy_function(found, [batch], tf.float64), num_parallel_calls=tf.data.AUTOTUNE
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        rows = np.concatenate(list(looked_at.as_numpy_iterator()))
    return window(rows[~np.isnan(rows[:, 0])])


def _records(
    sources: tf.data.Dataset, count: int, opener: Callable[[bytes], BinaryIO], image_size: int, reading: Reading
) -> Iterator[bytes]:
    """Yields each source's record in order, decoded by several threads at once."""
    dtype = _record_type(image_size)

    def record(source: bytes) -> bytes:
        result = np.zeros((), dtype)
        result["intensities"] = np.nan
        try:
            with opener(source) as file:
                digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
                file.seek(0)
                result["digest"] = int.from_bytes(digest[:8], "little")
                image = decode_image(file, image_size, reading)
            result["pixels"], result["size"] = image.pixels, image.size
            result["intensities"] = image.intensities or np.nan
            result["spread"], result["hash"] = look_of(image.pixels)
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
