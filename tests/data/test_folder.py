"""Folders as users have them: every layout and image format read right, every unusable row counted and named."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_t2i.data import CaptionedImages, from_folder

SIZE = 16


def solid(index: int, size: tuple[int, int] = (20, 20), mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", size, (10 * index % 256, 40, 200)).convert(mode)


class Folder:
    """A folder of small images, ten good ones to start from, so that single bad rows stay below the limit."""

    def __init__(self, path: Path, good: int = 10) -> None:
        self.path = path
        path.mkdir()
        self.rows: list[Any] = []
        for index in range(good):
            self.add(f"good_{index}.png", solid(index), text=f"caption {index}")

    def add(self, name: str, image: Image.Image | bytes, row: bool = True, **columns: Any) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(image, bytes):
            file.write_bytes(image)
        else:
            image.save(file)
        if row:
            self.rows.append({"file_name": name, **columns})

    def write(self) -> Path:
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in self.rows]
        (self.path / "metadata.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        return self.path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "images")


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., CaptionedImages]:
    def load(path: Path, **options: Any) -> CaptionedImages:
        options = {"batch_size": 2, "cache_dir": tmp_path / "cache", "validation_share": 0.0, **options}
        return from_folder(path, SIZE, **options)

    return load


def pixels_of(images: CaptionedImages, caption: str) -> np.ndarray:
    """The image with this caption, in [-1, 1], read as training reads it."""
    split = images.train_split
    number = next(i for i, ids in enumerate(split.caption_ids) if caption in {split.captions[j] for j in ids})
    return split.load_images(np.asarray([number]), np.zeros((1, 2), np.int64)).numpy()[0]


def encoded(image: Image.Image, tmp_path: Path, name: str, **options: Any) -> bytes:
    image.save(tmp_path / name, **options)
    return (tmp_path / name).read_bytes()


# Layouts


def test_reads_one_caption_or_a_list_and_draws_each(folder: Folder, load: Callable[..., CaptionedImages]) -> None:
    folder.add("many.png", solid(20), text=["first  words\n", "second", "", "second"])
    images = load(folder.write())
    assert images.train_split.num_images == 11
    many = images.train_split.caption_ids[10]
    assert [images.train_split.captions[number] for number in many] == ["first words", "second"]


@pytest.mark.parametrize("column", ["text", "caption", "captions"])
def test_reads_csv_with_the_caption_column_found_by_name(
    tmp_path: Path, load: Callable[..., CaptionedImages], column: str
) -> None:
    folder = Folder(tmp_path / "csv", good=0)
    with (folder.path / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "other", column])
        for index, caption in enumerate(["plain, with comma", '["two", "captions"]', "[not json", "smörgås 🎂"]):
            folder.add(f"{index}.png", solid(index), row=False)
            table.writerow([f"{index}.png", "x", caption])
    captions = load(folder.path).train_split.captions
    assert captions == ("plain, with comma", "two", "captions", "[not json", "smörgås 🎂")


def test_named_caption_column_wins_over_the_usual_ones(folder: Folder, load: Callable[..., CaptionedImages]) -> None:
    for row in folder.rows:
        row["alt"] = "alternative " + row["text"]
    assert load(folder.write(), caption_column="alt").train_split.captions[0] == "alternative caption 0"


def test_rows_of_one_image_are_merged(folder: Folder, load: Callable[..., CaptionedImages]) -> None:
    folder.rows.append({"file_name": "./good_0.png", "text": "another view of it"})
    images = load(folder.write())
    assert images.train_split.num_images == 10
    assert not images.skipped
    assert len(images.train_split.caption_ids[0]) == 2


def test_text_files_beside_the_images(tmp_path: Path, load: Callable[..., CaptionedImages]) -> None:
    folder = Folder(tmp_path / "texts", good=0)
    for index in range(3):
        folder.add(f"train/deep/{index}.PNG", solid(index))
        (folder.path / f"train/deep/{index}.txt").write_text(f"caption {index}\n\n  another {index}\n")
    folder.add("test/9.jpg", solid(9))
    (folder.path / "test/9.txt").write_text("held out\n")
    images = load(folder.path)
    assert images.train_split.captions == tuple(f"{word} {i}" for i in range(3) for word in ("caption", "another"))
    assert images.validation_split.captions == ("held out",)


def test_without_captions_every_image_file_is_used(tmp_path: Path, load: Callable[..., CaptionedImages]) -> None:
    folder = Folder(tmp_path / "bare", good=0)
    for index in range(4):
        folder.add(f"train/deep/{index}.PNG", solid(index), row=False)
    folder.add("train/broken.jpg", b"no image", row=False)
    folder.add("valid/9.png", solid(9), row=False)
    (folder.path / "train" / "notes.md").write_text("no image either")
    with pytest.warns(UserWarning, match="train/broken.jpg"):
        images = load(folder.path, captions=False, max_skipped_share=1.0)
    assert [row.file for row in images.skipped] == ["train/broken.jpg"]
    assert images.train_split.captions == images.validation_split.captions == ("",)
    assert images.train_split.caption_ids == ((0,),) * 4
    assert images.validation_split.num_images == 1
    batch = next(iter(images.train))
    assert batch["captions"].numpy().tolist() == [b""] * 2

    with pytest.raises(ValueError, match="No captions"):
        load(folder.path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="No images") as error:
        load(tmp_path / "empty", captions=False)
    assert "\n" not in str(error.value)


def test_metadata_in_subfolders_named_after_splits(tmp_path: Path, load: Callable[..., CaptionedImages]) -> None:
    for split, count in (("train", 3), ("validation", 2)):
        (tmp_path / "set").mkdir(exist_ok=True)
        folder = Folder(tmp_path / "set" / split, good=count)
        folder.write()
    images = load(tmp_path / "set")
    assert (images.train_split.num_images, images.validation_split.num_images) == (3, 2)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"Train": 4, "dev": 2, "test": 3}, (4, 2)),
        ({"training": 4, "test": 3, "extra": 2}, (4, 3)),
        ({"train": 4, "valid": 1, "extra": 2}, (4, 1)),
        ({"train": 10}, (8, 2)),
    ],
)
def test_split_column(
    tmp_path: Path, load: Callable[..., CaptionedImages], names: dict[str, int], expected: tuple[int, int]
) -> None:
    folder = Folder(tmp_path / "splits", good=0)
    for split, count in names.items():
        for index in range(count):
            folder.add(f"{split}{index}.png", solid(index, (20, 20 + len(folder.rows))), text="a", split=split)
    left_out = pytest.warns(UserWarning, match="'extra' of 2 images") if "extra" in names else contextlib.nullcontext()
    with left_out:
        images = load(folder.write(), validation_share=0.2)
    assert (images.train_split.num_images, images.validation_split.num_images) == expected


def test_seeded_split_is_stable_disjoint_and_keeps_copies_together(
    tmp_path: Path, load: Callable[..., CaptionedImages]
) -> None:
    folder = Folder(tmp_path / "seeded", good=20)
    for index in range(20):
        folder.add(f"copy_{index}.png", solid(index), text=f"caption {index}")
    path = folder.write()
    held_out = [set(load(path, validation_share=0.25, seed=seed).validation_split.captions) for seed in (1, 1, 2)]
    assert held_out[0] == held_out[1] != held_out[2]
    images = load(path, validation_share=0.25, seed=1)
    assert images.validation_split.num_images == 10
    assert not set(images.train_split.captions) & set(images.validation_split.captions)


# Images


def test_formats_come_out_as_the_same_colour(
    folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]
) -> None:
    orange = Image.new("RGB", (24, 24), (255, 128, 0))
    folder.add("cmyk.jpg", encoded(orange.convert("CMYK"), tmp_path, "c.jpg", quality=95), text="cmyk")
    folder.add("palette.png", orange.convert("P", palette=Image.Palette.ADAPTIVE), text="palette")
    folder.add("alpha.png", Image.new("RGBA", (24, 24), (255, 0, 0, 128)), text="alpha")
    folder.add("clear.png", Image.new("RGBA", (24, 24), (0, 0, 0, 0)), text="clear")
    folder.add("gray.jpg", Image.new("L", (24, 24), 100), text="gray")
    folder.add("bilevel.png", Image.new("1", (24, 24), 1), text="bilevel")
    folder.add("deep.png", Image.fromarray(np.full((24, 24), 100 * 257, np.uint16)), text="sixteen bit")
    frames = [Image.new("RGB", (24, 24), color) for color in ((255, 128, 0), (0, 0, 255))]
    folder.add("moving.gif", encoded(frames[0], tmp_path, "m.gif", save_all=True, append_images=frames[1:]), text="gif")
    images = load(folder.write())
    assert not images.skipped
    for caption, color, tolerance in (
        ("cmyk", (255, 128, 0), 6),
        ("palette", (255, 128, 0), 1),
        ("alpha", (255, 127, 127), 1),
        ("clear", (255, 255, 255), 0),
        ("gray", (100, 100, 100), 1),
        ("bilevel", (255, 255, 255), 0),
        ("sixteen bit", (100, 100, 100), 1),
        ("gif", (255, 128, 0), 1),
    ):
        pixels = (pixels_of(images, caption) + 1) * 127.5
        np.testing.assert_allclose(pixels, np.broadcast_to(color, (SIZE, SIZE, 3)), atol=tolerance, err_msg=caption)


def test_orientation_crop_and_antialiasing(
    folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]
) -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :16], picture[:, 48:] = 255, 255  # Cropped away.
    picture[:16, 16:48, 0] = 255  # The upper half is red.
    upright = Image.fromarray(picture)
    folder.add("upright.png", upright, text="upright")
    exif = Image.Exif()
    for orientation, turn in ((6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180)):
        exif[0x0112] = orientation
        content = encoded(upright.transpose(turn), tmp_path, "t.png", exif=exif)
        folder.add(f"turned{orientation}.png", content, text=f"turned {orientation}")
    checks = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    folder.add("checks.png", Image.fromarray(checks), text="checks")
    with pytest.warns(UserWarning, match="3 of 14 images .* leaves out over a third"):
        images = load(folder.write())
    expected = pixels_of(images, "upright")
    assert expected[:6, :, 0].min() > 0.9
    assert expected.max(axis=(0, 1))[1] < -0.9
    np.testing.assert_array_equal(pixels_of(images, "turned 6"), expected)
    np.testing.assert_array_equal(pixels_of(images, "turned 3"), expected)
    assert np.abs(pixels_of(images, "checks")).max() < 0.1


def test_sixty_megapixels_are_read_and_a_bomb_is_skipped(
    folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]
) -> None:
    folder.add(
        "large.png", encoded(Image.new("L", (9_000, 6_700), 100), tmp_path, "l.png", compress_level=1), text="large"
    )
    folder.add("bomb.png", encoded(Image.new("1", (11_000, 10_000)), tmp_path, "b.png", compress_level=1), text="bomb")
    with pytest.warns(UserWarning, match="1 of 12 rows"):
        images = load(folder.write(), max_skipped_share=0.1)
    assert abs(pixels_of(images, "large") - (100 / 127.5 - 1)).max() < 0.02
    assert "110 megapixels, more than 100" in images.skipped[0].reason


# Rows that cannot be used


def bad_rows(folder: Folder, tmp_path: Path) -> list[tuple[Any, str]]:
    """Rows and what their reasons must say."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    folder.add("truncated.png", encoded(Image.fromarray(noise), tmp_path, "x.png")[:1500], row=False)
    folder.add("half.jpg", encoded(Image.fromarray(noise), tmp_path, "x.jpg")[:700], row=False)
    folder.add("nothing.png", b"", row=False)
    folder.add("page.png", b"<html>not found</html>", row=False)
    folder.add("drawing.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", row=False)
    folder.add("flip.png", solid(3), row=False)
    (tmp_path / "outside.png").write_bytes((folder.path / "flip.png").read_bytes())
    (folder.path / "link.png").symlink_to(tmp_path / "outside.png")
    (folder.path / "subfolder").mkdir()

    def image(name: Any, text: Any = "a caption") -> dict[str, Any]:
        return {"file_name": name, "text": text}

    return [
        (image("truncated.png"), "truncated.png: "),
        (image("half.jpg"), "half.jpg: "),
        (image("nothing.png"), "nothing.png: not an image"),
        (image("page.png"), "page.png: not an image"),
        (image("drawing.eps"), "drawing.eps: not an image"),
        (image("absent.png"), "'absent.png' is missing"),
        (image("x" * 5000), "cannot be opened"),
        (image("subfolder"), "not a regular file"),
        (image("../outside.png"), "leads out of the folder"),
        (image(str(tmp_path / "outside.png")), "leads out of the folder"),
        (image("link.png"), "leads out of the folder"),
        (image("flip\0.png"), "file_name"),
        (image(7), "file_name"),
        ({"text": "no file"}, "file_name"),
        (image("flip.png", ""), "empty caption"),
        (image("flip.png", []), "empty caption"),
        (image("flip.png", None), "empty caption"),
        (image("flip.png", 5), "not a text"),
        (image("flip.png", "word " * 20_000), "100,000 characters"),
        (image("flip.png", "nul\0inside"), "NUL"),
        (image("flip.png", "lone \ud83d surrogate"), "UTF-8"),
        (b'{"file_name": "flip.png", "text": "caf\xe9"}', "UTF-8"),
        (b'{"file_name": "flip.png", "text": "unclosed', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'["flip.png", "a caption"]', "not a JSON object"),
        (image("good_0.png", "caption 0"), "repeats line 1"),
    ]


