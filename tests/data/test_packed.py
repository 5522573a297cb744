"""Packed images: the folder's own, in memory that does not grow, whole or refused in one line."""

from __future__ import annotations

import builtins
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_t2i.core.files import write_array
from keras_t2i.data import PackedImages, from_folder, from_packed, packing, shapes
from keras_t2i.data.archives import archives_in
from keras_t2i.data.packing import pack, pack_source
from keras_t2i.data.shards import Rows, compressed
from keras_t2i.data.sources import folder_source
from keras_t2i.data.webdataset import tar_source

ROOT = Path(__file__).resolve().parents[2]
SIZE = 16


def write_images(folder: Path, count: int = 30, size: int = 20) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        Image.fromarray(random.integers(0, 256, (size, size + 4, 3), np.uint8)).save(folder / f"{number:03d}.png")
        (folder / f"{number:03d}.txt").write_text(f"picture {number}\na picture of kind {number % 5}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, text_encoder: Any) -> Path:
    """A folder of 30 images and a damaged one, packed into shards of 8 beside it."""
    place = tmp_path_factory.mktemp("packed")
    write_images(place / "images")
    (place / "images" / "bad.png").write_bytes(b"no image")
    (place / "images" / "bad.txt").write_text("bad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_SHARD_IMAGES", 8)
        with pytest.warns(UserWarning, match=r"1 of 31 rows .*bad\.png"):
            told = pack_source(folder_source(place / "images"), place / "packed", text_encoder, SIZE, workers=2)
    assert (told["train_images"], told["validation_images"], told["shards"], told["skipped_rows"]) == (27, 3, 4, 1)
    return place


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_packed_images_train_as_the_folder_does(place: Path, text_encoder: Any) -> None:
    with pytest.warns(UserWarning, match="cannot be used"):
        folder = from_folder(place / "images", SIZE, 4, seed=3, horizontal_flip=True, cache_dir=place / "cache")
    # Which images are held out follows from the seed of packing.
    with pytest.warns(UserWarning, match="cannot be used"):
        pack_source(folder_source(place / "images"), place / "third", text_encoder, SIZE, seed=3, workers=1)
    folder = folder.encode(text_encoder)
    packed = from_packed(place / "third", 4, seed=3, horizontal_flip=True).encode(text_encoder)
    assert packed.steps_per_epoch == folder.steps_per_epoch
    batches = zip(folder.train_from(5).take(12), packed.train_from(5).take(12), strict=True)
    for ours, theirs in [*batches, *zip(folder.validation, packed.validation, strict=True)]:
        assert set(ours) == set(theirs)
        np.testing.assert_array_equal(ours["images"], theirs["images"])
        np.testing.assert_allclose(ours["sentence_embeddings"], theirs["sentence_embeddings"], atol=2e-3)
    numbers = np.asarray([4, 0, 4])
    np.testing.assert_array_equal(packed.train_split.pixels(numbers), folder.train_split.pixels(numbers))
    assert [*packed.train_split.captions] == list(folder.train_split.captions)
    assert [*packed.train_split.caption_ids] == [tuple(ids) for ids in folder.train_split.caption_ids]
    assert packed.train_split.caption_ids[-1] == tuple(folder.train_split.caption_ids[-1])
    some = packed.train_split.subset(numbers)
    assert [[some.captions[i] for i in ids] for ids in some.caption_ids] == [
        [packed.train_split.captions[i] for i in packed.train_split.caption_ids[number]] for number in numbers
    ]
    np.testing.assert_array_equal(some.pixels(np.arange(3)), packed.train_split.pixels(numbers))


def test_a_row_that_cannot_be_used_is_named(place: Path) -> None:
    rows = [json.loads(line) for line in (place / "packed" / "skipped.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == ["bad.txt"]
    assert "not an image" in rows[0]["reason"]
    assert not list(place.glob("*.unfinished"))


def test_it_is_the_same_bytes_with_one_worker_and_in_place_at_once(place: Path, text_encoder: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_SHARD_IMAGES", 8)
        with pytest.warns(UserWarning, match="cannot be used"):
            pack_source(folder_source(place / "images"), place / "again", text_encoder, SIZE, workers=1)
    assert files_of(place / "again") == files_of(place / "packed")
    start = time.monotonic()
    modified = (place / "again" / "packed.json").stat().st_mtime_ns
    pack_source(folder_source(place / "images"), place / "again", text_encoder, SIZE)
    assert (place / "again" / "packed.json").stat().st_mtime_ns == modified
    assert time.monotonic() - start < 20


def test_killed_at_any_part_and_started_again_it_ends_with_the_same_bytes(place: Path, text_encoder: Any) -> None:
    class KilledError(BaseException):
        pass

    whole, times = files_of(place / "packed"), 0
    for left in range(1, 30, 3):
        count = 0

        def write(*arguments: Any, left: int = left) -> None:
            nonlocal count
            count += 1
            if count > left:
                raise KilledError
            write_array(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packing, "_SHARD_IMAGES", 8)
            patch.setattr(packing, "write_array", write)
            patch.setattr("keras_t2i.data.packed_tables.write_array", write)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    pack_source(folder_source(place / "images"), place / "killed", text_encoder, SIZE, workers=1)
            except KilledError:
                assert not (place / "killed").exists()
                times += 1
                continue
        break
    assert times >= 2
    assert files_of(place / "killed") == whole


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("shard missing", "images-00001.bin is missing"),
        ("shard cut", r"images-00001.bin has \d+ bytes, and should have"),
        ("table changed", "train-caption-ids.npy is damaged or was changed"),
        ("embeddings missing", "train-embeddings.npy is missing"),
        ("index lies", r"it should have images \{'train': 28"),
        ("index names others", "none of its files"),
        ("index is no JSON", "cannot be read as JSON"),
        ("old format", "its format is .*packed 1.*pack them again"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(place: Path, tmp_path: Path, damage: str, reason: str) -> None:
    folder = tmp_path / "packed"
    shutil.copytree(place / "packed", folder)
    index = folder / "packed.json"
    about = json.loads(index.read_text())
    if damage == "shard missing":
        (folder / "images-00001.bin").unlink()
    elif damage == "shard cut":
        os.truncate(folder / "images-00001.bin", 100)
    elif damage == "table changed":
        content = bytearray((folder / "train-caption-ids.npy").read_bytes())
        content[-1] ^= 1
        (folder / "train-caption-ids.npy").write_bytes(content)
    elif damage == "embeddings missing":
        (folder / "train-embeddings.npy").unlink()
    elif damage == "index lies":
        about["splits"]["train"] += 1
    elif damage == "index names others":
        about["files"]["../images/000.png"] = {"bytes": 1, "sha256": ""}
    elif damage == "old format":
        about["format"] = "keras_t2i packed 1"
    index.write_text("{" if damage == "index is no JSON" else json.dumps(about))
    with pytest.raises(ValueError, match=reason) as error:
        from_packed(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)


def test_a_damaged_image_is_named_when_it_is_read_and_by_verify(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "packed"
    shutil.copytree(place / "packed", folder)
    content = bytearray((folder / "images-00002.bin").read_bytes())
    content[5] ^= 255
    (folder / "images-00002.bin").write_bytes(content)
    images = PackedImages.read(folder)
    with pytest.raises(ValueError, match=r"images-00002.bin is damaged at byte 0: pack the images again"):
        images.train.images[:], images.validation.images[:]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match=r"images-00002.bin is damaged"):
        PackedImages.verify(folder)
    PackedImages.verify(place / "packed")


def test_the_text_encoder_must_be_the_one_that_it_was_packed_with(place: Path) -> None:
    from keras_t2i.text import TextEncoder

    other = TextEncoder.from_preset("caption_mini_en", sequence_length=8)
    with pytest.raises(ValueError, match="--text-encoder caption_mini_en --sequence-length 16") as error:
        from_packed(place / "packed").encode(other)
    assert "\n" not in str(error.value)


def test_rendered_images_are_packed_as_they_are(tmp_path: Path, text_encoder: Any) -> None:
    images = shapes(num_images=20, image_size=SIZE)
    told = pack(images, tmp_path / "packed", text_encoder, workers=2)
    packed = PackedImages.read(tmp_path / "packed")
    assert told["train_images"] == packed.train.num_images == 20
    np.testing.assert_array_equal(packed.train.images[:], images.train_split.pixels(np.arange(20)))
    assert packed.validation is not None


def test_rows_read_what_numpy_would(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.int32).reshape(20, 3)
    np.save(tmp_path / "a.npy", values)
    rows = Rows(tmp_path / "a.npy")
    for wanted in (3, -1, slice(2, 9), slice(9, 2, -2), np.asarray([5, 5, 1, 19]), np.asarray([[1, 2], [3, 3]])):
        np.testing.assert_array_equal(rows[wanted], values[wanted])
    np.testing.assert_array_equal(np.asarray(rows), values)
    assert rows.astype("float32").dtype == np.float32
    with pytest.raises(IndexError):
        rows[[20]]
    with open(tmp_path / "a.npy", "ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="another length"):
        Rows(tmp_path / "a.npy")


def test_an_image_inflates_to_no_more_than_an_image(tmp_path: Path) -> None:
    from keras_t2i.data.shards import _inflated

    bomb = compressed(np.zeros((1000, 1000, 3), np.uint8))
    assert len(_inflated(bomb, 100)) == 101
    assert _inflated(b"nonsense", 100) == b""


def write_tar(path: Path, files: dict[str, bytes], how: str = "w", form: int = tarfile.PAX_FORMAT) -> None:
    with tarfile.open(path, how, format=form) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_webdataset_is_packed_where_it_lies(tmp_path: Path, text_encoder: Any, form: int) -> None:
    long = "a" * 90 + "/" + "b" * 60
    files = {
        "0001.png": png(10),
        "0001.txt": b"the first\none",
        f"{long}.jpg.png": png(20),
        f"{long}.json": json.dumps({"caption": "the second", "url": "x"}).encode(),
        "0003.png": png(30),
        "0004.json": b"{}",
        "0005.png": png(50),
        "0005.json": b"[" * 100_000,
        "0006.png": b"no image",
        "0006.txt": b"the sixth",
        "0007.png": png(70),
        "0007.txt": b"the seventh",
    }
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "train-00000.tar", files, form=form)
    write_tar(tmp_path / "tars" / "val-00000.tar", {"9.png": png(90), "9.caption": b"held out"}, form=form)
    found = archives_in(tmp_path / "tars", ".tar")
    source = tar_source(tmp_path / "tars", found)
    with pytest.warns(UserWarning, match="3 of 7 rows"):
        told = pack_source(source, tmp_path / "packed", text_encoder, SIZE, max_skipped_share=0.5, workers=1)
    assert (told["train_images"], told["validation_images"], told["skipped_rows"]) == (3, 1, 3)
    packed = PackedImages.read(tmp_path / "packed")
    assert [*packed.train.captions] == ["the first", "one", "the second", "the seventh"]
    assert packed.train.images[:][:, 0, 0, 0].tolist() == [10, 20, 70]
    assert {path.name for path in tmp_path.iterdir()} == {"tars", "packed"}  # Nothing was extracted.


@pytest.mark.parametrize("damage", ["cut", "noise", "gzip", "links"])
def test_a_bad_tar_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {"1.png": bytes(5000), "1.txt": b"one"}, "w:gz" if damage == "gzip" else "w")
    if damage == "cut":
        os.truncate(path, 3000)
    elif damage == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(4096))
    elif damage == "links":
        with tarfile.open(path, "w") as tar:
            info = tarfile.TarInfo("1.png")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    reason = {"cut": "was cut", "noise": "no tar file", "gzip": "is compressed", "links": "No images in"}[damage]
    with pytest.raises(ValueError, match=reason) as error:
        tar_source(path, [path])
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_parquet_is_packed_where_it_lies(tmp_path: Path, text_encoder: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    from keras_t2i.data.parquet import parquet_source

    images = [{"bytes": png(10 * n), "path": f"{n}.png"} for n in range(6)]
    images[3] = {"bytes": b"no image", "path": "3.png"}
    texts = [f"picture {n}" for n in range(5)] + [""]
    table = pa.table({"image": images, "text": texts})
    pq.write_table(table, tmp_path / "train-00000-of-00001.parquet", row_group_size=2)
    pq.write_table(pa.table({"img": [png(200)], "caption": [["held", "out"]]}), tmp_path / "validation-0.parquet")
    files = archives_in(tmp_path, ".parquet")
    source = parquet_source(tmp_path, files)
    with pytest.warns(UserWarning, match="2 of 7 rows"):
        told = pack_source(source, tmp_path / "out" / "packed", text_encoder, SIZE, max_skipped_share=0.4, workers=1)
    assert (told["train_images"], told["validation_images"]) == (4, 1)
    packed = PackedImages.read(tmp_path / "out" / "packed")
    assert packed.train.images[:][:, 0, 0, 0].tolist() == [0, 10, 20, 40]
    assert [*packed.validation.captions] == ["held", "out"]  # type: ignore[union-attr]
    rows = [json.loads(line) for line in (tmp_path / "out" / "packed" / "skipped.jsonl").read_text().splitlines()]
    assert [(row["file"], row["line"]) for row in rows] == [(files[0].name, 4), (files[0].name, 6)]
    columns = {"image": images[:2], "caption_0": ["a dog", "a cat"], "caption_1": ["the dog", None]}
    pq.write_table(pa.table(columns), tmp_path / "numbered.parquet")
    numbered = parquet_source(tmp_path, [tmp_path / "numbered.parquet"])
    assert [item.captions for item in numbered.items] == [("a dog", "the dog"), ("a cat",)]
    (tmp_path / "cut.parquet").write_bytes(files[0].read_bytes()[:300])
    with pytest.raises(ValueError, match="no Parquet file, or damaged") as error:
        parquet_source(tmp_path, [tmp_path / "cut.parquet"])
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"No column of_mine in .*only image, text"):
        parquet_source(tmp_path, files[:1], caption_column="of_mine")


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_t2i.data.parquet import parquet_source

    imported = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "keras-t2i\[parquet\]"'):
        parquet_source(tmp_path, [tmp_path / "a.parquet"])


@pytest.mark.slow
def test_killed_by_the_system_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    write_images(tmp_path / "images", 9000, 32)
    command = [sys.executable, "-m", "keras_t2i", "data", "pack", tmp_path / "images", "--image-size", "32", "--output"]
    subprocess.run([*command, tmp_path / "whole"], check=True, cwd=ROOT)
    for seconds in (12, 20):
        process = subprocess.Popen([*command, tmp_path / "killed"], cwd=ROOT)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, tmp_path / "killed"], check=True, cwd=ROOT)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
