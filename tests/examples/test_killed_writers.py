"""The benchmark that kills writers: nothing that this package writes is ever found half written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "killed_writers.py"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


def tried(*arguments: str) -> dict[str, list[int]]:
    """The table: a row a writer, of its events, kills, full disks and what was wrong."""
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", done.stdout, re.MULTILINE)
    assert rows, done.stderr
    assert done.returncode == 0, done.stderr
    return {name: [int(number) for number in numbers] for name, *numbers in rows}


def test_killed_and_without_room_there_is_the_old_or_the_new():
    rows = tried("--writers", "checkpoint,LoRA", "--most", "12")
    for events, killed, full, wrong in rows.values():
        assert events > 5
        assert killed >= 6
        assert (full, wrong) == (10, 0)
    assert set(rows) == {"checkpoint", "LoRA"}


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_writer_at_each_of_its_events():
    rows = tried()
    assert len(rows) == 9
    assert not any(wrong for *_, wrong in rows.values())
