"""What is written beside shards once all images are there: which are held out, their captions, and the index."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_t2i.core.files import sha256, write_array, write_file
from keras_t2i.data.images import Reading
from keras_t2i.data.looks import notices
from keras_t2i.data.packing_worker import part_name
from keras_t2i.data.rows import with_damaged
from keras_t2i.data.shards import ROW, shard_name
from keras_t2i.data.sources import Source
from keras_t2i.data.splits import MIN_IMAGES, drawn_by_content

__all__ = ["Tables"]

_AT_ONCE = 1 << 14


class Tables:
    """The tables of a directory in which all shards are written.

    Args:
        source: What was packed.
        folder: The directory.
        new_captions: For each shard, the captions that no earlier one has, in the order of their embeddings.
        image_size: Height and width in pixels.
        reading: How the images were read.

    Attributes:
        skipped: Rows that could not be used, those of the source among them.
        notices: What is worth a look before training, a line each.
    """

    def __init__(
        self, source: Source, folder: Path, new_captions: list[list[str]], image_size: int, reading: Reading
    ) -> None:
        self.source, self.folder = source, folder
        names = (folder / part_name(number) for number in range(len(new_captions)))
        # Where too many rows cannot be used, packing stopped before the last.
        self.parts = [json.loads(path.read_text(encoding="utf-8")) for path in names if path.exists()]
        self.captions = list(itertools.chain.from_iterable(new_captions))
        self.text_starts = np.cumsum([0, *map(len, new_captions)])
        columns = {name: [value for part in self.parts for value in part[name]] for name in _COLUMNS}
        self.digests = columns["digest"]
        self.rows = np.concatenate([np.zeros(0, ROW), *map(_rows, itertools.count(), self.parts)])
        errors = columns["error"]
        self.skipped = with_damaged(source.skipped, source.items, errors)
        self.usable = [number for number, error in enumerate(errors) if not error]
        looks = np.zeros(len(errors), [("size", "<i4", (2,)), ("intensities", "<f8", (2,))])
        looks["size"] = np.reshape(columns["size"], (-1, 2))
        looks["intensities"] = [found or (np.nan, np.nan) for found in columns["intensities"]] or 0
        self.notices = notices(looks, np.asarray(self.usable, np.int64), reading)

    def write(self, validation_share: float, seed: int) -> dict[str, Any]:
        """Writes the tables of both sides.

        Returns:
            What the index says of them.

        Raises:
            ValueError: if fewer than two training images are left.
            OSError: if they cannot be written.
        """
        splits = self._splits(validation_share, seed)
        if len(splits.get("train", [])) < MIN_IMAGES:
            counts = ", ".join(f"{name} {len(numbers)}" for name, numbers in splits.items()) or "none"
            raise ValueError(
                f"Training needs at least {MIN_IMAGES} usable training images; {self.source.path!r} has"
                f" {len(splits.get('train', []))} (images by split: {counts})."
            )
        held_out = splits.get("validation", splits.get("test"))
        sides = {"train": splits["train"], **({} if held_out is None else {"validation": held_out})}
        captions = sum(self._write_side(name, numbers) for name, numbers in sides.items())
        told = (json.dumps({"file": row.file, "line": row.line, "reason": row.reason}) + "\n" for row in self.skipped)
        write_file(self.folder / "skipped.jsonl", "".join(told))
        return {
            "splits": {name: len(numbers) for name, numbers in sides.items()},
            "captions": captions,
            "shards": len(self.parts),
            "skipped_rows": len(self.skipped),
            "files": self._files(),
        }

    def remove_parts(self) -> None:
        """Removes what is not needed once all is written."""
        for pattern in ("part-*.json", "text-*.npy"):
            for path in self.folder.glob(pattern):
                path.unlink()

    def _splits(self, validation_share: float, seed: int) -> dict[str, list[int]]:
        """Numbers of images in each split; a share of the training images is held out where nothing else is."""
        numbers: dict[str, list[int]] = {}
        for number in self.usable:
            numbers.setdefault(self.source.items[number].split or "train", []).append(number)
        has_own = self.source.dataset is not None or {"validation", "test"} & numbers.keys()
        if validation_share > 0 and not has_own and "train" in numbers:
            train = numbers["train"]
            held_out = drawn_by_content(train, (f"{self.digests[each]:016x}" for each in train), validation_share, seed)
            if held_out:
                numbers["train"] = [number for number in train if number not in held_out]
                numbers["validation"] = sorted(held_out)
        return numbers

    def _write_side(self, name: str, numbers: list[int]) -> int:
        """Writes the tables of one side; returns how many captions it has."""
        place = {caption: number for number, caption in enumerate(self.captions)}
        all_ids = [[place[caption] for caption in self.source.items[number].captions] for number in numbers]
        used = list(dict.fromkeys(itertools.chain.from_iterable(all_ids)))
        local = {old: new for new, old in enumerate(used)}
        ids = [local[old] for each in all_ids for old in each]
        self._array(f"{name}-rows.npy", self.rows[numbers])
        self._array(f"{name}-starts.npy", np.cumsum([0, *map(len, all_ids)], dtype=np.uint64))
        self._array(f"{name}-caption-ids.npy", np.asarray(ids, np.int32))
        texts = [self.captions[old].encode("utf-8", "replace") for old in used]
        write_file(self.folder / f"{name}-captions.bin", b"".join(texts))
        self._array(f"{name}-caption-starts.npy", np.cumsum([0, *map(len, texts)], dtype=np.uint64))
        first = self._text(0)
        embeddings = self._embeddings(np.asarray(used, np.int64))
        write_array(self.folder / f"{name}-embeddings.npy", first.dtype, (len(used), first.shape[1]), embeddings)
        return len(used)

    def _embeddings(self, numbers: np.ndarray) -> Iterator[bytes]:
        """Embeddings of captions, some at a time, from where they were written shard by shard."""
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            shards = np.searchsorted(self.text_starts, some, side="right") - 1
            found = np.empty((len(some), self._text(0).shape[1]), self._text(0).dtype)
            for shard in np.unique(shards):
                here = shards == shard
                found[here] = self._text(int(shard))[some[here] - self.text_starts[shard]]
            yield found.tobytes()

    def _text(self, shard: int) -> np.ndarray:
        return np.load(self.folder / f"text-{shard:05d}.npy", mmap_mode="r", allow_pickle=False)

    def _array(self, name: str, values: np.ndarray) -> None:
        write_array(self.folder / name, values.dtype, values.shape, [np.ascontiguousarray(values).tobytes()])

    def _files(self) -> dict[str, dict[str, Any]]:
        """Length and checksum of every file."""
        files = {
            shard_name(number): {"bytes": part["bytes"], "sha256": part["sha256"]}
            for number, part in enumerate(self.parts)
        }
        for pattern in ("train-*", "validation-*", "skipped.jsonl"):
            for path in self.folder.glob(pattern):
                files[path.name] = {"bytes": path.stat().st_size, "sha256": sha256(path)}
        return files


_COLUMNS = ("digest", "error", "size", "intensities")


def _rows(number: int, part: dict[str, Any]) -> np.ndarray:
    rows = np.zeros(len(part["length"]), ROW)
    rows["length"], rows["check"], rows["digest"], rows["shard"] = part["length"], part["check"], part["digest"], number
    rows["offset"] = np.cumsum(part["length"], dtype=np.uint64) - rows["length"]
    return rows
