"""`keras-t2i generate-shards`, with real files: nothing lost, nothing doubled, whoever draws which part."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from checks import tiny_networks
from command_line import keras_t2i
from PIL import Image

from keras_t2i import TextToImageGAN, data
from keras_t2i.core import provenance
from keras_t2i.core.files import written
from keras_t2i.tasks import drawing_many
from keras_t2i.text import TextEncoder

CAPTIONS = [f"a red circle, number {number}" for number in range(23)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shards")
    TextToImageGAN(TextEncoder.from_preset("caption_mini_en"), *tiny_networks("compact")).save_to_preset(
        place / "small"
    )
    (place / "captions.txt").write_text("\n\n".join(CAPTIONS) + "\n")
    return place


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(drawing_many, "IMAGES_PER_SHARD", 10)


def members(directory: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in sorted(directory.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert member.name not in found
                content = tar.extractfile(member)
                assert content is not None
                found[member.name] = content.read()
    return found


def test_every_image_is_there_once_and_is_what_generate_draws(place: Path) -> None:
    done = keras_t2i("generate-shards", "small", "captions.txt", "-n", 2, "--seed", 3, "-o", "drawn")
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"images": 46, "shards": 5, "drawn": 5, "output": "drawn"}
    found = members(place / "drawn")
    assert len(found) == 2 * 46
    assert [found[f"{number:09d}.txt"].decode() for number in range(46)] == [c for c in CAPTIONS for _ in range(2)]
    gan = TextToImageGAN.from_preset("small")
    last = gan.generate(CAPTIONS[20:], num_images=2, seed=3 + 4)
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(found[f"{number:09d}.png"]))) for number in range(40, 46)])
    np.testing.assert_array_equal(pixels, last)
    (place / "one.png").write_bytes(found["000000041.png"])
    recorded = provenance.inspect(place / "one.png")
    assert (recorded["prompt"], recorded["seed"], recorded["index"]) == (CAPTIONS[20], 7, 1)


def test_several_machines_and_one_that_was_killed_write_the_same_bytes(place: Path) -> None:
    command = ("generate-shards", "small", "captions.txt", "-n", 2, "--seed", 3)
    assert keras_t2i(*command, "-o", "alone").code == 0
    for number in (2, 1):
        assert keras_t2i(*command, "-o", "shared", "--shard", f"{number}/2").code == 0
    whole = {path.name: path.read_bytes() for path in (place / "alone").iterdir()}
    assert whole == {path.name: path.read_bytes() for path in (place / "shared").iterdir()}
    lost = place / "shared" / "images-00002-of-00005.tar"
    lost.unlink()
    times = {path.name: path.stat().st_mtime_ns for path in (place / "shared").glob("*.tar")}
    again = keras_t2i(*command, "-o", "shared")
    assert json.loads(again.out)["drawn"] == 1
    assert lost.read_bytes() == whole[lost.name]
    assert times == {path.name: path.stat().st_mtime_ns for path in (place / "shared").glob("*.tar") if path != lost}


def test_a_machine_that_begins_at_the_same_moment_is_not_something_else(place: Path) -> None:
    with written(place / "both" / drawing_many.DESCRIPTION) as beside:
        beside.write_text("{}")
        done = keras_t2i("generate-shards", "small", "captions.txt", "-o", "both", "--shard", "2/2")
        assert done.code == 0, done.err
        beside.write_bytes((place / "both" / drawing_many.DESCRIPTION).read_bytes())
    assert keras_t2i("generate-shards", "small", "captions.txt", "-o", "both").code == 0
    assert len(members(place / "both")) == 2 * len(CAPTIONS)


def test_what_was_drawn_is_data_to_train_on(place: Path) -> None:
    assert keras_t2i("generate-shards", "small", "captions.txt", "-o", "source").code == 0
    packed = keras_t2i("data", "pack", "source", "-o", "packed", "--image-size", 32)
    assert packed.code == 0, packed.err
    images = data.from_packed("packed", batch_size=4)
    split = images.train_split
    assert set(split.captions) <= set(CAPTIONS)
    assert split.num_images + images.validation_split.num_images == len(CAPTIONS)


def as_jsonl(place: Path) -> str:
    (place / "list.jsonl").write_text("".join(json.dumps({"id": 1, "caption": text}) + "\n" for text in CAPTIONS))
    return "list.jsonl"


def as_csv(place: Path) -> str:
    (place / "list.csv").write_text("name,text\n" + "".join(f'x,"{text}"\n' for text in CAPTIONS))
    return "list.csv"


def as_parquet(place: Path) -> str:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table({"text": CAPTIONS}), place / "list.parquet")
    return "list.parquet"


@pytest.mark.parametrize("write", [as_jsonl, as_csv, as_parquet])
def test_lists_may_be_tables(place: Path, write: Callable[[Path], str]) -> None:
    assert drawing_many.read_captions(write(place)) == CAPTIONS


@pytest.mark.parametrize(
    ("name", "content", "options", "expected"),
    [
        ("none.txt", None, (), "no file 'none.txt'"),
        ("empty.txt", "\n \n", (), "holds no caption"),
        ("list.docx", "x", (), "is no list of captions: pass a file ending in .txt, .csv, .tsv, .jsonl or .parquet"),
        ("gap.jsonl", '{"text": "a"}\n{"text": ""}\n', (), "gap.jsonl:2: empty caption: mend it or take it out"),
        ("bad.jsonl", '{"text": "a"}\n{"te\n', (), "bad.jsonl:2"),
        ("other.csv", "a,b\n1,2\n", (), "No column text or caption or"),
        ("captions.txt", None, ("--shard", "3/2"), "must be I/N"),
        ("captions.txt", None, ("--shard", "two"), "must be I/N"),
        ("captions.txt", None, ("--num-steps", 4), "draws in one pass"),
        ("captions.txt", None, ("-o", "small"), "small holds something else"),
        ("bad.parquet", "no parquet", (), "is no Parquet file"),
    ],
)
def test_bad_input_has_one_line_and_writes_nothing(
    place: Path, name: str, content: str | None, options: tuple[str, ...], expected: str
) -> None:
    if content is not None:
        (place / name).write_text(content)
    done = keras_t2i("generate-shards", "small", name, "-o", "nothing", *options)
    assert done.code == 2
    assert expected in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (place / "nothing").exists()


def test_images_that_were_drawn_otherwise_are_not_mixed_in(place: Path) -> None:
    command = ("generate-shards", "small", "captions.txt", "-o", "mixed")
    assert keras_t2i(*command, "--seed", 1).code == 0
    done = keras_t2i(*command, "--seed", 2)
    assert done.code == 2
    assert "drawn otherwise (seed)" in done.err
