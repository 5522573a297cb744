"""Data of a run as plain arrays: read, decoded and encoded here, trained on elsewhere."""

from __future__ import annotations

import os
from typing import Any

from keras_t2i.runs.config import RunConfig

__all__ = ["pack"]


def pack(config: RunConfig, output: str | os.PathLike[str]) -> dict[str, Any]:
    """Writes the images of a run and the embeddings of their captions, for machines without TensorFlow.

    Args:
        config: Of a run: its data, image size and text encoder are what matters.
        output: The directory to write; packed images that are there are replaced. `keras_t2i.data.PackedImages` reads
            it.

    Returns:
        `train_images`, `validation_images`, `captions` and `megabytes`.

    Raises:
        ValueError: if data or encoder cannot be had, or other files are in the way.
        OSError: if something cannot be read or written.
    """
    from keras_t2i.data.packed import pack as write
    from keras_t2i.runs.captions import check_captions
    from keras_t2i.runs.prepare import cached, dataset
    from keras_t2i.text import TextEncoder

    encoder = TextEncoder.from_preset(config.text_encoder, config.sequence_length)
    images = dataset(config)
    check_captions(encoder, images, config.max_unread_share)
    return write(images.encode(cached(encoder)), output, encoder)
