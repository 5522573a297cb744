"""What a layout finds in a folder: rows as they are written, and how they were read; nothing in them is trusted yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CaptionRow", "Found", "Wanted"]


@dataclass(frozen=True)
class CaptionRow:
    """A row as written.

    Args:
        source: Name of the file that has the row, relative to the folder, and the line number if it has one.
        file_name: Image file.
        captions: One text, or a list of texts.
        split: Name of the split as a column gives it, if one does.
        directory: Where `file_name` starts from, relative to the folder.
        table_split: The split that the table's own name, or its folder's, says, if any.
        problem: Why the row could not be read; the rest is then empty.
    """

    source: tuple[str, int | None]
    file_name: Any = None
    captions: Any = None
    split: Any = None
    directory: str = ""
    table_split: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Found:
    """What a layout finds.

    Args:
        about: What was read, in a few words.
        rows: Every row.
        notes: What a user should know of how it was read, in sentences.
    """

    about: str
    rows: list[CaptionRow]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What is looked for.

    Args:
        caption_column: Column that holds the captions; `None` for the first of the usual names.
        caption_template: Caption of an image that has a label only; `{label}` stands for it.
    """

    caption_column: str | None = None
    caption_template: str = "a photo of a {label}"
