"""Measuring a run on the captions that it holds out, and any two folders of images.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_t2i.runs.config import NONE, RunConfig

if TYPE_CHECKING:
    from keras_t2i.data import CaptionedImages
    from keras_t2i.metrics.instruments import Instruments
    from keras_t2i.models import TextToImage

__all__ = ["evaluate", "evaluate_folders", "opened"]


def opened(
    run_dir: Path, features: str = "auto", judge: str = "retriever"
) -> tuple[TextToImage, CaptionedImages, Instruments, RunConfig]:
    """The model of a run, its data, what to measure with (see `keras_t2i.metrics.instruments`) and its configuration.

    Raises:
        ValueError: if the directory is not a run, has no preset yet, or the features cannot be had.
    """
    from keras_t2i.data import Inventory
    from keras_t2i.metrics.instruments import instruments_for
    from keras_t2i.models import TextToImage
    from keras_t2i.runs.prepare import dataset

    config = RunConfig.read(run_dir)
    model = TextToImage.from_preset(run_dir)
    images = dataset(config, run_dir)
    before = Inventory.read(run_dir)
    if before is not None and (changes := before.changes(Inventory.of(images))):
        warnings.warn(f"The data have changed since {run_dir} was trained on them: {changes}.", stacklevel=2)
    return model, images, instruments_for(images, config.domain, config.text_encoder != NONE, features, judge), config


def evaluate(
    run_dir: Path,
    num_images: int = 2,
    max_images: int = 2000,
    features: str = "auto",
    judge: str = "retriever",
    seed: int = 0,
) -> dict[str, Any]:
    """Measures a run on its held-out captions; where it has none, on those it was trained on, and says so.

    Built-in images are judged by the packaged classifiers.

    Returns:
        The numbers of `keras_t2i.metrics.evaluate_model`, and `warnings`.

    Raises:
        ValueError: if the directory is not a run, has no preset yet, or the features cannot be had.
    """
    from keras_t2i.metrics import evaluate_model, warnings_for

    model, images, instruments, _ = opened(run_dir, features, judge)
    numbers = evaluate_model(
        model, images, **instruments.as_arguments(), num_images=num_images, max_images=max_images, seed=seed
    ).numbers
    return {**numbers, "warnings": warnings_for(numbers)}


def evaluate_folders(
    generated: Path, real: Path, features: str = "auto", max_images: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """Measures how far the images of one folder, from any source, are from those of another.

    Returns:
        What `keras_t2i.metrics.compare_images` returns, `diversity`, and what was read of both (`generated` and `real`,
        see `keras_t2i.runs.pictures`).

    Raises:
        ValueError: if a folder has fewer than two usable images, or the features cannot be had.
    """
    from keras_t2i.core.cache import cache_directory
    from keras_t2i.image_features import CachedImageFeatures
    from keras_t2i.metrics import compare_images, relative_diversity
    from keras_t2i.metrics.instruments import image_features_for
    from keras_t2i.runs.pictures import pictures

    found = image_features_for(features)
    if found is None:
        raise ValueError(
            "Folders are compared in image features, and there are none: pass features, or a file of them."
        )

    images, about = pictures(generated, found.image_size, max_images, seed)
    real_images, about_real = pictures(real, found.image_size, max_images, seed)
    result = compare_images(images, real_images, CachedImageFeatures(found, cache_directory() / "features"))
    diversity = relative_diversity(images, real_images)
    return {**result, "diversity": diversity, "generated": about, "real": about_real}
