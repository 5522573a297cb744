"""What a folder has and is not used is counted and shown, whatever the layout; what is read otherwise is said."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import keras_t2i
from PIL import Image

from keras_t2i.data import FolderReport, check_folder, from_folder

ROWS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., FolderReport]:
    def check(folder: Path, **options: Any) -> FolderReport:
        return check_folder(folder, 16, cache_dir=tmp_path / "cache", **options)

    return check


def images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (3 * number % 256, 90, 200)).save(folder / name, "PNG")


def table(folder: Path, name: str = "metadata.csv", header: str = "file_name,text", **changed: str) -> None:
    """A table of `ROWS` images, and those; some of the captions changed."""
    images(folder, *(f"{number}.png" for number in range(ROWS)))
    captions = {f"caption_{number}": f"caption {number}" for number in range(ROWS)} | changed
    rows = [f"{number}.png,{captions[f'caption_{number}']}" for number in range(ROWS)]
    (folder / name).write_text("\n".join([header, *rows]) + "\n")


# -- a quote too many -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "closing",
    [{}, {"caption_40": 'it says "hi"'}, {"caption_40": 'to the end"'}, {"caption_40": '"to the end"'}],
    ids=["never closed", "closed in a row", "closed at its end", "closed by the next quoted caption"],
)
def test_a_stray_quote_costs_its_own_row_alone(
    closing: dict[str, str], folder: Path, check: Callable[..., FolderReport]
) -> None:
    table(folder, caption_20='"a quote is opened', **closing)
    report = check(folder)
    assert report.num_rows == ROWS
    assert [(row.line, "a quote" in row.reason or "',' expected" in row.reason) for row in report.skipped] == [
        (22, True)
    ]
    used = {file.name: file.captions for file in report.contents.files}
    assert used.keys() == {f"{number}.png" for number in range(ROWS)} - {"20.png"}
    assert used["39.png"] == ["caption 39"]
    assert max(len(caption) for captions in used.values() for caption in captions) < 20


def test_a_caption_of_several_lines_is_one_caption(folder: Path, check: Callable[..., FolderReport]) -> None:
    table(folder, caption_20='"a caption\nof two lines, ""quoted"""', caption_21='""')
    report = check(folder)
    assert report.contents.files[20].captions == ['a caption of two lines, "quoted"']
    assert [(row.line, row.reason) for row in report.skipped] == [(24, "empty caption")]


