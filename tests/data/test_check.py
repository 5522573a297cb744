"""The report on a folder says what is in it, by the rules that training follows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_t2i.data import check_folder, from_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six images (two of them the same), two captions on every other one, and three rows that cannot be used."""
    path = tmp_path / "images"
    path.mkdir()
    rows = []
    for index in range(6):
        Image.new("RGB", (40 + index, 30), (255, 50 * (index % 5), 0)).save(path / f"{index}.png")
        captions = ["one", f"caption {index}"] if index % 2 else [f"caption {index}"]
        rows.append({"file_name": f"{index}.png", "text": captions, "split": "val" if index == 4 else "train"})
    (path / "broken.png").write_bytes(b"")
    rows += [{"file_name": "broken.png", "text": "a"}, {"file_name": "absent.png", "text": "a"}]
    lines = [json.dumps(row) for row in rows]
    (path / "metadata.jsonl").write_text("\n".join([*lines[:3], "{", *lines[3:]]))
    return path


def test_report_counts_everything(folder: Path, tmp_path: Path) -> None:
    report = check_folder(folder, 16, cache_dir=tmp_path / "cache").as_dict()
    assert json.loads(json.dumps(report)) == report
    assert (report["num_rows"], report["num_images"], report["num_distinct_captions"]) == (9, 6, 7)
    assert report["splits"] == {"train": 5, "validation": 1}
    assert report["captions_per_image"] == {"1": 3, "2": 3}
    assert report["caption_characters"] == {"min": 3, "median": 9, "95%": 9, "max": 9}
    assert report["image_sizes"]["width"] == {"min": 40, "median": 42, "max": 45}
    assert report["image_sizes"]["height"] == {"min": 30, "median": 30, "max": 30}
    assert report["duplicates"] == [["0.png", "5.png"]]
    assert [(row["file"], row["line"]) for row in report["skipped"]] == [("metadata.jsonl", n) for n in (4, 8, 9)]
    assert report["skipped_share"] == pytest.approx(3 / 9)


def test_report_agrees_with_training(folder: Path, tmp_path: Path) -> None:
    report = check_folder(folder, 16, cache_dir=tmp_path / "cache")
    with pytest.warns(UserWarning, match="3 of 9 rows"):
        images = from_folder(folder, 16, 2, max_skipped_share=0.5, cache_dir=tmp_path / "cache")
    assert images.skipped == report.skipped
    assert images.train_split.num_images == report.splits["train"]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_held_out_share_is_the_one_that_training_draws(folder: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines() if line != "{"]
    lines = [json.dumps({"file_name": row["file_name"], "text": row["text"]}) for row in rows[:6]]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    (folder / "broken.png").unlink()
    report = check_folder(folder, 16, validation_share=0.3, cache_dir=tmp_path / "cache")
    images = from_folder(folder, 16, 2, validation_share=0.3, cache_dir=tmp_path / "cache")
    assert report.splits == {"train": images.train_split.num_images, "validation": images.validation_split.num_images}


def test_contact_sheet_shows_each_image_beside_its_captions(folder: Path, tmp_path: Path) -> None:
    report = check_folder(folder, 16, cache_dir=tmp_path / "cache")
    path = report.contact_sheet(tmp_path / "new" / "sheet.png")
    sheet = np.asarray(Image.open(path)).astype(int)
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]
    for index in range(6):
        color = np.asarray([255, 50 * (index % 5), 0])
        assert (np.abs(sheet - color).max(-1) <= 2).sum() >= 112 * 112, f"image {index} is not on the sheet"
    assert (sheet.max(-1) < 60).sum() > 300, "there is no dark text on the sheet"


@pytest.mark.filterwarnings("ignore:No font on this system has")
def test_contact_sheet_of_long_captions_and_few_images(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    for index, caption in enumerate(["x" * 2000, "word " * 390, "漢字 🎂 é"]):
        Image.new("L", (20, 20), 60 * index).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(caption, encoding="utf-8")
    report = check_folder(folder, 16, cache_dir=tmp_path / "cache")
    with Image.open(report.contact_sheet(tmp_path / "two.png", num_images=2)) as sheet:
        assert sheet.width < 800
    with Image.open(report.contact_sheet(tmp_path / "all.png")) as sheet:
        assert sheet.height < 150


def test_contact_sheet_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    report = check_folder(folder, 16, cache_dir=tmp_path / "cache")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written") as caught:
        report.contact_sheet(tmp_path / "file" / "sheet.png")
    assert "\n" not in str(caught.value)


def test_folder_of_only_bad_rows_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a"}\n{"file_name": "b.png", "text": "b"}\n')
    report = check_folder(folder, 16, cache_dir=tmp_path / "cache")
    assert (report.num_images, report.skipped_share, report.splits) == (0, 1.0, {})
    json.dumps(report.as_dict())
    with pytest.raises(ValueError, match="no usable image"):
        report.contact_sheet(tmp_path / "sheet.png")


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        check_folder(tmp_path / "absent")
