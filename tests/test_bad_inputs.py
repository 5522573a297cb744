"""Numbered bad inputs: each ends in one line and exit code 2, or in a counted row and the rest used; nothing lost."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from checks import tiny_gan
from command_line import Result, keras_t2i, write_images, write_rows
from PIL import Image

pytestmark = pytest.mark.usefixtures("eager_training")

resource = pytest.importorskip("resource")

GOOD = 4
Row = dict[str, Any] | bytes


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory, text_encoder: Any) -> Path:
    path = tmp_path_factory.mktemp("model") / "preset"
    tiny_gan("mlp", text_encoder).save_to_preset(path)
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a folder `images` with a few good images, and a file and a folder of the user's."""
    write_rows(tmp_path / "images", [*write_images(tmp_path / "images", GOOD)])
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine too")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(directory: Path) -> dict[Path, str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextlib.contextmanager
def full_disk(free: int) -> Iterator[None]:
    """No file may grow past `free` bytes: what a full disk looks like to a program, without filling one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_refused(result: Result, reason: str) -> None:
    assert result.code == 2, result
    assert not result.out
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("Error: ")
    assert reason in lines[0]
    assert len(lines[0]) < 600
    assert "Traceback" not in result.err


# -- folders that are no data set -------------------------------------------------------------------------------------


def no_rows(images: Path) -> None:
    (images / "metadata.jsonl").write_text("")


def no_captions(images: Path) -> None:
    (images / "metadata.jsonl").unlink()


def two_tables(images: Path) -> None:
    (images / "metadata.csv").write_text("file_name,text\n0.png,a\n")


def other_columns(images: Path) -> None:
    write_rows(images, [{"file_name": "0.png", "title": "a"}])


def only_broken_lines(images: Path) -> None:
    write_rows(images, [b"{", b"]"])


def text_files(images: Path) -> None:
    (images / "metadata.jsonl").unlink()
    for number in range(GOOD):
        (images / f"{number}.txt").write_text("a")


def packed(images: Path) -> None:
    shutil.rmtree(images)
    images.mkdir()
    (images / "00000.tar").write_bytes(b"")


class Folder(NamedTuple):
    number: int
    spoil: Callable[[Path], None]
    arguments: tuple[object, ...]
    reason: str


FOLDERS = [
    Folder(1, shutil.rmtree, (), "does not exist"),
    Folder(2, lambda images: (shutil.rmtree(images), images.write_text("x"))[0], (), "is a file"),
    Folder(3, lambda images: (shutil.rmtree(images), images.mkdir())[0], (), "No captions in"),
    Folder(4, no_captions, (), "No captions in"),
    Folder(5, no_rows, (), "has no rows"),
    Folder(6, two_tables, (), "both metadata.jsonl and metadata.csv"),
    Folder(7, other_columns, (), "No column text or caption"),
    Folder(8, lambda images: None, ("--caption-column", "nope"), "No column nope"),
    Folder(99, text_files, ("--caption-column", "nope"), "No column nope"),
    Folder(100, packed, (), "00000.tar is a tar archive"),
    Folder(9, only_broken_lines, (), "unusable"),
]


@pytest.mark.parametrize("case", FOLDERS, ids=lambda case: f"{case.number:02d}")
def test_folder_that_is_no_data_set(case: Folder, place: Path) -> None:
    case.spoil(place / "images")
    before = contents(place)
    for command in (("data", "check", "images"), ("train", "images", "-o", "run", "--family", "mlp", "--epochs", 1)):
        if case.number == 9 and command[0] == "data":
            continue  # There, naming the rows is the answer.
        result = keras_t2i(*command, *case.arguments)
        if case.number == 9:
            assert result.code == 2
            assert "2 of 2 rows" in result.err
        else:
            assert_refused(result, case.reason)
    assert contents(place) == before


# -- rows that cannot be used, and images that look as if they could not ----------------------------------------------


def png(image: Image.Image, images: Path) -> bytes:
    image.save(images.parent / "scratch.png")
    return (images.parent / "scratch.png").read_bytes()


def truncated(images: Path) -> Row:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return file(images, "bad.png", png(Image.fromarray(noise), images)[:900])


def file(images: Path, name: str, content: bytes | Image.Image, **options: Any) -> Row:
    if isinstance(content, bytes):
        (images / name).write_bytes(content)
    else:
        content.save(images / name, **options)
    return {"file_name": name, "text": "a picture"}


def caption(text: Any) -> Callable[[Path], Row]:
    return lambda images: {**file(images, "extra.png", Image.new("RGB", (30, 30), "red")), "text": text}


def outside(images: Path) -> Row:
    Image.new("RGB", (30, 30)).save(images.parent / "outside.png")
    return {"file_name": "../outside.png", "text": "a"}


def linked_outside(images: Path) -> Row:
    outside(images)
    (images / "link.png").symlink_to("../outside.png")
    return {"file_name": "link.png", "text": "a"}


def directory(images: Path) -> Row:
    (images / "folder.png").mkdir()
    return {"file_name": "folder.png", "text": "a"}


def animated(images: Path) -> Row:
    frames = [Image.new("RGB", (30, 30), color) for color in ("red", "blue", "green")]
    return file(images, "moving.gif", frames[0], save_all=True, append_images=frames[1:])


def sixteen_bits(images: Path) -> Row:
    return file(images, "deep.png", Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40))


class Extra(NamedTuple):
    number: int
    row: Callable[[Path], Row]
    reason: str | None
    """Why the row is left out; `None` where it is used like the rest."""


ROWS = [
    Extra(10, lambda images: file(images, "empty.png", b""), "not an image"),
    Extra(11, truncated, "bad.png: "),
    Extra(12, lambda images: file(images, "text.png", b"<html>not found</html>"), "not an image"),
    Extra(13, lambda images: file(images, "vector.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n"), "not an image"),
    Extra(14, lambda images: file(images, "ink.jpg", Image.new("CMYK", (40, 30), (0, 200, 200, 0))), None),
    Extra(15, sixteen_bits, None),
    Extra(16, animated, None),
    Extra(17, lambda images: file(images, "clear.png", Image.new("RGBA", (30, 30), (255, 0, 0, 0))), None),
    Extra(18, lambda images: file(images, "1x1.png", Image.new("RGB", (1, 1))), None),
    Extra(19, lambda images: file(images, "large.png", Image.new("1", (10_000, 6_000))), None),
    Extra(20, lambda images: file(images, "bomb.png", Image.new("1", (12_000, 10_000))), "megapixels"),
    Extra(21, caption(""), "empty caption"),
    Extra(22, caption(" \t"), "empty caption"),
    Extra(23, caption([]), "empty caption"),
    Extra(24, caption(None), "empty caption"),
    Extra(25, caption("long " * 20_000), "100,000 characters"),
    Extra(26, caption("a\0b"), "NUL"),
    Extra(27, caption(7), "not a text"),
    Extra(28, lambda images: b'{"file_name": "0.png", "text": "caf\xe9"}', "not valid UTF-8"),
    Extra(29, caption("half a pair \ud800"), "not valid UTF-8"),
    Extra(30, outside, "leads out of the folder"),
    Extra(31, linked_outside, "leads out of the folder"),
    Extra(32, lambda images: {"file_name": "/etc/passwd", "text": "a"}, "leads out of the folder"),
    Extra(33, lambda images: {"file_name": "0.png", "text": "picture number 0"}, "repeats line 1"),
    Extra(34, lambda images: {"file_name": "absent.png", "text": "a"}, "is missing"),
    Extra(35, directory, "not a regular file"),
    Extra(36, lambda images: {"text": "a"}, "no usable file_name"),
    Extra(37, lambda images: {"file_name": "a" * 5000, "text": "a"}, "cannot be opened"),
    Extra(38, lambda images: b'{"file_name": "0.png", "text', "not valid JSON"),
    Extra(39, lambda images: b"[1, 2]", "not a JSON object"),
]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: f"{case.number:02d}")
def test_row_is_used_or_counted(case: Extra, place: Path) -> None:
    rows: list[Row] = [json.loads(line) for line in (place / "images" / "metadata.jsonl").read_text().splitlines()]
    write_rows(place / "images", [*rows, case.row(place / "images")])
    before = contents(place)
    result = keras_t2i("data", "check", "images", "--image-size", 32)
    assert result.code == 0, result.err
    assert "Traceback" not in result.err
    report = result.json
    assert report["num_rows"] == GOOD + 1
    if case.reason is None:
        assert (report["num_images"], report["skipped"]) == (GOOD + 1, [])
    else:
        assert report["num_images"] == GOOD
        assert len(report["skipped"]) == len(result.err.splitlines()) == 1
        assert case.reason in report["skipped"][0]["reason"]
        assert report["skipped"][0]["line"] == GOOD + 1
        assert f"metadata.jsonl:{GOOD + 1}: " in result.err
    assert contents(place) == before


# -- commands ---------------------------------------------------------------------------------------------------------

TRAIN = ("train", "images", "-o", "run", "--family", "mlp", "--image-size", 32, "--batch-size", 2)


class Command(NamedTuple):
    number: int
    arguments: tuple[object, ...]
    reason: str


COMMANDS = [
    Command(40, (*TRAIN, "--image-size", 100), "100"),
    Command(41, (*TRAIN, "--image-size", 128), "128"),
    Command(42, (*TRAIN, "--family", "biggan"), "Unknown family 'biggan'"),
    Command(43, (*TRAIN, "--loss", "elo"), "Unknown loss 'elo'"),
    Command(44, (*TRAIN, "--penalty", "r3"), "Unknown penalty 'r3'"),
    Command(45, (*TRAIN, "--text-encoder", "./nowhere"), "text encoder './nowhere' cannot be loaded"),
    Command(46, (*TRAIN, "--text-encoder", "mine"), "cannot be loaded"),
    Command(47, (*TRAIN, "--minutes", 0), "--minutes"),
    Command(48, (*TRAIN, "--minutes", -3), "--minutes"),
    Command(49, (*TRAIN, "--minutes", "nan"), "minutes"),
    Command(50, (*TRAIN, "--epochs", 0), "--epochs"),
    Command(51, (*TRAIN, "--batch-size", 0), "--batch-size"),
    Command(52, (*TRAIN, "--max-skipped-share", 2), "--max-skipped-share"),
    Command(53, (*TRAIN, "--seed", -1), "--seed"),
    Command(54, (*TRAIN, "-o", "file"), "file"),
    Command(55, (*TRAIN, "-o", "file/run"), "Not a directory"),
    Command(56, ("train", "tfds:nonsense", "-o", "run", "--family", "mlp"), "'nonsense'"),
    Command(57, ("generate", "mine", "a star"), "has no preset in it"),
    Command(58, ("generate", "nowhere", "a star"), "is not a directory"),
    Command(59, ("generate", "PRESET", ""), "empty caption"),
    Command(60, ("generate", "PRESET", "fine", "long " * 20_000), "Caption 2 cannot be drawn"),
    Command(61, ("generate", "PRESET", "a\0b"), "NUL"),
    Command(62, ("generate", "PRESET", os.fsdecode(b"caf\xe9")), "not valid UTF-8"),
    Command(63, ("generate", "PRESET", "a star", "-n", 0), "--num-images"),
    Command(64, ("generate", "PRESET", "a star", "--truncation", "nan"), "truncation"),
    Command(65, ("generate", "PRESET", "a star", "--truncation", -1), "--truncation"),
    Command(66, ("generate", "PRESET", "a star", "-o", "file"), "file"),
    Command(67, ("generate", "PRESET", "a star", "-o", "file/drawn"), "Not a directory"),
    Command(68, ("export", "PRESET", "-o", "mine"), "holds other files"),
    Command(69, ("export", "PRESET", "-o", "file", "--to", "litert"), "is not a directory"),
    Command(70, ("export", "PRESET", "-o", "new", "--to", "onnx"), "--to"),
    Command(71, ("evaluate", "mine"), "is not a run"),
    Command(72, ("evaluate", "PRESET"), "not the configuration of a run"),
    Command(73, ("data", "check", "images", "--image-size", 5000), "`image_size`"),
    Command(101, ("data", "check", "shapes"), "'shapes' is no folder to check"),
    Command(74, ("data", "check", "images", "--contact-sheet", "file/sheet.png"), "cannot be written"),
    Command(75, ("quickstart", "-o", "file"), "file"),
    Command(86, ("evaluate",), "either RUN, or both --generated and --real"),
    Command(87, ("evaluate", "run", "--generated", "images", "--real", "images"), "either RUN, or both"),
    Command(88, ("evaluate", "--generated", "images"), "either RUN, or both"),
    Command(89, ("evaluate", "--generated", "mine", "--real", "images", "--features", "nowhere.npz"), "nowhere.npz"),
    Command(90, ("evaluate", "--generated", "images", "--real", "images", "--features", "none"), "pass features"),
    Command(91, ("report", "mine"), "is not a run"),
    Command(92, ("compare", "images", "--methods", "diffusion", "-o", "new"), "Unknown method 'diffusion'"),
    Command(93, ("compare", "images", "--minutes", 1, "--images", 9, "-o", "new"), "either `minutes` or `images`"),
    Command(94, ("compare", "nowhere", "--methods", "mlp", "-o", "new"), "nowhere"),
    Command(95, ("compare", "images", "--methods", "mlp", "--features", "file", "-o", "new"), "file"),
    Command(96, (*TRAIN, "--start-from", "mine"), "has no preset in it"),
    Command(97, (*TRAIN, "--start-from", "PRESET", "--image-size", 64), "cannot be started from"),
    Command(99, (*TRAIN, "--sequence-length", 513), "from 4 to 512"),
    Command(100, (*TRAIN, "--sequence-length", 3), "--sequence-length"),
    Command(101, (*TRAIN, "--max-unread-share", 2), "--max-unread-share"),
    Command(102, ("data", "check", "images", "--sequence-length", 513), "from 4 to 512"),
    Command(98, (*TRAIN, "--content-features", "nowhere.npz"), "nowhere.npz"),
]


@pytest.mark.parametrize("case", COMMANDS, ids=lambda case: f"{case.number:02d}")
def test_command_is_refused_in_one_line(case: Command, place: Path, preset: Path) -> None:
    before = contents(place)
    arguments = [preset if argument == "PRESET" else argument for argument in case.arguments]
    assert_refused(keras_t2i(*arguments), case.reason)
    assert before.items() <= contents(place).items()
    assert not (place / "run" / "checkpoints").exists()


def test_76_too_many_unusable_rows(place: Path) -> None:
    rows: list[Row] = [{"file_name": f"{number}.png", "text": "a"} for number in range(GOOD + 2)]
    write_rows(place / "images", rows)
    before = contents(place)
    assert_refused(keras_t2i(*TRAIN), "2 of 6 rows of")
    assert contents(place) == before


def test_77_damaged_preset(place: Path, preset: Path) -> None:
    shutil.copytree(preset, place / "preset")
    weights = place / "preset" / "generator.weights.h5"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    before = contents(place)
    for command in (("generate", "preset", "a star"), ("export", "preset", "-o", "new")):
        assert_refused(keras_t2i(*command), "'generator.weights.h5' does not match")
    assert contents(place) == before


def test_78_directory_of_another_run(place: Path) -> None:
    (place / "run").mkdir()
    (place / "run" / "config.json").write_text('{"family": "compact"}')
    before = contents(place)
    assert_refused(keras_t2i(*TRAIN), "run holds a run with other settings")
    assert before.items() <= contents(place).items()


def test_79_damaged_configuration(place: Path, preset: Path) -> None:
    (place / "run").mkdir()
    (place / "run" / "config.json").write_text("{")
    assert_refused(keras_t2i("evaluate", "run"), "not the configuration of a run")
    assert_refused(keras_t2i(*TRAIN), "not readable as JSON")
    assert (place / "run" / "config.json").read_text() == "{"


def test_80_full_disk_when_training_starts(place: Path) -> None:
    before = contents(place)
    with full_disk(100_000):
        result = keras_t2i(*TRAIN)
    assert_refused(result, "Could not save a checkpoint")
    assert before.items() <= contents(place).items()


@pytest.mark.parametrize(
    "command",
    [
        ("generate", "PRESET", "a star", "-o", "new"),
        ("export", "PRESET", "-o", "new"),
        ("export", "PRESET", "-o", "new", "--to", "litert"),
    ],
    ids=["81", "82", "83"],
)
def test_full_disk_leaves_nothing_half_written(command: tuple[str, ...], place: Path, preset: Path) -> None:
    before = contents(place)
    with full_disk(3_000):
        result = keras_t2i(*[preset if argument == "PRESET" else argument for argument in command])
    assert result.code == 2, result
    assert "Traceback" not in result.err
    assert result.err.splitlines()[-1].startswith("Error: ")
    assert contents(place) == before


def test_84_full_disk_spares_the_older_contact_sheet(place: Path) -> None:
    (place / "sheet.png").write_bytes(b"older")
    before = contents(place)
    keras_t2i("data", "check", "images")  # decoded images are cached while there is room
    with full_disk(3_000):
        result = keras_t2i("data", "check", "images", "--contact-sheet", "sheet.png")
    assert_refused(result, "cannot be written")
    assert contents(place) == before


def test_85_what_is_not_understood(place: Path) -> None:
    for arguments in (["nonsense"], ["train"], ["train", "images"], ["generate", "x"], ["--bogus"], ["data"]):
        assert_refused(keras_t2i(*arguments), "See --help.")


def test_batch_larger_than_the_data_is_no_error(place: Path) -> None:
    result = keras_t2i(*TRAIN, "--batch-size", 50, "--epochs", 1)
    assert (result.code, result.json["steps"]) == (0, 1)
