"""What is said of images before training: cut by the crop, of one color, shown twice."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from keras_t2i.data import check_folder, from_folder
from keras_t2i.data.images import Reading, decode_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(seed: int, side: int = 96) -> Image.Image:
    """Disks of chance colors on a chance background: no two seeds alike."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(random.integers(0, 256, 3).tolist()))
    for _ in range(9):
        x, y, radius = (int(random.integers(low, high)) for low, high in ((0, side), (0, side), (side // 8, side // 3)))
        color = tuple(random.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return image


class Folder:
    """A folder of captioned images, which is filled as tests need it."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, list[dict[str, Any]]()
        path.mkdir()

    def add(self, name: str, image: Image.Image, split: str = "train", **options: Any) -> None:
        image.save(self.path / name, **options)
        self.rows.append({"file_name": name, "text": f"caption of {name}", "split": split})
        (self.path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in self.rows))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "images")


@pytest.fixture
def report(folder: Folder, tmp_path: Path) -> Any:
    return lambda **options: check_folder(folder.path, 32, cache_dir=tmp_path / "cache", **options)


# Squares


def strip(width: int, height: int) -> Image.Image:
    """Red at its left or upper end, blue at the other, green between."""
    image = Image.new("RGB", (width, height), (0, 255, 0))
    along = max(width, height) // 4
    ends = ((0, 0, along, height), (width - along, 0, width, height))
    if height > width:
        ends = ((0, 0, width, along), (0, height - along, width, height))
    for box, color in zip(ends, (RED, BLUE), strict=True):
        image.paste(color, box)
    return image


def read(image: Image.Image, fit: str, size: int = 32, **options: Any) -> np.ndarray:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return decode_image(file, size, Reading(fit)).pixels.astype(int)


@pytest.mark.parametrize("size", [32, 33])
def test_what_becomes_of_an_image_that_is_not_square(size: int) -> None:
    image = strip(512, 64)
    middle = size // 2
    assert (read(image, "crop", size) == (0, 255, 0)).all()
    for fit in ("pad", "stretch"):
        pixels = read(image, fit, size)
        np.testing.assert_allclose(pixels[middle, 1], RED, atol=40)
        np.testing.assert_allclose(pixels[middle, -2], BLUE, atol=40)
        assert (pixels[0, middle] == (255 if fit == "pad" else (0, 255, 0))).all()
    padded = read(image, "pad", size)
    assert ((padded != 255).any(axis=-1).sum(axis=0) == 4).all()  # An eighth of the height, as it was.


def test_fits_are_the_same_turned_as_upright() -> None:
    exif = Image.Exif()
    for fit in ("crop", "pad", "stretch"):
        for orientation, turn in ((3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)):
            exif[0x0112] = orientation
            turned = read(strip(90, 44).transpose(turn), fit, exif=exif)
            np.testing.assert_array_equal(turned, read(strip(90, 44), fit), err_msg=f"{fit} {orientation}")


def test_images_that_lose_more_than_a_third_are_counted_and_named(folder: Folder, tmp_path: Path, report: Any) -> None:
    sizes = {"square": (60, 60), "photo": (500, 333), "cinema": (160, 90), "strip": (512, 64), "tower": (40, 200)}
    for name, size in sizes.items():
        folder.add(f"{name}.png", picture(len(name)).resize(size))
    assert report().cut == ("cinema.png", "strip.png", "tower.png")
    assert "3 of 5 images" in report().notices[0]
    with pytest.warns(UserWarning, match="3 of 5 images .* leaves out over a third .* fit 'pad'"):
        cropped = from_folder(folder.path, 32, 2, validation_share=0, cache_dir=tmp_path / "cache")
    padded = from_folder(folder.path, 32, 2, fit="pad", validation_share=0, cache_dir=tmp_path / "cache")
    assert report(fit="pad").cut == report(fit="pad").notices == ()
    numbers = np.arange(5)
    one, other = cropped.train_split.pixels(numbers), padded.train_split.pixels(numbers)
    np.testing.assert_array_equal(one[0], other[0])
    assert (other[3, 0] == 255).all()
    assert not (one[3, 0] == 255).all()  # Each fit has its own place in the cache.


def test_a_fit_that_is_not_there_is_refused(folder: Folder) -> None:
    folder.add("a.png", picture(0))
    with pytest.raises(ValueError, match=r"Unknown fit 'squeeze'\. Expected one of: crop, pad, stretch"):
        from_folder(folder.path, fit="squeeze")


# One color


def test_images_of_nearly_one_color_are_named(folder: Folder, report: Any) -> None:
    random = np.random.default_rng(0)
    folder.add("seen.png", picture(1))
    folder.add("black.png", Image.fromarray(random.integers(0, 16, (64, 64), np.uint8)))
    folder.add("gray.png", Image.new("RGB", (64, 64), (90, 90, 90)))
    line = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(line).line((5, 60, 60, 5), (0, 0, 0), 2)
    folder.add("line.png", line)
    found = report()
    assert found.one_color == ("black.png", "gray.png")
    assert "Images of nearly one color: 2 (black.png, gray.png)." in found.notices


# Copies


def test_copies_are_found_though_they_were_changed(folder: Folder, report: Any) -> None:
    for number in range(40):
        folder.add(f"{number}.png", picture(number))
    original = picture(7)
    folder.add("same.png", original)
    folder.add("mirrored.png", original.transpose(Image.Transpose.FLIP_LEFT_RIGHT), split="validation")
    folder.add("small.png", picture(8).resize((50, 50)), split="validation")
    folder.add("squeezed.jpg", picture(9), split="validation", quality=40)
    folder.add("other.png", picture(1000), split="validation")
    found = report()
    assert found.duplicates == (("7.png", "same.png"),)
    assert set(found.near_duplicates) == {
        ("7.png", "same.png", "mirrored.png"),
        ("8.png", "small.png"),
        ("9.png", "squeezed.jpg"),
    }
    assert found.crossing == ("mirrored.png", "small.png", "squeezed.jpg")
    assert any(
        "Validation images that are in training too, or nearly: 3 (mirrored.png" in line for line in found.notices
    )
    json.dumps(found.as_dict())


def test_alike_is_not_the_same(folder: Folder, report: Any) -> None:
    """Faces that differ in the mouth alone, one drawing in several colors, and another light."""
    for number in range(4):
        face = Image.new("RGB", (96, 96), "white")
        draw = ImageDraw.Draw(face)
        draw.ellipse((8, 8, 88, 88), fill=(250, 200, 60))
        for x in (32, 60):
            draw.ellipse((x, 30, x + 8, 42), fill=(40, 20, 0))
        mouth = ((30, 56, 66, 76), (40, 56, 56, 72), (30, 62, 66, 66), (30, 48, 66, 60))[number]
        draw.ellipse(mouth, fill=(40, 20, 0))
        folder.add(f"face{number}.png", face)
        hue = np.roll(np.asarray(picture(3)), number, axis=2) if number < 3 else np.asarray(picture(3)) // 2
        folder.add(f"hue{number}.png", Image.fromarray(hue))
    found = report(validation_share=0.3)
    assert found.duplicates == found.near_duplicates == found.crossing == ()


def test_copies_of_chance_sides_are_said_to_cross(folder: Folder, report: Any) -> None:
    """The share that is held out is drawn by content: near copies may come to lie on both sides."""
    for number in range(12):
        folder.add(f"{number}.png", picture(number))
        folder.add(f"{number}.jpg", picture(number), quality=60)
    for row in folder.rows:
        del row["split"]
    (folder.path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in folder.rows))
    found = report(validation_share=0.25)
    assert len(found.near_duplicates) == 12
    assert 1 <= len(found.crossing) <= found.splits["validation"] == 6