def test_every_unusable_row_is_skipped_and_named(
    folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]
) -> None:
    bad = bad_rows(folder, tmp_path)
    folder.rows += [row for row, _ in bad]
    with pytest.warns(UserWarning, match=f"{len(bad)} of {len(bad) + 10} rows"):
        images = load(folder.write(), max_skipped_share=0.9)
    assert images.train_split.captions == tuple(f"caption {index}" for index in range(10))
    assert [row.line for row in images.skipped] == list(range(11, 11 + len(bad)))
    for (_, reason), row in zip(bad, images.skipped, strict=True):
        assert reason in row.reason
        assert row.file == "metadata.jsonl"
        assert len(str(row)) < 300
        str(row).encode("utf-8")


def test_too_many_unusable_rows_stop_with_one_line(
    folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]
) -> None:
    folder.rows += [row for row, _ in bad_rows(folder, tmp_path)]
    path = folder.write()
    with pytest.raises(ValueError, match=r"rows of .* cannot be used") as caught:
        load(path, max_skipped_share=0.05)
    message = str(caught.value)
    assert "\n" not in message
    assert "metadata.jsonl:16: " in message  # The first that needs no decoding to be found out.
    assert f"keras-t2i data check {path}" in message


def test_damaged_images_alone_can_stop_it(folder: Folder, load: Callable[..., CaptionedImages]) -> None:
    folder.add("nothing.png", b"", text="nothing")
    with pytest.raises(ValueError, match="1 of 11 rows"):
        load(folder.write(), max_skipped_share=0.05)


