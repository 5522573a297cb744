"""A process that decodes images and writes shards of them: jobs come in as lines of JSON, and what was done goes out.

`python -m keras_t2i.data.packing_worker` is started by `keras_t2i.data.crew`. It needs no TensorFlow, ends when its
input does, whoever closed it, and leaves Ctrl-C to the process that started it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from keras_t2i.core.files import write_file, written
from keras_t2i.data.images import Reading, decode_image, intensities
from keras_t2i.data.shards import compressed, read_at, shard_name

__all__ = ["PackedImage", "part_name", "work", "write_shard"]


class PackedImage(NamedTuple):
    """An image that is to be written.

    Args:
        pixels: uint8, shape `(S, S, 3)`, or `None` where it cannot be used.
        digest: Of its content.
        size: Its own width and height.
        intensities: As `keras_t2i.data.images.Decoded` has it.
        error: Why it cannot be used.
    """

    pixels: np.ndarray | None
    digest: int = 0
    size: tuple[int, int] = (0, 0)
    intensities: tuple[float, float] | None = None
    error: str = ""


def part_name(number: int) -> str:
    """File name of what is known of the images in a shard."""
    return f"part-{number:05d}.json"


def write_shard(directory: Path, number: int, images: Iterable[PackedImage]) -> None:
    """Writes a shard, and then what is known of it: where that is, the shard is whole.

    Raises:
        OSError: if it cannot be written.
    """
    names = ("length", "check", "digest", "size", "intensities", "error")
    columns: dict[str, Any] = {name: [] for name in names}
    digest, total = hashlib.sha256(), 0
    with written(directory / shard_name(number)) as beside, open(beside, "wb") as file:
        for image in images:
            content = b"" if image.pixels is None else compressed(image.pixels)
            file.write(content)
            digest.update(content)
            total += len(content)
            row = (len(content), zlib.crc32(content), image.digest, image.size, image.intensities, image.error)
            for name, value in zip(names, row, strict=True):
                columns[name].append(value)
    told = {**columns, "sha256": digest.hexdigest(), "bytes": total}
    write_file(directory / part_name(number), json.dumps(told))


def work(job: dict[str, Any]) -> Any:
    """Does a job.

    Args:
        job: With `"directory"`, writes the shard `"number"` of the images at `"places"`, of `"image_size"` pixels, by
            the `"reading"`. Without, looks at those places for images with more than 8 bits a channel.

    Returns:
        Of such, the lowest and the highest value each.
    """
    files = _files(job["places"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # What matters of them becomes the image's error.
        if "directory" not in job:
            return [found for file in files if (found := _intensities(file)) is not None]
        between = job["reading"]["intensity_range"]
        reading = Reading(job["reading"]["fit"], None if between is None else tuple(between))
        decoded = (_decoded(file, job["image_size"], reading) for file in files)
        write_shard(Path(job["directory"]), job["number"], decoded)
        return None


def _intensities(file: BinaryIO | OSError) -> tuple[float, float] | None:
    if isinstance(file, OSError):
        return None
    with file:
        return intensities(file)


def _decoded(file: BinaryIO | OSError, image_size: int, reading: Reading) -> PackedImage:
    try:
        if isinstance(file, OSError):
            raise file
        with file:
            digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
            file.seek(0)
            image = decode_image(file, image_size, reading)
    except (OSError, ValueError) as error:
        return PackedImage(None, error=getattr(error, "strerror", None) or str(error) or type(error).__name__)
    return PackedImage(image.pixels, int.from_bytes(digest[:8], "little"), image.size, image.intensities)


def _files(places: Sequence[Sequence[Any]]) -> Iterator[BinaryIO | OSError]:
    """Each image's file, opened; or why it cannot be."""
    columns: dict[tuple[Any, ...], list[bytes | None]] = {}
    for kind, path, *rest in places:
        try:
            if kind == "file":
                yield open(path, "rb")  # noqa: SIM115 - its user closes it.
            elif kind == "part":
                yield io.BytesIO(read_at(path, *rest))
            else:
                column, group, row = rest
                if (path, group) not in columns:
                    from keras_t2i.data.parquet import images_of

                    columns = {(path, group): images_of(path, column, group)}
                content = columns[path, group][row]
                yield OSError(0, "no image") if content is None else io.BytesIO(content)
        except OSError as error:
            yield error


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # What libraries print is no answer.
    for line in sys.stdin:
        try:
            answer = {"done": work(json.loads(line))}
        except (OSError, ValueError, ImportError) as error:
            answer = {"error": str(error), "errno": getattr(error, "errno", None)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _main()
