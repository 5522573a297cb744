"""TensorFlow Datasets, built offline in a temporary directory: captioned sets, labelled sets, and clear errors."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_t2i.data import from_tfds


def png(index: int, size: tuple[int, int] = (24, 20)) -> io.BytesIO:
    file = io.BytesIO()
    Image.new("RGB", size, (20 * index, 100, 200)).save(file, "PNG")
    file.seek(0)
    return file


class _Built(tfds.core.GeneratorBasedBuilder):
    """A dataset whose examples are made up; subclasses say the features."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS: ClassVar[dict[str, int]]
    FEATURES: ClassVar[dict[str, Any]]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(self.FEATURES))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {name: self._generate_examples(count) for name, count in self.SPLITS.items()}

    def _generate_examples(self, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(count):
            yield index, self.example(index)

    def example(self, index: int) -> dict[str, Any]:
        raise NotImplementedError


class TinyCoco(_Built):
    """Features as `coco_captions` has them."""

    SPLITS: ClassVar = {"train": 9, "val": 3, "test": 2}
    FEATURES: ClassVar = {
        "image": tfds.features.Image(),
        "image/id": np.int64,
        "captions": tfds.features.Sequence({"id": np.int64, "text": np.str_}),
    }

    def example(self, index: int) -> dict[str, Any]:
        texts = [] if index == 5 else [f"image {index} is\n blue", "a picture", "a picture"]
        captions = [{"id": number, "text": text} for number, text in enumerate(texts)]
        return {"image": png(index), "image/id": index, "captions": captions}


class TinyBirds(_Built):
    """Features as labelled sets have them, with one split."""

    SPLITS: ClassVar = {"train": 20}
    FEATURES: ClassVar = {
        "image": tfds.features.Image(),
        "label": tfds.features.ClassLabel(names=["001.Black_footed_Albatross", "orange {dahlia}"]),
    }

    def example(self, index: int) -> dict[str, Any]:
        return {"image": png(index % 12), "label": index % 2}


class TinyPets(_Built):
    """Two class labels, and images of 12 bits, some of them wide; one split is brighter than the other."""

    SPLITS: ClassVar = {"train": 4, "test": 2}
    FEATURES: ClassVar = {
        "image": tfds.features.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format="png"),
        "label": tfds.features.ClassLabel(names=["beagle", "sphynx"]),
        "species": tfds.features.ClassLabel(names=["dog", "cat"]),
    }

    def _generate_examples(self, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in range(count):
            image = np.full((20, 24 if index else 60, 1), 500 if count == 2 else 4000, np.uint16)
            image[:, :11] = 0
            yield index, {"image": image, "label": index % 2, "species": index % 2}


class TinyPlain(_Built):
    """Images without captions or labels."""

    SPLITS: ClassVar = {"train": 2}
    FEATURES: ClassVar = {"image": tfds.features.Image(), "number": np.int64}

    def example(self, index: int) -> dict[str, Any]:
        return {"image": png(index), "number": index}


class TinyText(_Built):
    """Captions without images."""

    SPLITS: ClassVar = {"train": 2}
    FEATURES: ClassVar = {"text": tfds.features.Text()}

    def example(self, index: int) -> dict[str, Any]:
        return {"text": "a"}


class TinyUnprepared(TinyBirds):
    """A dataset whose source cannot be reached."""

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        raise ConnectionError("no route to the host\nwith more lines")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tfds")
    for builder in (TinyCoco, TinyBirds, TinyPets, TinyPlain, TinyText):
        builder(data_dir=directory).download_and_prepare()
    return directory


def test_captioned_set(prepared: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="images of tiny_coco cannot be used"):
        images = from_tfds("tiny_coco", 16, 2, data_dir=prepared, cache_dir=tmp_path, max_skipped_share=0.2)
    train = images.train_split
    assert train.num_images == 8
    assert images.validation_split.num_images == 3
    assert "no caption" in images.skipped[0].reason
    pixels = train.load_images(np.arange(8), np.zeros((8, 2), np.int64)).numpy()
    for ids, image in zip(train.caption_ids, pixels, strict=True):
        named, other = (train.captions[number] for number in ids)
        index = int(re.fullmatch(r"image (\d) is blue", named)[1])
        assert other == "a picture"
        np.testing.assert_allclose((image[0, 0] + 1) * 127.5, (20 * index, 100, 200), atol=1)
    sliced = from_tfds("tiny_coco", 16, 2, train="val", validation="val[:2]", data_dir=prepared, cache_dir=tmp_path)
    assert (sliced.train_split.num_images, sliced.validation_split.num_images) == (3, 2)


def test_labelled_set_through_the_template(prepared: Path, tmp_path: Path) -> None:
    images = from_tfds("tiny_birds", 16, 4, caption_template="this is a {label}", data_dir=prepared, cache_dir=tmp_path)
    assert set(images.train_split.captions) == {"this is a Black footed Albatross", "this is a orange {dahlia}"}
    assert (images.train_split.num_images, images.validation_split.num_images) == (18, 2)
    labels = images.train_split.labels[:, 0]
    for (number,), label in zip(images.train_split.caption_ids, labels, strict=True):
        assert ("Albatross" in images.train_split.captions[number]) == (label == 0)
    assert next(iter(images.train))["images"].shape == (4, 16, 16, 3)


def test_one_of_several_labels_is_said_or_named(prepared: Path, tmp_path: Path) -> None:
    common = {"data_dir": prepared, "cache_dir": tmp_path, "fit": "pad", "intensity_range": (0, 4095)}
    with pytest.warns(UserWarning, match="has the labels label, species: captions are made of 'label'"):
        images = from_tfds("tiny_pets", 16, 2, **common)
    assert set(images.train_split.captions) == {"a photo of a beagle", "a photo of a sphynx"}
    images = from_tfds("tiny_pets", 16, 2, label="species", **common)
    assert set(images.train_split.captions) == {"a photo of a dog", "a photo of a cat"}
    assert images.validation_split.num_images == 2


def test_both_splits_are_read_in_one_range_and_by_one_fit(prepared: Path, tmp_path: Path) -> None:
    common = {"data_dir": prepared, "cache_dir": tmp_path, "label": "label"}
    with pytest.warns(UserWarning, match="white|central square") as caught:
        images = from_tfds("tiny_pets", 16, 2, **common)
    said = [str(each.message) for each in caught]
    assert sum("4095 white" in each for each in said) == 1
    assert sum("1 of 4 images" in each for each in said) == sum("1 of 2 images" in each for each in said) == 1
    seen = [split.pixels(np.asarray([1]))[0, 8, -1, 0] for split in (images.train_split, images.validation_split)]
    np.testing.assert_allclose(seen, [4000 / 4095 * 255, 500 / 4095 * 255], atol=1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_such_dataset_anywhere", {}, "has no 'no_such_dataset_anywhere'"),
        ("tiny_unprepared", {}, "could not be downloaded .no route to the host.;"),
        ("tiny_plain", {}, "no caption or label feature, only image, number"),
        ("tiny_text", {}, "no image feature, only text"),
        ("tiny_birds", {"train": "practice"}, "no split 'practice.*; it has train"),
        ("tiny_birds", {"train": "train[:50%]"}, "pass validation"),
        ("tiny_birds", {"caption_template": "a photo"}, "caption_template.*'a photo'"),
        ("tiny_birds", {"validation_share": 1.5}, "validation_share.*1.5"),
        ("tiny_birds", {"image_size": 4}, "image_size.*4"),
        ("tiny_birds", {"fit": "squeeze"}, "Unknown fit 'squeeze'"),
        ("tiny_birds", {"intensity_range": (1, 0)}, "the lower first"),
        ("tiny_birds", {"label": "species"}, "label 'species': tiny_birds/1.0.0 has the labels label; leave"),
        ("tiny_coco", {"label": "species"}, "label 'species': tiny_coco/1.0.0 has captions in 'captions'"),
        ("tiny_coco", {}, "1 of 12 images of tiny_coco.*At most 5%"),
        ("tiny_coco", {"max_skipped_share": 2}, "max_skipped_share.*2"),
    ],
)
def test_errors_are_one_line(prepared: Path, tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        from_tfds(name, **{"image_size": 16, **options}, data_dir=prepared, cache_dir=tmp_path)
    assert "\n" not in str(caught.value)