def test_quotes_that_spoil_many_rows_stop_training(folder: Path, tmp_path: Path) -> None:
    table(folder, **{f"caption_{number}": f'"caption {number}' for number in range(0, ROWS, 10)})
    with pytest.raises(ValueError, match=f"6 of {ROWS} rows of"):
        from_folder(folder, 16, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(("separator", "called"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs")])
def test_advice_names_the_separator_of_the_table(
    separator: str, called: str, folder: Path, check: Callable[..., FolderReport]
) -> None:
    images(folder, "1.png", "2.png")
    rows = (("file_name", "text"), ("1.png", "a"), ("2.png", "one", "two"))
    (folder / "metadata.csv").write_text("\n".join(separator.join(row) for row in rows))
    (skipped,) = check(folder).skipped
    assert skipped.reason == f"more cells than columns; quote captions with {called}"


# -- images in no row -------------------------------------------------------------------------------------------------


def hidden_table(folder: Path) -> list[str]:
    images(folder, "1.png", "2.png", "more/3.png")
    (folder / "metadata.csv").write_text("file_name,text\n1.png,a\n2.png,b\n")
    (folder / "more" / "metadata.csv").write_text("file_name,text\n3.png,c\n")
    return ["more/3.png"]


def table_and_text_files(folder: Path) -> list[str]:
    images(folder, "train/1.png", "train/2.png", "test/3.png")
    (folder / "train" / "metadata.csv").write_text("file_name,text\n1.png,a\n2.png,b\n")
    (folder / "test" / "3.txt").write_text("c")
    return ["test/3.png"]


def formats_that_are_not_read(folder: Path) -> list[str]:
    images(folder, "1.png", "2.png")
    (folder / "3.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "metadata.csv").write_text("file_name,text\n1.png,a\n2.png,b\n")
    return ["3.HEIC"]


def annotations_of_some(folder: Path) -> list[str]:
    images(folder, "1.png", "2.png", "3.png")
    (folder / "captions.json").write_text('[{"image": "1.png", "caption": "a"}, {"image": "2.png", "caption": "b"}]')
    return ["3.png"]


@pytest.mark.parametrize(
    "make",
    [hidden_table, table_and_text_files, formats_that_are_not_read, annotations_of_some],
    ids=lambda make: make.__name__,
)
def test_images_in_no_row_are_counted_and_shown(
    make: Callable[[Path], list[str]], folder: Path, check: Callable[..., FolderReport], tmp_path: Path
) -> None:
    left_out = make(folder)
    report = check(folder)
    assert list(report.unnamed) == left_out == report.as_dict()["unnamed"]
    assert (report.num_images, report.skipped) == (2, ())
    told = f"1 of 3 images in {str(folder)!r} are in no row and are not used ({left_out[0]})."
    assert report.contents.notes[-1] == told
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        from_folder(folder, 16, validation_share=0.0, cache_dir=tmp_path / "cache")
    assert told in [str(warning.message) for warning in warned]


def test_a_table_that_another_hides_is_named(folder: Path, check: Callable[..., FolderReport]) -> None:
    hidden_table(folder)
    told = check(folder).contents.notes[0]
    assert told == (f"more/metadata.csv in {str(folder)!r}: not read, because metadata.csv is above.")


def test_an_image_of_a_row_that_cannot_be_used_is_counted_once(
    folder: Path, check: Callable[..., FolderReport]
) -> None:
    table(folder, caption_7="")
    report = check(folder)
    assert (len(report.skipped), report.unnamed, report.contents.notes) == (1, (), ())


def test_an_unread_format_beside_its_caption_is_a_row_that_cannot_be_used(
    folder: Path, check: Callable[..., FolderReport]
) -> None:
    images(folder, "1.png", "2.png")
    (folder / "IMG_3.heic").write_bytes(b"\0\0\0\x18ftypheic")
    for name in ("1", "2", "IMG_3"):
        (folder / f"{name}.txt").write_text("a caption")
    report = check(folder)
    assert (report.num_rows, report.num_images, report.unnamed) == (3, 2, ())
    assert [str(row) for row in report.skipped] == ["IMG_3.heic: .heic is not read here; convert it to .jpg or .png"]


def test_labels_of_detectors_are_no_captions(folder: Path, tmp_path: Path) -> None:
    images(folder, "images/1.png", "images/2.png")
    (folder / "labels").mkdir()
    for number in (1, 2):
        (folder / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.25 0.25\n17 0.1 0.2 3e-05 1\n")
    with pytest.raises(ValueError, match=r"2 of 2 rows .*images/1\.png: labels/1\.txt has numbers, and no"):
        from_folder(folder, 16, cache_dir=tmp_path / "cache")


# -- what may be read in two ways -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "row", "used", "note"),
    [
        ("file_name,caption,text", "{}.png,the caption,the text", "the text", "columns caption and text: text is used"),
        (
            "file_name,text,text",
            "{}.png,the first,the second",
            "the first",
            "columns 'text': the first of them is read",
        ),
        ("file_name,Text", "{}.png,the text", "the text", None),
    ],
)
def test_which_column_is_used_is_said(
    header: str, row: str, used: str, note: str | None, folder: Path, check: Callable[..., FolderReport]
) -> None:
    images(folder, "1.png", "2.png")
    (folder / "metadata.csv").write_text("\n".join([header, *(row.format(number) for number in (1, 2))]))
    report = check(folder)
    assert [file.captions for file in report.contents.files] == [[used]] * 2
    assert [note in told for told in report.contents.notes] == ([True] if note else [])
    assert header.split(",")[-1] in report.layout


def test_a_column_that_is_asked_for_is_no_matter_of_doubt(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "1.png", "2.png")
    (folder / "metadata.csv").write_text("file_name,caption,text\n1.png,a,b\n2.png,c,d\n")
    report = check(folder, caption_column="caption")
    assert [file.captions for file in report.contents.files] == [["a"], ["c"]]
    assert report.contents.notes == ()


def test_a_column_is_refused_where_there_is_no_table(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "1.png", "2.png")
    for number in (1, 2):
        (folder / f"{number}.txt").write_text("a")
    with pytest.raises(ValueError, match=r"No column nope in .*not in a table, but in \.txt files") as caught:
        check(folder, caption_column="nope")
    assert "\n" not in str(caught.value)


def test_text_broken_into_lines_is_suspected(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "1.png", "2.png")
    words = "a long description of what is to be seen here and there in the picture that was taken in the morning"
    (folder / "1.txt").write_text(f"{words[:61]}\n{words[62:]}\n")
    (folder / "2.txt").write_text("one\n")
    report = check(folder)
    assert report.captions_per_image == {1: 1, 2: 1}
    assert len(report.contents.notes) == 1
    assert "1 .txt files" in report.contents.notes[0]
    assert "one text broken into lines" in report.contents.notes[0]
    (folder / "1.txt").write_text("A bird of gray color stands on a branch over the water.\nIt is gray and small.\n")
    assert check(folder).contents.notes == ()


def test_both_kinds_of_text_files(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "1.png", "2.png")
    for number in (1, 2):
        (folder / f"{number}.caption").write_text("a caption")
    (folder / "1.txt").write_text("tags")
    report = check(folder)
    assert [file.captions for file in report.contents.files] == [["a caption"]] * 2
    assert "1 .txt files and 2 .caption files: .caption files are read" in report.contents.notes[0]


def test_a_name_that_may_be_two_files_is_not_guessed(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "a/1.png", "b/1.png", "b/2.png")
    (folder / "captions.csv").write_text("image,caption\n1.png,one\n2.png,two\n")
    report = check(folder)
    assert [str(row) for row in report.skipped] == [
        "captions.csv:2: '1.png' may be a/1.png or b/1.png; write its folder before it"
    ]


def test_class_folders_take_the_template(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "cat/1.png", "dog/2.png")
    report = check(folder, caption_template="one {label}")
    assert [file.captions for file in report.contents.files] == [["one cat"], ["one dog"]]
    assert "names of 2 folders are labels ('one cat', 'one dog', ...)" in report.contents.notes[0]
    with pytest.raises(ValueError, match="caption_template"):
        check(folder, caption_template="a cat")


def test_what_is_in_no_class_folder_is_named(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "train/cat/1.png", "train/dog/2.png", "test/3.png")
    report = check(folder)
    assert [str(row) for row in report.skipped] == ["test/3.png: no folder that is named after a class"]


# -- what could do harm to who reads it -------------------------------------------------------------------------------

HARM = "\x1b[31m\nred\x07"


def test_every_row_of_a_damaged_image_is_named(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "0.png")
    (folder / "1.png").write_bytes(b"no image")
    (folder / "metadata.csv").write_text("file_name,text\n1.png,a\n0.png,b\n1.png,c\n")
    report = check(folder)
    assert (report.num_rows, report.num_images) == (3, 1)
    reason = "1.png: not an image in a format that is read here"
    assert list(map(str, report.skipped)) == [f"metadata.csv:{line}: {reason}" for line in (2, 4)]


@pytest.mark.skipif(os.name == "nt", reason="no such file names there")
def test_names_of_files_are_escaped_wherever_they_are_told(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "0.png", f"{HARM}.png", f"{HARM} unnamed.png")
    (folder / f"{HARM} damaged.png").write_bytes(b"no image")
    rows = [{"file_name": name, "text": "a"} for name in ("0.png", f"{HARM}.png", f"{HARM} damaged.png")]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    report = check(folder)
    shown = "\\x1b[31m\\nred\\x07"
    assert report.num_images == 2
    assert [str(row) for row in report.skipped] == [
        f"metadata.jsonl:3: {shown} damaged.png: not an image in a format that is read here"
    ]
    assert f"({shown} unnamed.png)" in report.notices[0]
    printed = keras_t2i("data", "check", folder, "--image-size", 16)
    assert (printed.code, "\x1b" in printed.out + printed.err, "\x07" in printed.err) == (0, False, False)
    assert printed.err.splitlines()[:2] == [str(report.skipped[0]), f"Warning: {report.notices[0]}"]


@pytest.mark.skipif(os.name == "nt", reason="no such file names there")
def test_an_error_names_files_escaped(folder: Path) -> None:
    table(folder, f"{HARM}.csv")
    table(folder, "other.csv")
    printed = keras_t2i("data", "check", folder)
    assert printed.code == 2
    assert printed.err.startswith("Error: \\x1b[31m\\nred\\x07.csv, other.csv in ")
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (f"a {HARM} star", "a [31m red star"),
        ("it\x92s\x7fred", "it s red"),
        ("caf\u00e9 \u05e9\u05dc\u05d5\u05dd \U0001f469\u200d\U0001f467", None),
    ],
)
def test_captions_have_spaces_for_control_characters(
    written: str, read: str | None, folder: Path, check: Callable[..., FolderReport]
) -> None:
    images(folder, "0.png")
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "text": written}))
    assert check(folder).contents.files[0].captions == [read or written]


def test_a_caption_of_control_characters_is_empty(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "0.png")
    (folder / "metadata.jsonl").write_text(json.dumps({"file_name": "0.png", "text": "\x1b\x07"}))
    assert [row.reason for row in check(folder).skipped] == ["empty caption"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
@pytest.mark.timeout(60)
def test_pipes_are_not_read(folder: Path, check: Callable[..., FolderReport]) -> None:
    images(folder, "0.png")
    (folder / "0.txt").write_text("a star")
    for name in ("metadata.csv", "captions.csv", "train.txt", "1.png", "1.txt"):
        os.mkfifo(folder / name)
    report = check(folder)
    assert (report.num_rows, report.num_images, report.skipped) == (1, 1, ())
