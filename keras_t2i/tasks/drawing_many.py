"""Drawing a list of captions, however long, into shards: on as many machines as there are, killed or not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from keras_t2i.core.files import write_file, written
from keras_t2i.core.gate import read_json
from keras_t2i.core.provenance import png
from keras_t2i.data.caption_lists import read_captions
from keras_t2i.data.webdataset import write_tar
from keras_t2i.tasks.drawing import drawer_of, warn_of_losses

__all__ = ["generate_shards"]

IMAGES_PER_SHARD = 1000
DESCRIPTION = "generated.json"


def generate_shards(
    model: Path,
    captions: Path,
    output: Path,
    num_images: int = 1,
    seed: int = 0,
    truncation: float = 1.0,
    guidance: float | None = None,
    num_steps: int | None = None,
    negative_prompt: str | None = None,
    record_prompts: bool = True,
    caption_column: str | None = None,
    shard: str = "1/1",
) -> dict[str, Any]:
    """Draws a list of captions into `.tar` files, as webdataset has them: an image and its caption have one name.

    `keras_t2i.data` trains on them and packs them. Shard `i` holds what `generate` draws of its captions with the seed
    `seed + i`, so that the same files come of it on one machine or several. Each file takes its place when it is whole:
    started again after a kill, those that are there are left as they are.

    Args:
        model: As of `keras_t2i.tasks.drawing.generate`; so are all arguments that are not here.
        captions: The list: see `keras_t2i.data.caption_lists.read_captions`.
        output: The directory to write to, the same for all machines.
        num_images: Images of each caption.
        caption_column: Column of captions, where the list is a table.
        shard: `"I/N"`: of N machines this is number I, from 1, and draws every N-th file.

    Returns:
        How many `images` and `shards` there are of this machine's, and how many of the latter were `drawn` now.

    Raises:
        ValueError: if `captions` is no such list, `shard` no such share, `model` no model, or the directory holds
            images that were drawn otherwise.
        OSError: if something cannot be read or written.
    """
    machine, machines = _share(shard)
    listed = read_captions(captions, caption_column)
    drawer = drawer_of(model, guidance, num_steps, negative_prompt)
    described = {
        "model": drawer.fingerprint,
        "captions": hashlib.sha256("\n".join(listed).encode()).hexdigest(),
        **{"num_captions": len(listed), "num_images": num_images, "seed": seed, "truncation": truncation},
        **{"record_prompts": record_prompts, **drawer.asked},
    }
    _describe(output, described)
    warn_of_losses(drawer.reader, listed)
    each = max(1, IMAGES_PER_SHARD // num_images)
    starts = range(0, len(listed), each)
    mine = range(machine - 1, len(starts), machines)
    names = {number: f"images-{number:05d}-of-{len(starts):05d}.tar" for number in mine}
    todo = [number for number in mine if not (output / names[number]).exists()]
    with Progress(console=Console(stderr=True), disable=len(mine) == 1) as progress:
        bar = progress.add_task("Drawing", total=len(mine), completed=len(mine) - len(todo))
        for number in todo:
            some = listed[starts[number] : starts[number] + each]
            images = drawer.draw(some, num_images, seed + number, truncation)
            facts = drawer.facts(some, num_images, seed + number, truncation, record_prompts)
            with written(output / names[number]) as beside:
                write_tar(beside, _members(images, some, facts, starts[number] * num_images))
            progress.advance(bar)
    counts = [len(listed[starts[number] : starts[number] + each]) * num_images for number in mine]
    return {"images": sum(counts), "shards": len(mine), "drawn": len(todo), "output": str(output)}


def _share(shard: str) -> tuple[int, int]:
    number, _, count = shard.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise ValueError(f"`shard` must be I/N, such as 2/8 for the second of eight machines; got {shard!r}.")


def _describe(output: Path, described: Mapping[str, Any]) -> None:
    """Writes down what is drawn here, unless something else was."""
    file = output / DESCRIPTION
    if not file.exists():
        if output.exists() and (not output.is_dir() or any(map(_is_other, output.iterdir()))):
            raise ValueError(f"{output} holds something else: choose another directory, or an empty one.")
        write_file(file, json.dumps(described, indent=1))
        return
    there = read_json(file)
    if off := [name for name in {**described, **there} if described.get(name) != there.get(name)]:
        raise ValueError(
            f"{output} holds images that were drawn otherwise ({', '.join(off)}): choose another directory, or draw as "
            "was begun."
        )


def _is_other(path: Path) -> bool:
    """Whether it is not where another machine, which has begun at the same moment, writes the description."""
    return not path.name.startswith(f".{DESCRIPTION}.")


def _members(
    images: np.ndarray, captions: list[str], facts: list[dict[str, Any]], first: int
) -> Iterator[tuple[str, bytes]]:
    count = len(images) // len(captions)
    for index, image in enumerate(images):
        name = f"{first + index:09d}"
        yield f"{name}.png", png(image, facts[index])
        yield f"{name}.txt", captions[index // count].encode()
