"""Folders as public data sets and trainers lay them out: each read with captions and splits, or refused in a line."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from keras_t2i.data import FolderReport, check_folder

Expected = dict[str, tuple[str | None, list[str]]]
"""Of each image that is used: its split, and its captions."""


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., FolderReport]:
    def check(folder: Path, **options: Any) -> FolderReport:
        return check_folder(folder, 16, validation_share=0.0, cache_dir=tmp_path / "cache", **options)

    return check


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", (20, 20), (40 * number % 256, 90, 200))
        picture.save(folder / name, "JPEG" if name.lower().endswith(("jpg", "jpeg")) else "PNG")


def write(folder: Path, name: str, *lines: str, end: str = "\n") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes("".join(line + end for line in lines).encode())


def write_csv(folder: Path, name: str, *rows: Iterable[str], delimiter: str = ",") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def found(report: FolderReport) -> Expected:
    return {file.name: (file.split, file.captions) for file in report.contents.files}


# -- layouts that are read --------------------------------------------------------------------------------------------


def huggingface_jsonl(folder: Path) -> Expected:
    images(folder, "1.png", "2.png")
    write(
        folder, "metadata.jsonl", '{"file_name": "1.png", "text": "one"}', '{"file_name": "2.png", "text": ["a", "b"]}'
    )
    return {"1.png": (None, ["one"]), "2.png": (None, ["a", "b"])}


def huggingface_csv_in_each_split(folder: Path) -> Expected:
    images(folder, "train/images/1.jpg", "test/images/1.jpg")
    for split in ("train", "test"):
        write_csv(folder, f"{split}/metadata.csv", ("file_name", "text"), ("images/1.jpg", f"one, of {split}"))
    return {f"{split}/images/1.jpg": (split, [f"one, of {split}"]) for split in ("train", "test")}


def a_column_for_each_caption(folder: Path) -> Expected:
    images(folder, "1.png", "2.png")
    rows = (("1.png", "a dog", "the dog"), ("2.png", "a cat", ""))
    write_csv(folder, "metadata.csv", ("file_name", "caption_0", "caption_1"), *rows)
    return {"1.png": (None, ["a dog", "the dog"]), "2.png": (None, ["a cat"])}


def huggingface_data_folder(folder: Path) -> Expected:
    images(folder, "data/train/1.jpg", "data/validation/2.jpg")
    for split, name in (("train", "1.jpg"), ("validation", "2.jpg")):
        write(folder, f"data/{split}/metadata.jsonl", json.dumps({"file_name": name, "caption": f"in {split}"}))
    return {"data/train/1.jpg": ("train", ["in train"]), "data/validation/2.jpg": ("validation", ["in validation"])}


def root_table_beside_split_folders(folder: Path) -> Expected:
    names = ("train/1.png", "valid/2.png", "test/3.png")
    images(folder, *names)
    write(folder, "metadata.jsonl", *(json.dumps({"file_name": name, "text": name}) for name in names))
    return {n: (split, [n]) for n, split in zip(names, ("train", "validation", "test"), strict=True)}


def split_folders_with_longer_names(folder: Path) -> Expected:
    names = ("images/train/1.png", "val2017/2.png", "test_images/3.png", "train_images/4.png")
    images(folder, *names)
    write_csv(folder, "metadata.csv", ("file_name", "text"), *((name, name) for name in names))
    splits = ("train", "validation", "test", "train")
    return {name: (split, [name]) for name, split in zip(names, splits, strict=True)}


def lists_of_names_that_two_folders_have(folder: Path) -> Expected:
    images(folder, "day/1.png", "night/1.png", "test_images/2.png", "day/2.png")
    for name in ("day/1", "night/1", "test_images/2", "day/2"):
        write(folder, f"{name}.txt", name)
    write(folder, "test.txt", "2.png", "night/1.png", "1.png")
    return {
        "day/1.png": (None, ["day/1"]),
        "day/2.png": (None, ["day/2"]),
        "night/1.png": ("test", ["night/1"]),
        "test_images/2.png": ("test", ["test_images/2"]),
    }


def coco_captions(folder: Path) -> Expected:
    images(folder, "train2017/000000000009.jpg", "train2017/000000000025.jpg", "val2017/000000000139.jpg")
    for split, numbers in (("train", (9, 25)), ("val", (139,))):
        content = {
            "info": {"year": 2017},
            "images": [{"id": n, "file_name": f"{n:012d}.jpg", "width": 20, "height": 20} for n in numbers],
            "annotations": [
                {"image_id": n, "id": 10 * n + i, "caption": f"Caption {i} of {n}."} for i in range(2) for n in numbers
            ],
        }
        write(folder, f"annotations/captions_{split}2017.json", json.dumps(content))
        boxes = {**content, "annotations": [{"image_id": n, "bbox": [0, 0, 1, 1]} for n in numbers]}
        write(folder, f"annotations/instances_{split}2017.json", json.dumps(boxes))
    captions = {n: [f"Caption {i} of {n}." for i in range(2)] for n in (9, 25, 139)}
    return {
        "train2017/000000000009.jpg": ("train", captions[9]),
        "train2017/000000000025.jpg": ("train", captions[25]),
        "val2017/000000000139.jpg": ("validation", captions[139]),
    }


def karpathy_splits(folder: Path) -> Expected:
    names = {"train": "1.jpg", "restval": "2.jpg", "val": "3.jpg", "test": "4.jpg"}
    images(folder, *(f"val2014/{name}" for name in names.values()))
    entries = [
        {"filename": name, "filepath": "val2014", "split": split, "sentences": [{"raw": f"a {split}"}, {"raw": "it"}]}
        for split, name in names.items()
    ]
    write(folder, "dataset_coco.json", json.dumps({"images": entries, "dataset": "coco"}))
    splits = {"train": "train", "restval": "train", "val": "validation", "test": "test"}
    return {f"val2014/{name}": (splits[split], [f"a {split}", "it"]) for split, name in names.items()}


def lavis_lists(folder: Path) -> Expected:
    images(folder, "images/1.jpg", "images/2.jpg")
    write(folder, "captions_train.json", json.dumps([{"image": "images/1.jpg", "caption": "one"}]))
    write(folder, "captions_test.json", json.dumps([{"image": "images/2.jpg", "caption": ["two", "both"]}]))
    return {"images/1.jpg": ("train", ["one"]), "images/2.jpg": ("test", ["two", "both"])}


def flickr8k_token_file(folder: Path) -> Expected:
    names = ("1000_a.jpg", "1001_b.jpg", "1002_c.jpg")
    images(folder, *(f"Flicker8k_Dataset/{name}" for name in names))
    rows = [f'{name}#{number}\tA "dog" , number {number} .' for name in names for number in range(2)]
    write(folder, "Flickr8k_text/Flickr8k.token.txt", *rows)
    write(folder, "Flickr8k_text/Flickr8k.lemma.token.txt", *(row.lower() for row in rows))
    write(folder, "Flickr8k_text/CrowdFlowerAnnotations.txt", "1000_a.jpg\t1001_b.jpg#2\t0\t0\t3")
    for split, name in zip(("train", "dev", "test"), names, strict=True):
        write(folder, f"Flickr8k_text/Flickr_8k.{split}Images.txt", name)
    captions = [f'A "dog" , number {number} .' for number in range(2)]
    return {
        f"Flicker8k_Dataset/{name}": (split, captions)
        for split, name in zip(("train", "validation", "test"), names, strict=True)
    }


def kaggle_captions_txt(folder: Path) -> Expected:
    images(folder, "Images/1.jpg", "Images/2.jpg")
    write(folder, "captions.txt", "image,caption", "1.jpg,A dog .", '1.jpg,"A dog , and a cat ."', "2.jpg,A boat .")
    return {"Images/1.jpg": (None, ["A dog .", "A dog , and a cat ."]), "Images/2.jpg": (None, ["A boat ."])}


def flickr30k_csv(folder: Path) -> Expected:
    images(folder, "flickr30k_images/1.jpg", "flickr30k_images/2.jpg")
    rows = ("1.jpg| 0| Two friends , outside .", '1.jpg| 1| They say "hi" .', "2.jpg| 0| A boat .")
    write(folder, "flickr30k_images/results.csv", "image_name| comment_number| comment", *rows)
    return {
        "flickr30k_images/1.jpg": (None, ["Two friends , outside .", 'They say "hi" .']),
        "flickr30k_images/2.jpg": (None, ["A boat ."]),
    }


def flickr30k_with_lists_of_captions(folder: Path) -> Expected:
    images(folder, "flickr30k-images/1.jpg", "flickr30k-images/2.jpg")
    rows = (('["Two friends.", "A yard."]', "train", "1.jpg"), ('["A boat."]', "val", "2.jpg"))
    write_csv(folder, "flickr_annotations_30k.csv", ("raw", "split", "filename"), *rows)
    return {
        "flickr30k-images/1.jpg": ("train", ["Two friends.", "A yard."]),
        "flickr30k-images/2.jpg": ("validation", ["A boat."]),
    }


def a_table_for_each_split(folder: Path) -> Expected:
    images(folder, "images/1.png", "images/2.png")
    write_csv(folder, "train.csv", ("filename", "caption"), ("1.png", "one"))
    write_csv(folder, "test.csv", ("filename", "caption"), ("2.png", "two"))
    return {"images/1.png": ("train", ["one"]), "images/2.png": ("test", ["two"])}


def kohya_captions(folder: Path) -> Expected:
    images(folder, "img/10_sks dog/1.png", "img/10_sks dog/2.webp")
    for number in (1, 2):
        write(folder, f"img/10_sks dog/{number}.caption", f"sks dog, number {number}")
    return {f"img/10_sks dog/{name}": (None, [f"sks dog, number {name[0]}"]) for name in ("1.png", "2.webp")}


def text_files_beside_images(folder: Path) -> Expected:
    images(folder, "1.jpg", "2.JPG")
    write(folder, "1.txt", "one", "another of one", end="\r\n")
    write(folder, "2.txt", "two")
    return {"1.jpg": (None, ["one", "another of one"]), "2.JPG": (None, ["two"])}


def img2dataset_files(folder: Path) -> Expected:
    for number in range(2):
        images(folder, f"00000/00000000{number}.jpg")
        write(folder, f"00000/00000000{number}.txt", f"caption {number}")
        write(folder, f"00000/00000000{number}.json", json.dumps({"caption": f"caption {number}", "status": "success"}))
    write(folder, "00000.parquet", "PAR1")
    write(folder, "00000_stats.json", "{}")
    return {f"00000/00000000{number}.jpg": (None, [f"caption {number}"]) for number in range(2)}


def birds_with_ten_captions(folder: Path) -> Expected:
    name = "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18"
    other = "002.Laysan_Albatross/Laysan_Albatross_0002_1027"
    images(folder, f"images/{name}.jpg", f"images/{other}.jpg")
    for each in (name, other):
        write(folder, f"text_c10/{each}.txt", "this bird is gray .", f"a bird of {each[:3]} .")
    write(folder, "images.txt", f"1 {name}.jpg", f"2 {other}.jpg")
    write(folder, "train_test_split.txt", "1 1", "2 0")
    return {
        f"images/{name}.jpg": ("train", ["this bird is gray .", "a bird of 001 ."]),
        f"images/{other}.jpg": ("test", ["this bird is gray .", "a bird of 002 ."]),
    }


def flowers_with_ten_captions(folder: Path) -> Expected:
    for number, kind in ((1, 77), (2, 12)):
        images(folder, f"jpg/image_{number:05d}.jpg")
        write(folder, f"text_c10/class_{kind:05d}/image_{number:05d}.txt", "this flower is red", f"kind {kind}")
    write(folder, "trainclasses.txt", "class_00077")
    return {
        f"jpg/image_{number:05d}.jpg": (None, ["this flower is red", f"kind {kind}"])
        for number, kind in ((1, 77), (2, 12))
    }


def birds_with_labels_only(folder: Path) -> Expected:
    names = ("001.Black_footed_Albatross/1.jpg", "002.Laysan_Albatross/2.jpg")
    images(folder, *(f"CUB_200_2011/images/{name}" for name in names))
    write(folder, "CUB_200_2011/images.txt", *(f"{n} {name}" for n, name in enumerate(names, start=1)))
    write(folder, "CUB_200_2011/train_test_split.txt", "1 0", "2 1")
    return {
        f"CUB_200_2011/images/{names[0]}": ("test", ["a photo of a Black footed Albatross"]),
        f"CUB_200_2011/images/{names[1]}": ("train", ["a photo of a Laysan Albatross"]),
    }


def class_folders(folder: Path) -> Expected:
    names = ("train/cat/1.jpg", "train/hot_dog/1.jpg", "val/cat/1.jpg", "train/train/1.jpg")
    images(folder, *names)
    labels = ("cat", "hot dog", "cat", "train")
    splits = ("train", "train", "validation", "train")
    return {n: (s, [f"a photo of a {label}"]) for n, s, label in zip(names, splits, labels, strict=True)}


def imagenet_with_words(folder: Path) -> Expected:
    images(folder, "train/n01440764/n01440764_1.JPEG", "train/n01443537/images/n01443537_0.JPEG")
    write(folder, "LOC_synset_mapping.txt", "n01440764 tench, Tinca tinca", "n01443537 goldfish, Carassius auratus")
    return {
        "train/n01440764/n01440764_1.JPEG": ("train", ["a photo of a tench"]),
        "train/n01443537/images/n01443537_0.JPEG": ("train", ["a photo of a goldfish"]),
    }


def semicolons_from_a_spreadsheet(folder: Path) -> Expected:
    images(folder, "1.png", "2.png")
    rows = ("file_name;text", "1.png;red, and round", "2.png;blau")
    (folder / "metadata.csv").write_bytes("\r\n".join(rows).encode("utf-8-sig"))
    return {"1.png": (None, ["red, and round"]), "2.png": (None, ["blau"])}


def tabs_in_utf16(folder: Path) -> Expected:
    images(folder, "1.png", "2.png")
    (folder / "captions.tsv").write_bytes("File_Name\tCaption\n1.png\tred, and; round\n2.png\té\n".encode("utf-16"))
    return {"1.png": (None, ["red, and; round"]), "2.png": (None, ["é"])}


def no_header(folder: Path) -> Expected:
    images(folder, "pictures/1.png", "pictures/2.png")
    write(folder, "captions.csv", 'pictures/1.png,"red, and round"', "2.png,blue")
    return {"pictures/1.png": (None, ["red, and round"]), "pictures/2.png": (None, ["blue"])}


def windows_paths(folder: Path) -> Expected:
    images(folder, "train/1.png", "test/2.png")
    write_csv(folder, "metadata.csv", ("file_name", "text"), (r"train\1.png", "one"), (r".\test\2.png", "two"))
    return {"train/1.png": ("train", ["one"]), "test/2.png": ("test", ["two"])}


def lists_as_pandas_and_numpy_write_them(folder: Path) -> Expected:
    images(folder, "1.png", "2.png", "3.png")
    rows = (("1.png", """['a dog', "the dog's"]"""), ("2.png", "['a cat'\n 'it sits']"), ("3.png", "['not] a list"))
    write_csv(folder, "metadata.csv", ("file_name", "text"), *rows)
    return {
        "1.png": (None, ["a dog", "the dog's"]),
        "2.png": (None, ["a cat", "it sits"]),
        "3.png": (None, ["['not] a list"]),
    }


def what_systems_leave_behind(folder: Path) -> Expected:
    images(folder, "1.png", "._1.png", "__MACOSX/._2.png", "__MACOSX/2.png", ".ipynb_checkpoints/1-checkpoint.png")
    images(folder, "2.png")
    for name in ("1.txt", "2.txt", "._1.txt", ".ipynb_checkpoints/1-checkpoint.txt"):
        write(folder, name, f"caption of {name}")
    return {f"{number}.png": (None, [f"caption of {number}.txt"]) for number in (1, 2)}


READ = [
    huggingface_jsonl,
    huggingface_csv_in_each_split,
    a_column_for_each_caption,
    huggingface_data_folder,
    root_table_beside_split_folders,
    split_folders_with_longer_names,
    lists_of_names_that_two_folders_have,
    coco_captions,
    karpathy_splits,
    lavis_lists,
    flickr8k_token_file,
    kaggle_captions_txt,
    flickr30k_csv,
    flickr30k_with_lists_of_captions,
    a_table_for_each_split,
    kohya_captions,
    text_files_beside_images,
    img2dataset_files,
    birds_with_ten_captions,
    flowers_with_ten_captions,
    birds_with_labels_only,
    class_folders,
    imagenet_with_words,
    semicolons_from_a_spreadsheet,
    tabs_in_utf16,
    no_header,
    windows_paths,
    lists_as_pandas_and_numpy_write_them,
    what_systems_leave_behind,
]


@pytest.mark.parametrize("make", READ, ids=lambda make: make.__name__)
def test_layout_is_read_right(
    make: Callable[[Path], Expected], folder: Path, check: Callable[..., FolderReport]
) -> None:
    expected = make(folder)
    report = check(folder)
    assert found(report) == expected
    assert (report.skipped, report.unnamed) == ((), ())
    assert report.num_images == len(expected)
    labelled = report.layout.startswith("names of")
    assert len(report.contents.notes) == labelled, report.contents.notes


# -- layouts that are refused -----------------------------------------------------------------------------------------


def zipped(folder: Path) -> None:
    images(folder, "inside/1.png")
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        archive.write(folder / "inside" / "1.png", "1.png")
    shutil.rmtree(folder / "inside")
    write_csv(folder, "metadata.csv", ("file_name", "text"), ("1.png", "one"))


def webdataset(folder: Path) -> None:
    images(folder, "inside/1.jpg")
    for number in range(2):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as archive:
            archive.add(folder / "inside" / "1.jpg", "1.jpg")
    shutil.rmtree(folder / "inside")
    write(folder, "00000.parquet", "PAR1")


def tfds_prepared(folder: Path) -> None:
    write(folder, "dataset_info.json", "{}")
    write(folder, "tiny-train.tfrecord-00000-of-00001", "")


class Refused(NamedTuple):
    name: str
    make: Callable[[Path], None]
    message: str


def made(*names: str, **files: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        images(folder, *names)
        for name, text in files.items():
            write(folder, name, text)

    return make


REFUSED = [
    Refused("zip", zipped, r"photos.zip is an archive; unpack it"),
    Refused("webdataset", webdataset, r"00000\.tar is a tar archive.*pass it to 'keras-t2i data pack'"),
    Refused(
        "parquet",
        made(**{"data/train-00000-of-00001.parquet": "PAR1"}),
        "is a Parquet table; pass it to 'keras-t2i data pack'",
    ),
    Refused("metadata.parquet", made("1.png", "b/2.png", **{"metadata.parquet": "PAR1"}), "metadata.parquet is a Parq"),
    Refused(
        "data pack",
        made(**{"packed.json": "{}", "train-text.npz": ""}),
        "is what data pack has written; pass it to train",
    ),
    Refused("save_to_disk", made(**{"data-00000-of-00001.arrow": ""}), "is an Arrow table"),
    Refused("prepared TFDS", tfds_prepared, "TensorFlow records; pass tfds:NAME"),
    Refused("nothing but images", made("train/1.png", "test/2.png"), "No captions in .*the guide on data lists"),
    Refused("labels", made("1.png", "2.png", **{"labels.csv": "1.png,3\n2.png,4"}), "No captions in .*but labels.csv"),
    Refused("other columns", made("1.png", **{"x.csv": "image,title\n1.png,a"}), "but x.csv: .* pass caption_column"),
    Refused("wnids", made("n01440764/1.JPEG", "n01443537/2.JPEG"), r"names of WordNet \(n01440764.*LOC_synset_mapping"),
    Refused(
        "two tables of one kind",
        made("1.png", **{"a.csv": "image,caption\n1.png,a", "b.csv": "image,caption\n1.png,b"}),
        "a.csv, b.csv in .* each have captions: keep one",
    ),
    Refused(
        "COCO, half", made("1.png", **{"captions_train2017.json": '{"images": ['}), "captions_train2017.json in .*JSON"
    ),
    Refused(
        "COCO without its images",
        made(
            "other.png",
            **{"captions.json": '[{"image": "1.jpg", "caption": "a"}]'},
        ),
        "None of the images that captions.json names is in",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_layout_is_refused_in_one_line(case: Refused, folder: Path, check: Callable[..., FolderReport]) -> None:
    case.make(folder)
    with pytest.raises(ValueError, match=case.message) as caught:
        check(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_an_archive_for_a_folder(folder: Path, check: Callable[..., FolderReport]) -> None:
    zipped(folder)
    with pytest.raises(ValueError, match=r"photos.zip' is a file, an archive; unpack it\.$"):
        check(folder / "photos.zip")