def test_csv_rows_that_cannot_be_used(tmp_path: Path, load: Callable[..., CaptionedImages]) -> None:
    folder = Folder(tmp_path / "csv", good=5)
    rows = [b"file_name,text", *(f"good_{i}.png,caption {i}".encode() for i in range(5))]
    rows += [b"good_0.png,unquoted, comma", b"good_1.png", b"good_2.png,caf\xe9", b'good_3.png,"unclosed']
    (folder.path / "metadata.csv").write_bytes(b"\n".join(rows))
    with pytest.warns(UserWarning, match="4 of 9 rows"):
        images = load(folder.path, max_skipped_share=0.5)
    reasons = [row.reason for row in images.skipped]
    assert [row.line for row in images.skipped] == [7, 8, 9, 10]
    for reason, expected in zip(reasons, ("more cells", "empty caption", "UTF-8", "not valid CSV"), strict=True):
        assert expected in reason


def test_image_without_its_text_file(tmp_path: Path, load: Callable[..., CaptionedImages]) -> None:
    folder = Folder(tmp_path / "texts", good=3)
    for index in range(2):
        (folder.path / f"good_{index}.txt").write_text("a caption")
    with pytest.warns(UserWarning, match="good_2.png: no caption file good_2.txt"):
        assert load(folder.path, max_skipped_share=0.5).train_split.num_images == 2


