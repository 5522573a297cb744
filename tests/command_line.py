"""The command line, run inside this process: TensorFlow is imported once for all tests."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from keras_t2i.cli import main


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be one JSON value and nothing else."""
        return json.loads(self.out)


def keras_t2i(*arguments: object) -> Result:
    """Runs `keras-t2i` with these arguments; errors that it does not answer for come through as they are."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = exit.code
    return Result(code or 0, out.getvalue(), err.getvalue())


def write_images(folder: Path, count: int = 20) -> list[dict[str, Any]]:
    """Writes small images of different colors; returns their rows, for `write_rows`."""
    folder.mkdir(parents=True)
    for number in range(count):
        image = Image.new("RGB", (40 + number % 10, 36), (10 * number, 200 - 7 * number, 50))
        left, top = 6 + 3 * (number % 6), 2 + 5 * (number // 6 % 4)
        image.paste((250, 250, 250), (left, top, left + 12, top + 12))  # No two alike, and none of one color.
        image.save(folder / f"{number}.png")
    return [{"file_name": f"{n}.png", "text": [f"picture number {n}", f"one more of {n}"]} for n in range(count)]


def write_rows(folder: Path, rows: list[dict[str, Any] | bytes]) -> Path:
    """Writes `metadata.jsonl`; bytes go there as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (folder / "metadata.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    return folder
