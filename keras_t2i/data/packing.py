"""`pack`: images decoded and captions embedded once, in parallel, into files that runs of any size are trained from."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import Progress

from keras_t2i.core.files import bytes_below, write_array, write_file
from keras_t2i.core.gate import read_json
from keras_t2i.core.machine import cores
from keras_t2i.core.parts import UNFINISHED, written_in_parts
from keras_t2i.data.crew import Crew
from keras_t2i.data.images import Reading, window
from keras_t2i.data.names import PACKED
from keras_t2i.data.packed import ENCODER, FORMAT, PackedImages
from keras_t2i.data.packed_tables import Tables
from keras_t2i.data.packing_worker import PackedImage, part_name, write_shard
from keras_t2i.data.rows import check_skipped, skipped_summary
from keras_t2i.data.sources import Item, Source, dataset_source

__all__ = ["pack", "pack_source"]

_SHARD_IMAGES = 4096
_PROGRESS_FROM = 1000
_ENCODED_AT_ONCE = 1024
_WINDOW = "window.json"


class SupportsPacking(Protocol):
    """What packing needs of a text encoder."""

    packaged_name: str | None
    vocabulary_size: int | None
    sequence_length: int
    embedding_dim: int

    @property
    def fingerprint(self) -> str: ...

    def encode_chunks(self, captions: list[str]) -> Iterable[np.ndarray]: ...

    def save_to_preset(self, directory: Path) -> None: ...


def pack(
    dataset: Any, directory: str | os.PathLike[str], encoder: SupportsPacking, stamps: str = "", **options: Any
) -> dict[str, Any]:
    """Packs a data set: see `pack_source`.

    Args:
        dataset: A `keras_t2i.data.CaptionedImages`. Of images that are rendered anew each time, one of each.
        directory: Where to.
        encoder: What embeds the captions.
        stamps: Text that changes whenever the images do.
        **options: Of `pack_source`.
    """
    options = {"image_size": dataset.image_size, "seed": dataset.seed, **options}
    return pack_source(dataset_source(dataset, stamps), directory, encoder, **options)


def pack_source(
    source: Source,
    directory: str | os.PathLike[str],
    encoder: SupportsPacking,
    image_size: int = 64,
    *,
    reading: Reading | None = None,
    validation_share: float = 0.1,
    seed: int = 0,
    max_skipped_share: float = 0.05,
    workers: int | None = None,
) -> dict[str, Any]:
    """Decodes images, embeds captions, and writes both to shards with an index and checksums.

    Killed at any moment and started again it goes on in `DIRECTORY.unfinished`, and ends with the same bytes. The same
    images are held out as `from_folder` holds out, and rows that cannot be used are treated as there: left out, counted
    in a warning, and all named in `skipped.jsonl`.

    Args:
        source: The images.
        directory: Where to; packed images that are there are replaced when all is done, and left where they are of the
            same source and whole.
        encoder: What embeds the captions; one from outside the package is written too.
        image_size: Height and width in pixels, 8 to 1024.
        reading: How images become square, and 8 bits.
        validation_share: Share of images held out where the source holds none out itself.
        seed: Seed of that.
        max_skipped_share: Share of rows, in [0, 1], that may be unusable before packing stops with an error.
        workers: How many processors to work on; by default all.

    Returns:
        `train_images`, `validation_images`, `captions`, `shards`, `skipped_rows` and `megabytes`.

    Raises:
        ValueError: if too many rows cannot be used, too few images are left, or other files are in the way.
        OSError: if something cannot be read or written.
    """
    if not 8 <= image_size <= 1024:
        raise ValueError(f"`image_size` must be 8 to 1024 pixels; got {image_size}.")
    if workers is not None and workers < 1:
        raise ValueError(f"`workers` must be at least 1; got {workers}.")
    check_skipped(source.path, source.skipped, source.num_rows, max_skipped_share)
    reading = reading or Reading()
    described = [FORMAT, image_size, asdict(reading), validation_share, seed, encoder.fingerprint, _digest_of(source)]
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    if _is_there(Path(directory), key):
        return _told(Path(directory), read_json(Path(directory) / PACKED))
    with written_in_parts(directory, PACKED, key) as folder:
        job = _Job(source, folder, encoder, image_size, reading, max_skipped_share, workers or cores() or 1)
        job.write_parts()
        tables = Tables(source, folder, job.new_captions, image_size, job.reading)
        check_skipped(source.path, tables.skipped, source.num_rows, max_skipped_share)
        about = tables.write(validation_share, seed)
        if encoder.packaged_name is None:
            encoder.save_to_preset(folder / ENCODER)
        about |= {
            "format": FORMAT,
            "key": key,
            "name": source.name,
            "image_size": image_size,
            "text_of": _text_of(encoder),
        }
        write_file(folder / PACKED, json.dumps(about, indent=1, sort_keys=True) + "\n")
        tables.remove_parts()
        (folder / _WINDOW).unlink(missing_ok=True)
    for note in (*source.notes, *tables.notices):
        warnings.warn(note, stacklevel=2)
    if tables.skipped:
        summary = skipped_summary(source.path, tables.skipped, source.num_rows)
        warnings.warn(f"{summary} The rest is used; all are named in skipped.jsonl.", stacklevel=2)
    return _told(Path(directory), about)


@dataclass
class _Job:
    """The parts of packed images, each a file that is there or not: shards, and embeddings of captions new in them."""

    source: Source
    folder: Path
    encoder: SupportsPacking
    image_size: int
    reading: Reading
    max_skipped_share: float
    workers: int

    def __post_init__(self) -> None:
        items = self.source.items
        starts = range(0, len(items), _SHARD_IMAGES)
        self.chunks = [items[start : start + _SHARD_IMAGES] for start in starts]
        known: set[str] = set()
        self.new_captions: list[list[str]] = []
        for chunk in self.chunks:
            captions = (caption for item in chunk for caption in item.captions)
            self.new_captions.append(list(dict.fromkeys(caption for caption in captions if caption not in known)))
            known.update(self.new_captions[-1])

    def write_parts(self) -> None:
        """Writes what is not there yet, on several processors."""
        with Crew(self.workers) as crew:
            if self.source.dataset is None and self.reading.intensity_range is None:
                self._find_window(crew)
            total = len(self.source.items) + sum(map(len, self.new_captions))
            console = Console(stderr=True)
            with Progress(console=console, disable=len(self.source.items) < _PROGRESS_FROM) as progress:
                bar = progress.add_task("Packing images", total=total)
                self._together(self._tasks(crew), lambda count: progress.advance(bar, count))

    def _tasks(self, crew: Crew) -> Iterator[tuple[Callable[[], Any], int]]:
        for number, (chunk, captions) in enumerate(zip(self.chunks, self.new_captions, strict=True)):
            if not (self.folder / text_name(number)).exists():
                yield partial(self._embed, number, captions), len(captions)
            if not (self.folder / part_name(number)).exists():
                yield partial(self._decode, crew, number, chunk), len(chunk)

    def _together(self, tasks: Iterator[tuple[Callable[[], Any], int]], done: Callable[[int], None]) -> None:
        """Works on as many tasks at once as there are workers; the first error ends it after those at hand."""
        left_out = len(self.source.skipped)
        with ThreadPoolExecutor(self.workers) as pool:
            running: dict[Future[Any], int] = {}
            for task, size in tasks:
                running[pool.submit(task)] = size
                while len(running) > self.workers:
                    left_out += self._finished(running, done)
                if left_out > self.max_skipped_share * self.source.num_rows:
                    break  # Which is told once it is known what they are.
            while running:
                self._finished(running, done)

    def _finished(self, running: dict[Future[Any], int], done: Callable[[int], None]) -> int:
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for each in finished:
            done(running.pop(each))
        return sum(each.result() or 0 for each in finished)

    def _decode(self, crew: Crew, number: int, chunk: Iterable[Item]) -> int:
        """Writes a shard; returns how many rows of it cannot be used."""
        if self.source.dataset is not None:
            write_shard(self.folder, number, _of_dataset(self.source.dataset, chunk))
            return 0
        reading = asdict(self.reading)
        places = [item.place for item in chunk]
        job = {"directory": str(self.folder), "number": number, "image_size": self.image_size}
        crew.do({**job, "reading": reading, "places": places})
        errors = json.loads((self.folder / part_name(number)).read_text(encoding="utf-8"))["error"]
        return sum(len(item.sources) for item, error in zip(chunk, errors, strict=True) if error)

    def _embed(self, number: int, captions: list[str]) -> None:
        starts = range(0, len(captions), _ENCODED_AT_ONCE)
        pieces = (captions[start : start + _ENCODED_AT_ONCE] for start in starts)
        # Token numbers are not exact in half precision.
        dtype = np.float16 if self.encoder.vocabulary_size is None else np.float32
        rows = (row.astype(dtype).tobytes() for piece in pieces for row in self.encoder.encode_chunks(piece))
        write_array(self.folder / text_name(number), dtype, (len(captions), self.encoder.embedding_dim), rows)

    def _find_window(self, crew: Crew) -> None:
        """Finds the values that become black and white in all images with more than 8 bits a channel, once."""
        path = self.folder / _WINDOW
        if not path.exists():
            found: list[Any] = []

            def look(chunk: Sequence[Item]) -> None:
                found.extend(crew.do({"places": [item.place for item in chunk]}))

            self._together(((partial(look, chunk), len(chunk)) for chunk in self.chunks), lambda count: None)
            write_file(path, json.dumps(window(np.asarray(found, np.float64).reshape(-1, 2))))
        between = json.loads(path.read_text(encoding="utf-8"))
        self.reading = replace(self.reading, intensity_range=None if between is None else tuple(between))


def text_name(number: int) -> str:
    """File name of the embeddings of captions that no earlier shard has."""
    return f"text-{number:05d}.npy"


def _of_dataset(dataset: Any, chunk: Iterable[Item], at_once: int = 256) -> Iterator[PackedImage]:
    """The images of a data set, some at a time; those that have no file are told apart by their pixels."""
    items = list(chunk)
    for start in range(0, len(items), at_once):
        some = items[start : start + at_once]
        for name in dict.fromkeys(item.place[0] for item in some):
            split = dataset.train_split if name == "train" else dataset.validation_split
            those = [item for item in some if item.place[0] == name]
            images = split.pixels(np.asarray([item.place[1] for item in those]), chunk_size=at_once)
            for item, pixels in zip(those, images, strict=True):
                known = item.place[2] or hashlib.sha256(pixels.tobytes()).digest()[:8][::-1].hex()
                yield PackedImage(pixels, int(known, 16), (pixels.shape[1], pixels.shape[0]))


def _digest_of(source: Source) -> str:
    digest = hashlib.sha256(source.stamps.encode("utf-8", "surrogatepass"))
    for item in source.items:
        digest.update(repr((item.name, item.place, item.captions, item.split)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _text_of(encoder: SupportsPacking) -> dict[str, Any]:
    return {
        "text_encoder": encoder.packaged_name,
        "text_encoder_fingerprint": encoder.fingerprint,
        "sequence_length": encoder.sequence_length,
    }


def _is_there(directory: Path, key: str) -> bool:
    """Whether the same was packed before, and is whole."""
    if not (directory / PACKED).is_file() or directory.with_name(directory.name + UNFINISHED).exists():
        return False
    try:
        if read_json(directory / PACKED).get("key") != key:
            return False
        PackedImages.verify(directory)
    except (ValueError, OSError, AttributeError):
        return False
    return True


def _told(directory: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    counts = {f"{name}_images": count for name, count in about["splits"].items()}
    more = {name: about[name] for name in ("captions", "shards", "skipped_rows")}
    return {**counts, **more, "megabytes": bytes_below(directory) / 1e6}