# Folders that cannot be used


def no_folder(path: Path) -> Path:
    return path / "absent"


def file_for_folder(path: Path) -> Path:
    (path / "file.zip").write_bytes(b"PK")
    return path / "file.zip"


def no_captions(path: Path) -> Path:
    return Folder(path / "f").path


def empty_folder(path: Path) -> Path:
    return Folder(path / "f", good=0).path


def empty_table(path: Path) -> Path:
    return Folder(path / "f", good=0).write()


def empty_csv(path: Path) -> Path:
    folder = Folder(path / "f")
    (folder.path / "metadata.csv").write_text("")
    return folder.path


def two_tables(path: Path) -> Path:
    folder = Folder(path / "f")
    (folder.path / "metadata.csv").write_text("file_name,text\n")
    return folder.write()


def no_caption_column(path: Path) -> Path:
    folder = Folder(path / "f")
    folder.rows = [{"file_name": row["file_name"], "label": 3} for row in folder.rows]
    return folder.write()


def no_file_column(path: Path) -> Path:
    folder = Folder(path / "f")
    folder.rows = [{"number": row["file_name"], "text": "a"} for row in folder.rows]
    return folder.write()


def one_image(path: Path) -> Path:
    return Folder(path / "f", good=1).write()


def no_training_split(path: Path) -> Path:
    folder = Folder(path / "f")
    for row in folder.rows:
        row["split"] = "test"
    return folder.write()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_folder, "does not exist"),
        (file_for_folder, "is a file"),
        (no_captions, "No captions in"),
        (empty_folder, "No captions in"),
        (empty_table, "has no rows"),
        (empty_csv, "has no rows"),
        (two_tables, "both metadata.jsonl and metadata.csv"),
        (no_caption_column, "No column text or caption or captions .*'label'.*pass caption_column"),
        (no_file_column, "No column file_name"),
        (one_image, "at least 2 usable training images.*train 1"),
        (no_training_split, "at least 2 usable training images.*test 10"),
    ],
)
def test_folder_that_cannot_be_used_is_a_one_line_error(
    tmp_path: Path, load: Callable[..., CaptionedImages], make: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(make(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caption_column": "legend"}, "No column legend.*'file_name', 'text'"),
        ({"validation_share": 1.0}, "validation_share.*below 1; got 1.0"),
        ({"max_skipped_share": -0.1}, "max_skipped_share.*got -0.1"),
        ({"batch_size": 0}, "batch_size.*got 0"),
    ],
)
def test_arguments_out_of_range(
    folder: Folder, load: Callable[..., CaptionedImages], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(folder.write(), **options)


@pytest.mark.parametrize("image_size", [0, 7, 5000])
def test_image_size_out_of_range(folder: Folder, image_size: int) -> None:
    with pytest.raises(ValueError, match="8 to 1024"):
        from_folder(folder.write(), image_size)


# The cache


def cache_files(tmp_path: Path) -> Sequence[Path]:
    return sorted((tmp_path / "cache").iterdir())


def test_decoded_once_and_again_after_a_change(
    folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]
) -> None:
    path = folder.write()
    before = pixels_of(load(path), "caption 0")
    (cache,) = cache_files(tmp_path)
    stamp = cache.stat().st_mtime_ns
    np.testing.assert_array_equal(pixels_of(load(path), "caption 0"), before)
    assert [file.stat().st_mtime_ns for file in cache_files(tmp_path)] == [stamp]
    Image.new("RGB", (20, 20), (0, 255, 0)).save(path / "good_0.png")
    os.utime(path / "good_0.png", ns=(0, 12345))
    assert pixels_of(load(path), "caption 0")[0, 0].tolist() == [-1, 1, -1]
    assert len(cache_files(tmp_path)) == 2


def test_damaged_cache_is_rebuilt(folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]) -> None:
    path = folder.write()
    before = pixels_of(load(path), "caption 3")
    (cache,) = cache_files(tmp_path)
    cache.write_bytes(cache.read_bytes()[:500])
    np.testing.assert_array_equal(pixels_of(load(path), "caption 3"), before)
    assert cache_files(tmp_path) == [cache]


