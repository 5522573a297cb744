"""Data of a run packed: read, decoded and embedded once, in parallel, for trainings of any size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from keras_t2i.runs.config import NONE, RunConfig

__all__ = ["pack"]


def pack(config: RunConfig, output: str | os.PathLike[str], workers: int | None = None) -> dict[str, Any]:
    """Writes the images of a run and the embeddings of their captions, to train on at once, here or without TensorFlow.

    Args:
        config: Of a run: its data, image size, text encoder and how images are read are what matters. Its data may also
            be a `.tar` or a `.parquet` file, or a folder of such.
        output: The directory to write; packed images that are there are replaced. `keras-t2i train` and
            `keras_t2i.data.PackedImages` read it.
        workers: How many processors to work on; by default all.

    Returns:
        `train_images`, `validation_images`, `captions`, `shards`, `skipped_rows` and `megabytes`.

    Raises:
        ValueError: if data or encoder cannot be had, or other files are in the way.
        ImportError: for Parquet, if PyArrow is not installed.
        OSError: if something cannot be read or written.
    """
    from keras_t2i.data.images import Reading
    from keras_t2i.data.packing import pack_source
    from keras_t2i.runs.captions import check_texts
    from keras_t2i.text import TextEncoder

    encoder = TextEncoder.from_preset(config.text_encoder, config.sequence_length)
    source = _source(config)
    check_texts(
        encoder, dict.fromkeys(text for item in source.items for text in item.captions), config.max_unread_share
    )
    return pack_source(
        source,
        output,
        encoder,
        config.image_size,
        reading=Reading(config.fit, config.intensities),
        seed=config.seed,
        max_skipped_share=config.max_skipped_share,
        workers=workers,
    )


def _source(config: RunConfig) -> Any:
    """What the data of a configuration mean to `pack`."""
    from keras_t2i.data import sources
    from keras_t2i.data.archives import ARCHIVES, archives_in
    from keras_t2i.data.names import is_folder
    from keras_t2i.runs.prepare import dataset, is_packed

    if not is_folder(config.data):
        described = (config.data, config.image_size, config.fit, config.intensity_range, config.label)
        return sources.dataset_source(dataset(config), repr(described))
    if is_packed(config.data):
        raise ValueError(f"{config.data} is packed already: train on it as it is, or pass what it was packed from.")
    options: dict[str, Any] = {"caption_column": config.caption_column, "caption_template": config.caption_template}
    path = Path(config.data)
    for suffix, read in ARCHIVES.items():
        if files := archives_in(path, suffix):
            return read(path, files, captions=config.text_encoder != NONE, **options)
    return sources.folder_source(path, captions=config.text_encoder != NONE, **options)
