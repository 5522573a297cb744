"""CachedTextEncoder: the encoder's own numbers, once computed never again, whatever happens to the files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import write_bert_preset

from keras_t2i.text import CachedTextEncoder, TextEncoder

CAPTIONS = ["a red star", "a blue circle", "a red star", "", "star \0 \ud83d"]


class CountingEncoder(TextEncoder):
    """The real encoder, which also remembers what it was asked for."""

    def encode_chunks(self, captions: Sequence[str]) -> Iterator[np.ndarray]:
        self.asked = [*getattr(self, "asked", []), *captions]
        yield from super().encode_chunks(captions)


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert_preset(tmp_path_factory.mktemp("cache") / "bert")


@pytest.fixture(scope="module")
def loaded(preset: Path) -> TextEncoder:
    return CountingEncoder.from_preset(preset)


@pytest.fixture
def encoder(loaded: CountingEncoder) -> CountingEncoder:
    loaded.asked = []
    return loaded


def test_serves_the_encoders_numbers_and_computes_each_caption_once(encoder: CountingEncoder, tmp_path: Path) -> None:
    expected = encoder.encode(CAPTIONS)
    encoder.asked = []
    first = CachedTextEncoder(encoder, tmp_path).encode(CAPTIONS)
    assert sorted(encoder.asked) == sorted(set(CAPTIONS))
    second = CachedTextEncoder(encoder, tmp_path).encode([*CAPTIONS[::-1], "a new one"])
    assert encoder.asked[4:] == ["a new one"]
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(second[:-1], expected[::-1])
    assert CachedTextEncoder(encoder, tmp_path).encode([]).shape == (0, encoder.embedding_dim)
    assert not list(tmp_path.rglob("*.part"))


def test_another_encoder_never_reads_the_same_files(encoder: CountingEncoder, preset: Path, tmp_path: Path) -> None:
    CachedTextEncoder(encoder, tmp_path).encode(CAPTIONS)
    shorter = TextEncoder.from_preset(preset, sequence_length=5)
    long = ["a large red star on the white background"]
    CachedTextEncoder(encoder, tmp_path).encode(long)
    np.testing.assert_array_equal(CachedTextEncoder(shorter, tmp_path).encode(long), shorter.encode(long))
    assert not np.array_equal(shorter.encode(long), encoder.encode(long))


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign"])
def test_a_damaged_file_is_reported_and_computed_again(encoder: CountingEncoder, tmp_path: Path, damage: str) -> None:
    expected = CachedTextEncoder(encoder, tmp_path).encode(CAPTIONS)
    (file,) = tmp_path.rglob("*.array")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes({"flip": content, "cut": content[:100], "empty": b"", "foreign": b"not an array"}[damage])
    with pytest.warns(UserWarning, match="damaged"):
        again = CachedTextEncoder(encoder, tmp_path).encode(CAPTIONS)
    np.testing.assert_array_equal(again, expected)
    encoder.asked = []
    np.testing.assert_array_equal(CachedTextEncoder(encoder, tmp_path).encode(CAPTIONS), expected)
    assert encoder.asked == []


def test_works_without_a_cache_where_it_cannot_be_written(encoder: CountingEncoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cached = CachedTextEncoder(encoder, tmp_path / "file" / "cache")
    with pytest.warns(UserWarning, match="not cached") as warnings:
        result = cached.encode(CAPTIONS)
    assert len(warnings) == 1
    cached.encode(["another"])  # a second warning would be an error here
    assert "\n" not in str(warnings[0].message)
    np.testing.assert_array_equal(result, encoder.encode(CAPTIONS))


def test_two_processes_share_a_directory(encoder: CountingEncoder, preset: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from keras_t2i.text import *;"
        "e = CachedTextEncoder(TextEncoder.from_preset(sys.argv[1]), sys.argv[2]);"
        "[e.encode([f'star {i:b}' for i in range(n, n + 40)]) for n in range(0, 200, 20)]"
    )
    command = [sys.executable, "-c", program, str(preset), str(tmp_path)]
    root = Path(__file__).parents[2]
    processes = [subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert "damaged" not in errors
    captions = [f"star {i:b}" for i in range(220)]
    encoder.asked = []
    result = CachedTextEncoder(encoder, tmp_path).encode(captions)
    assert encoder.asked == []
    np.testing.assert_array_equal(result, encoder.encode(captions))
