"""Captioned images from TensorFlow Datasets: captioned sets as they are, labelled ones through a caption template."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from keras_t2i.data.decoded import decoded_images, open_bytes, pixel_loader
from keras_t2i.data.images import Reading, window
from keras_t2i.data.labels import check_caption_template, label_caption
from keras_t2i.data.looks import found_intensities, notices
from keras_t2i.data.pipeline import CaptionedImages
from keras_t2i.data.rows import SkippedRow
from keras_t2i.data.split import Split
from keras_t2i.data.tables import CAPTION_COLUMNS

__all__ = ["from_tfds"]

_VALIDATION_NAMES = ("validation", "valid", "val", "dev", "test")


def from_tfds(
    name: str,
    image_size: int = 64,
    batch_size: int = 32,
    *,
    caption_template: str = "a photo of a {label}",
    label: str | None = None,
    fit: str = "crop",
    intensity_range: tuple[float, float] | None = None,
    train: str = "train",
    validation: str | None = None,
    validation_share: float = 0.1,
    horizontal_flip: bool = False,
    seed: int = 0,
    max_skipped_share: float = 0.05,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> CaptionedImages:
    """Reads captioned images from a TensorFlow dataset, downloading it first where it is not yet prepared.

    Captions come from the feature `captions`, `caption` or `text` (one text, a list, or a list of entries with a
    `text`, as in `coco_captions`). A set without captions but with a class label (`oxford_flowers102`,
    `caltech_birds2011`) gets one caption an image from the template; its label names lose leading numbers and
    underscores (`001.Black_footed_Albatross` becomes `Black footed Albatross`), and the labels are kept in
    `Split.labels`. Where a set has several class labels, a warning says of which the captions are made.

    Images are made square, resized and cached as `from_folder` does; those without a caption or that cannot be decoded
    are left out, counted in a warning and named in `CaptionedImages.skipped`, by split and number.

    Args:
        name: Name of the dataset, with configuration and version where wanted, such as `"coco_captions/2017"`.
        image_size: Height and width in pixels, 8 to 1024.
        batch_size: Images in a batch.
        caption_template: Caption of a labelled image; `{label}` stands for the label's name.
        label: Class label that captions are made of in a set without captions; by default its first.
        fit: As for `from_folder`.
        intensity_range: As for `from_folder`; by default what suits the training images, for all.
        train: Split to train on; slices such as `"train[:80%]"` too.
        validation: Held-out split; by default the first present of `validation`, `valid`, `val`, `dev` and `test`.
        validation_share: Share of the training split held out where there is no other, in [0, 1).
        horizontal_flip: Whether to mirror half of the training images.
        seed: Seed of order and captions drawn.
        max_skipped_share: Share of images, in [0, 1], that may be unusable before reading stops with an error.
        data_dir: Where prepared datasets are; by default TensorFlow Datasets' own directory.
        cache_dir: Where decoded images are kept; by default `keras_t2i` in the user's cache directory.

    Raises:
        ValueError: if the dataset is unknown, can be neither found nor downloaded, has no such split or label, no
            images, too many that cannot be used, or neither captions nor labels, or an argument is out of range.
    """
    check_caption_template(caption_template)
    if not 8 <= image_size <= 1024:
        raise ValueError(f"`image_size` must be 8 to 1024 pixels; got {image_size}.")
    if not 0 <= validation_share < 1:
        raise ValueError(f"`validation_share` must be a share, at least 0 and below 1; got {validation_share}.")
    if not 0 <= max_skipped_share <= 1:
        raise ValueError(f"`max_skipped_share` must be a share, at least 0 and at most 1; got {max_skipped_share}.")
    reading = Reading(fit, intensity_range)
    builder = _prepared_builder(name, data_dir)
    train, validation = _split_names(builder, train, validation, validation_share)
    read = _Reader(builder, caption_template, label, image_size, reading, cache_dir)
    train_split, skipped = read.split(train)
    validation_split, more_skipped = read.split(validation) if validation else (None, ())
    skipped += more_skipped
    if skipped:
        count = len(skipped) + sum(split.num_images for split in (train_split, validation_split) if split)
        summary = f"{len(skipped)} of {count} images of {name} cannot be used (first: {skipped[0]})"
        if len(skipped) > max_skipped_share * count:
            raise ValueError(f"{summary}. At most {max_skipped_share:.0%} may be so (`max_skipped_share`).")
        warnings.warn(f"{summary}; all are named in `.skipped`.", stacklevel=2)
    for notice in read.notices:
        warnings.warn(notice, stacklevel=2)
    return CaptionedImages(
        train_split,
        validation_split,
        image_size,
        batch_size,
        horizontal_flip=horizontal_flip,
        seed=seed,
        name=name,
        skipped=skipped,
    )


class _Reader:
    """Reads splits of one prepared dataset."""

    def __init__(
        self,
        builder: Any,
        caption_template: str,
        label: str | None,
        image_size: int,
        reading: Reading,
        cache_dir: str | os.PathLike[str] | None,
    ) -> None:
        import tensorflow_datasets as tfds

        self.builder, self.image_size, self.reading, self.cache_dir = builder, image_size, reading, cache_dir
        self.notices: tuple[str, ...] = ()
        features = builder.info.features
        fields = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
        self.image = next((name for name, feature in fields.items() if isinstance(feature, tfds.features.Image)), None)
        self.text = next((name for name in ("captions", *CAPTION_COLUMNS) if name in fields), None)
        labels = [name for name, feature in fields.items() if isinstance(feature, tfds.features.ClassLabel)]
        if label is not None and (label not in labels or self.text is not None):
            has = f"captions in {self.text!r}" if self.text else f"the labels {', '.join(labels) or 'none'}"
            raise ValueError(
                f"No captions can be made of the label {label!r}: {builder.info.full_name} has {has}; leave `label` out"
                " or name one of its labels."
            )
        self.label = None if self.text else label or next(iter(labels), None)
        if self.label is not None and label is None and len(labels) > 1:
            self.notices += (
                f"{builder.info.full_name} has the labels {', '.join(labels)}: captions are made of {self.label!r}. "
                "Name the label that is meant, and nothing more is said.",
            )
        if self.image is None or (self.text is None and self.label is None):
            missing = "image" if self.image is None else "caption or label"
            raise ValueError(
                f"The dataset {builder.info.full_name} has no {missing} feature, only {', '.join(fields) or 'none'};"
                " choose a set of images with captions or class labels."
            )
        self.captions_of = self._text_captions if self.text else self._label_captions(caption_template)

    def split(self, name: str) -> tuple[Split, tuple[SkippedRow, ...]]:
        """Returns a split, and its images that cannot be used."""
        import tensorflow_datasets as tfds

        try:
            wanted = {self.text or self.label: True}
            texts = self.builder.as_dataset(split=name, decoders=tfds.decode.PartialDecoding(wanted))
            files = self.builder.as_dataset(split=name, decoders={self.image: tfds.decode.SkipDecoding()})
            count = int(self.builder.info.splits[name].num_examples)
        except (KeyError, ValueError) as error:
            known = ", ".join(self.builder.info.splits)
            raise ValueError(f"{self.builder.info.full_name} has no split {name!r}; it has {known}.") from error
        values = list(texts.map(lambda example: example[self.text or self.label]).as_numpy_iterator())
        info = self.builder.info
        key = (
            f"tfds {info.full_name} {name} {self.builder.data_dir} {info.splits.total_num_examples} {info.dataset_size}"
        )
        image = self.image
        sources = files.map(lambda example: example[image])
        records = decoded_images(sources, count, open_bytes, self.image_size, self.reading, key, self.cache_dir)
        captions: dict[str, int] = {}
        caption_ids, positions, skipped = [], [], []
        for number, value in enumerate(values):
            found = self.captions_of(value)
            if records["error"][number] or not found:
                reason = records["error"][number].decode("utf-8") or "no caption"
                skipped.append(SkippedRow(f"{info.full_name}[{name}]", number + 1, reason))
                continue
            caption_ids.append(tuple(captions.setdefault(caption, len(captions)) for caption in found))
            positions.append(number)
        if not positions:
            reasons = "; ".join(map(str, skipped[:3])) or "it is empty"
            raise ValueError(f"No usable image in {name!r} of {info.full_name} ({reasons}).")
        numbers = np.asarray(positions, np.int64)
        self.notices += notices(records, numbers, self.reading)
        shared = self.reading.intensity_range or window(found_intensities(records, numbers))
        self.reading = replace(self.reading, intensity_range=shared)
        labels = np.asarray(values, np.int64)[numbers][:, None] if self.label else None
        digests = tuple(f"{digest:016x}" for digest in records["digest"][numbers].tolist())
        load = pixel_loader(records["pixels"], numbers)
        return Split(tuple(captions), tuple(caption_ids), load, labels, digests=digests), tuple(skipped)

    def _text_captions(self, value: Any) -> list[str]:
        texts = value["text"] if isinstance(value, dict) else value
        found = (" ".join(text.decode("utf-8", "replace").split()) for text in np.atleast_1d(np.asarray(texts, object)))
        return list(dict.fromkeys(text for text in found if text and "\0" not in text))

    def _label_captions(self, template: str) -> Callable[[Any], list[str]]:
        captions = [label_caption(template, name) for name in self.builder.info.features[self.label].names]
        return lambda value: [captions[int(value)]] if int(value) >= 0 else []


def _split_names(builder: Any, train: str, validation: str | None, share: float) -> tuple[str, str | None]:
    """What to train on and what is held out: a split of its own, or a share of the training images."""
    if validation is None:
        others = [other for other in _VALIDATION_NAMES if other in builder.info.splits and other != train]
        validation = others[0] if others else None
    if validation is not None or not share:
        return train, validation
    if "[" in train:
        raise ValueError(
            f"{builder.info.name} has no validation split, and {train!r} is a slice: pass validation as a slice too."
        )
    first = 100 - max(1, round(100 * share))
    return f"{train}[:{first}%]", f"{train}[{first}%:]"


def _prepared_builder(name: str, data_dir: str | os.PathLike[str] | None) -> Any:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir and os.fspath(data_dir))
    except (
        Exception
    ) as error:  # An unknown name, version or configuration: each has an error of its own, of many lines.
        raise ValueError(f"TensorFlow Datasets has no {name!r} ({_first_line(error)}); check the name.") from error
    if not builder.is_prepared():
        if not sys.stderr.isatty():
            tfds.disable_progress_bar()  # Bars that move fill a log file.
        try:
            builder.download_and_prepare()
        except Exception as error:  # Each source fails offline in its own way.
            raise ValueError(
                f"The dataset {name!r} is not prepared in {str(builder.data_dir)!r} and could not be downloaded"
                f" ({_first_line(error)}); download it where there is a network, and pass its data_dir."
            ) from error
    return builder


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
