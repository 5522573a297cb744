"""How an option is described: once, for the command line, comparisons and pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keras_t2i.core.tables import Table

__all__ = ["ALL", "ANEW", "READ", "TAUGHT_RECONSTRUCTION", "TRAINING", "USED", "Option", "option"]

TRAINING = ("train", "finetune", "distill")
"""The commands that make a run."""
ALL = (*TRAINING, "compare")
"""The commands that train."""
ANEW = ("train", "distill", "compare")
"""Those that build networks."""
USED = (*ALL, "pack")
"""Those that use images, or refuse them."""
READ = (*USED, "check")
"""Those that read images."""
TAUGHT_RECONSTRUCTION = 20.0
"""Weight of the difference in pixels to what a teacher has drawn from the same noise."""


@dataclass(frozen=True)
class Option:
    """What an option is for people: on the command line and on pages.

    Args:
        help: In a sentence or two; `{names}` stands for the names in `table`.
        panel: The heading that help shows it under.
        commands: The commands that take it.
        table: What its value is a name in, if it is one.
        limits: The least and the greatest number, `None` for either where there is none.
        varies: Whether a variant of a method of `compare` may change it.
    """

    help: str
    panel: str = "Training"
    commands: tuple[str, ...] = ALL
    table: Table[Any] | None = None
    limits: tuple[float | None, float | None] = (None, None)
    varies: bool = False

    def text(self) -> str:
        """Its help, with the names there are."""
        return self.help.replace("{names}", ", ".join(self.table or ()))


def option(default: Any, help: str, **described: Any) -> Any:
    """A field of a dataclass with its default and, as arguments of `Option`, what it is for people."""
    return field(default=default, metadata={"option": Option(help, **described)})