def test_images_stay_in_memory_where_the_cache_cannot_be_written(
    folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]
) -> None:
    path = folder.write()
    expected = pixels_of(load(path), "caption 3")
    (tmp_path / "occupied").write_text("a file where the cache directory should be")
    with pytest.warns(UserWarning, match="kept in memory"):
        images = load(path, cache_dir=tmp_path / "occupied")
    np.testing.assert_array_equal(pixels_of(images, "caption 3"), expected)


def test_full_disk_leaves_no_part_behind(folder: Folder, tmp_path: Path, load: Callable[..., CaptionedImages]) -> None:
    import resource
    import signal

    path = folder.write()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(
        signal.SIGXFSZ, signal.SIG_IGN
    )  # Writing past the limit is then an OSError, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.warns(UserWarning, match="kept in memory"):
            images = load(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert images.train_split.num_images == 10
    assert not cache_files(tmp_path)


def test_real_flowers(tmp_path: Path) -> None:
    shared = Path(__file__).resolve().parents[3] / "shared" / "data" / "flowers102"
    if not shared.is_dir():
        pytest.skip("the shared flowers are not here")
    folder = tmp_path / "flowers"
    (folder / "images").mkdir(parents=True)
    with (shared / "metadata.jsonl").open(encoding="utf-8") as lines:
        rows = [next(lines) for _ in range(60)]
    for row in rows:
        name = json.loads(row)["file_name"]
        (folder / name).write_bytes((shared / name).read_bytes())
    (folder / "metadata.jsonl").write_text("".join(rows), encoding="utf-8")
    images = from_folder(folder, 32, 4, cache_dir=tmp_path / "cache")
    batch = next(iter(images.train))
    assert batch["images"].shape == (4, 32, 32, 3)
    assert not images.skipped
    assert 0.1 < float(np.std(batch["images"])) < 1.0
