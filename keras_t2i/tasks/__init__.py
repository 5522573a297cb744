"""What a trained model can be asked, each a command: captions in, pictures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_t2i.core.tables import Table, load

__all__ = ["TASKS", "Setting", "Task"]


@dataclass(frozen=True)
class Setting:
    """An option of a task.

    Args:
        default: Its value where it is left out; the type of it is what the command line reads, unless `type` says so.
        help: In a sentence.
        least: The least number, or `None`.
        flags: Its names on the command line, where they are not made of its own.
        type: What its values are.
    """

    default: Any
    help: str
    least: float | None = None
    flags: tuple[str, ...] = ()
    type: Any = None


@dataclass(frozen=True)
class Task:
    """Something that a trained model can be asked.

    Args:
        run: A function of `model`, `captions` and `output`, and of the settings by name, that writes files into the
            directory `output` and returns what JSON can hold; or where to find it, as `"package.module:name"`.
            Where it asks about a picture, that comes second, as `picture`.
        help: What the command line says of it, in Markdown: first a line, then an empty one, then the rest.
        settings: Its options by name.
        of_picture: Whether it asks about a picture.
        of_list: Whether `captions` is a file that lists them.
    """

    run: Callable[..., dict[str, Any]] | str
    help: str
    settings: Mapping[str, Setting] = field(default_factory=dict)
    of_picture: bool = False
    of_list: bool = False

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Runs it."""
        function = load(self.run) if isinstance(self.run, str) else self.run
        return function(*args, **kwargs)


_RECORD_PROMPTS = Setting(
    True, "Whether PNG files hold their captions.", flags=("--record-prompts/--no-record-prompts",)
)

_MANNER = {
    "seed": Setting(0, "Seed of the noise.", 0),
    "truncation": Setting(1.0, "Factor on the noise: 1 for full variety, less for more typical images.", 0),
    "guidance": Setting(
        None,
        "How far to go towards the caption: 1 arrives, more goes beyond (--caption-dropout). Default: the model's.",
        0,
        type=float | None,
    ),
    "num_steps": Setting(None, "Steps of a model that draws in several. Default: the model's.", 1, type=int | None),
    "negative_prompt": Setting(
        None, "What to go away from, with a guidance above 1, in place of no caption.", type=str | None
    ),
}

TASKS: Table[Task] = Table(
    "task",
    {
        "generate": Task(
            "keras_t2i.tasks.drawing:generate",
            """Draw captions with a trained model: one PNG an image, and a grid of all.

    An image depends on its caption, its number and the seed alone. MODEL may also be a LiteRT bundle: what a phone
    would draw.

    `keras-t2i generate runs/shapes "a large red star" "a small blue ring" -n 4 --seed 1 -o pictures`
    """,
            {
                "num_images": Setting(4, "Images of each caption.", 1, ("--num-images", "-n")),
                **_MANNER,
                "record_prompts": _RECORD_PROMPTS,
            },
        ),
        "generate-shards": Task(
            "keras_t2i.tasks.drawing_many:generate_shards",
            """Draw a list of captions, however long, into .tar files: images with their captions.

    CAPTIONS is a .txt with a caption a line, or a .csv, .tsv, .jsonl or .parquet with a column of them. **data pack**
    and **train** read what is written. Killed and started again, it goes on; several machines share the work.

    `keras-t2i generate-shards runs/shapes captions.txt -n 4 --shard 2/8 -o drawn`
    """,
            {
                "num_images": Setting(1, "Images of each caption.", 1, ("--num-images", "-n")),
                **_MANNER,
                "record_prompts": _RECORD_PROMPTS,
                "caption_column": Setting(
                    None, "Column of captions. Default: text, caption, and the like.", type=str | None
                ),
                "shard": Setting("1/1", "I/N: this is machine I of N, and draws every N-th file."),
            },
            of_list=True,
        ),
        "complete": Task(
            "keras_t2i.tasks.completing:complete",
            """Draw what a picture lacks, as a caption says it: one PNG an answer, and a grid of all.

    MODEL was made by **finetune --strategy complete**: what the mask hides is drawn, and all else stays the same to the
    bit, in a picture of any size. By the strategies edges, sketch, colorize and enlarge: the picture's central square
    is drawn from its edges or its dark lines, in color, or larger, without a mask. MODEL may also be a LiteRT bundle of
    such a model.

    `keras-t2i finetune shapes_64 shapes --strategy complete --minutes 10 -o runs/complete`

    `keras-t2i complete runs/complete picture.png "a large red star" --mask mask.png -n 4 --seed 1 -o pictures`
    """,
            {
                "mask": Setting(
                    None,
                    "Picture of the same size, white where something is to be drawn. Default: where PICTURE is "
                    "transparent.",
                    type=Path | None,
                ),
                "num_images": Setting(4, "Answers to each caption.", 1, ("--num-images", "-n")),
                "seed": Setting(0, "Seed of the noise.", 0),
                "context": Setting(
                    2.0, "Side of the square around the hole that is looked at, in sides of the hole.", 1
                ),
                "search": Setting(
                    False,
                    "Fill the hole with a MODEL that was not made for it, by searching for noise that draws what is "
                    "known. It is slower, by a hundred passes forth and back.",
                    flags=("--search",),
                ),
                "record_prompts": _RECORD_PROMPTS,
            },
            of_picture=True,
        ),
    },
)
"""Every task by name: each is a command of `keras-t2i`."""
