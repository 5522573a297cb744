"""What images a run was trained on and which it holds out, by their content: a file in its directory."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from keras_t2i.core.files import write_file
from keras_t2i.data.split import Split

__all__ = ["Inventory"]

_FILE = "data.json"


@dataclass(frozen=True)
class Inventory:
    """The images of a data set on either side, and what has been trained on before.

    Args:
        train: Images that are trained on: digests of content, `":"`, digests of captions.
        held_out: Images that are not, likewise.
        earlier: Digests of images that were trained on and are no longer there.
        steps_per_epoch: Of a new run on these data.
        packed: Of packed images, which are too many to be listed: what tells all of them from any others.
    """

    train: Sequence[str]
    held_out: Sequence[str]
    earlier: Sequence[str] = ()
    steps_per_epoch: int = 0
    packed: str = ""

    @classmethod
    def of(cls, dataset: Any, steps_per_epoch: int = 0) -> Self:
        """That of a `CaptionedImages`. Images without a file, which are rendered, are told apart by their number."""
        if getattr(dataset, "packed", None) is not None:
            return cls((), (), steps_per_epoch=steps_per_epoch, packed=dataset.packed.fingerprint)
        train, held_out = _lines(dataset.train_split, "train"), _lines(dataset.validation_split, "held out")
        return cls(train, held_out, steps_per_epoch=steps_per_epoch)

    @classmethod
    def read(cls, run_dir: str | os.PathLike[str]) -> Self | None:
        """That of a run; `None` for one that has none yet, or was made before there were any.

        Raises:
            ValueError: if the file is not readable.
        """
        path = Path(run_dir) / _FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path} does not say what the run was trained on ({error}). Remove it if the data are as they were; "
                "else choose another directory."
            ) from error

    def write(self, run_dir: Path) -> None:
        """Puts it into the directory of a run.

        Raises:
            OSError: if it cannot be written.
        """
        write_file(run_dir / _FILE, json.dumps(asdict(self), indent=0) + "\n")

    @cached_property
    def trained(self) -> frozenset[str]:
        """Digests of all that was ever trained on."""
        return frozenset([*map(_image, self.train), *self.earlier])

    @cached_property
    def sides(self) -> Mapping[str, bool]:
        """Whether an image is held out, by its digest; without those that were on both sides."""
        held_out = frozenset(map(_image, self.held_out))
        return {image: image in held_out for image in self.trained ^ held_out}

    def changes(self, now: Inventory) -> str:
        """What is otherwise in the data now, for people: `"3 images added, 1 gone"`; empty where nothing is."""
        if self.packed or now.packed:
            return "" if self.packed == now.packed else "what was packed is not what it was"
        before, after = ([*each.train, *each.held_out] for each in (self, now))
        old, new = (Counter(map(_image, lines)) for lines in (before, after))
        added, gone = new - old, old - new
        recaptioned = Counter(line for line in after if _image(line) not in added) - Counter(before)
        counts = {"added": added.total(), "gone": gone.total(), "with other captions": recaptioned.total()}
        words = [(count, what) for what, count in counts.items() if count]
        nouns = ["image " if words[0][0] == 1 else "images ", "", ""] if words else []
        return ", ".join(f"{count} {noun}{what}" for (count, what), noun in zip(words, nouns, strict=False))

    def moved(self, now: Inventory) -> int:
        """How many images would change sides."""
        sides = [(line, False) for line in now.train] + [(line, True) for line in now.held_out]
        return sum(self.sides.get(_image(line), side) != side for line, side in sides)

    def followed_by(self, now: Inventory) -> Inventory:
        """That of the data now, which remembers what was trained on before."""
        return replace(now, earlier=sorted(self.trained - now.trained))


def _image(line: str) -> str:
    return line.partition(":")[0]


def _lines(split: Split | None, side: str) -> list[str]:
    if split is None:
        return []
    digests = split.digests or [f"{side} {number}" for number in range(split.num_images)]
    return [
        f"{digest}:{_digest([split.captions[number] for number in ids])}"
        for digest, ids in zip(digests, split.caption_ids, strict=True)
    ]


def _digest(captions: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(captions).encode("utf-8", "surrogatepass")).hexdigest()[:16]
