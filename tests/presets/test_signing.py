"""A signed preset, by the commands of the guide: it is verified, and nothing can be changed in it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "examples" / "guides" / "shipping.md"
PRESET = ROOT / "keras_t2i" / "presets" / "shapes_64"

needs_signing = pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None or shutil.which("openssl") is None,
    reason="needs keras-t2i[signing] and openssl",
)


(BLOCK,) = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
*KEY, SIGN, VERIFY = BLOCK.splitlines()


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A folder with a preset, its signature and the keys."""
    shutil.copytree(PRESET, tmp_path / "to_share")
    for line in (*KEY, SIGN):
        assert done(line, tmp_path)[0] == 0, line
    return tmp_path


def done(line: str, folder: Path) -> tuple[int, str]:
    """How a command ends, and what it complains of."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = subprocess.run(line.split(), cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    return command.returncode, command.stderr


def flip(folder: Path) -> None:
    weights = folder / "to_share" / "generator.weights.h5"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)


CHANGES = {
    "one bit": flip,
    "a file less": lambda folder: (folder / "to_share" / "README.md").unlink(),
    "a file more": lambda folder: (folder / "to_share" / "more.h5").write_bytes(b""),
    "another name": lambda folder: (folder / "to_share" / "README.md").rename(folder / "to_share" / "README"),
    "another key": lambda folder: [done(line, folder) for line in KEY],
}


@needs_signing
def test_a_signed_preset_is_verified(signed: Path) -> None:
    assert done(VERIFY, signed)[0] == 0


@needs_signing
@pytest.mark.parametrize("what", CHANGES)
def test_a_signed_preset_that_was_changed_is_not(what: str, signed: Path) -> None:
    CHANGES[what](signed)
    code, why = done(VERIFY, signed)
    assert code == 1
    assert why.startswith("Verification failed")
