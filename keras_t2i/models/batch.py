"""What a batch is: a dictionary of images and their captions, or what a text encoder made of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

__all__ = ["images_and_condition", "images_and_text", "too_large"]

_POOLED = "sentence_embeddings"


def images_and_condition(batch: dict[str, Any], text_encoder: Any, reads: Sequence[str] = (_POOLED,)) -> dict[str, Any]:
    """Returns the images of a batch and what networks read of its captions, encoding these where need be.

    Args:
        batch: `"images"`, and `"captions"` or all that is read of them; the latter goes first where there are both.
        text_encoder: Turns captions into a dictionary of what can be read; `None` where batches hold that.
        reads: Names of what is read.

    Returns:
        `"images"`, float32, and `"condition"`: a dictionary with the sentence embeddings, by which captions are told
        apart, and all else that is read.

    Raises:
        ValueError: if something is missing, or images are integers.
    """
    wanted = tuple(dict.fromkeys((_POOLED, *reads)))
    if not isinstance(batch, dict) or "images" not in batch or not {"captions", _POOLED} & batch.keys():
        keys = sorted(batch) if isinstance(batch, dict) else type(batch).__name__
        raise ValueError(
            f"A batch must be a dictionary with 'images' and either 'captions' or 'sentence_embeddings'; got {keys}."
        )
    images = ops.convert_to_tensor(batch["images"])
    if not keras.backend.is_float_dtype(images.dtype):
        raise ValueError(
            f"A batch has 'images' in [-1, 1], floating point; got {keras.backend.standardize_dtype(images.dtype)}. "
            "Divide bytes by 127.5 and take 1 away."
        )
    images = ops.cast(images, "float32")
    if all(name in batch for name in wanted):
        given = {name: ops.convert_to_tensor(batch[name]) for name in wanted}
        # Token numbers stay as they are.
        is_float = keras.backend.is_float_dtype
        condition = {name: ops.cast(rows, "float32") if is_float(rows.dtype) else rows for name, rows in given.items()}
        return {"images": images, "condition": condition}
    if "captions" not in batch:
        missing = next(name for name in wanted if name not in batch)
        raise ValueError(f"The networks read {missing!r} of a caption; the batch has neither that nor 'captions'.")
    if text_encoder is None:
        raise ValueError("The batch holds captions, but this model has no `text_encoder`; pass embeddings instead.")
    read = text_encoder(batch["captions"])
    if unread := [name for name in wanted if name not in read]:
        raise ValueError(f"The networks read {unread[0]!r} of a caption, which this text encoder does not give.")
    return {"images": images, "condition": {name: ops.stop_gradient(read[name]) for name in wanted}}


def images_and_text(batch: dict[str, Any], text_encoder: Any) -> tuple[Any, Any]:
    """The images of a batch and the sentence embeddings of its captions: see `images_and_condition`."""
    found = images_and_condition(batch, text_encoder)
    return found["images"], found["condition"][_POOLED]


def too_large(num_images: int | None, image_size: int) -> str:
    """What to say where a training step on so many images does not fit into a device's memory, and what would."""
    told = f"A training step on {num_images or 'this many'} images of {image_size} pixels does not fit into the memory"
    if num_images == 1:
        return f"{told}: take a smaller `size` or `image_size`."
    smaller = f"batches of {num_images // 2}, which need about half" if num_images else "smaller batches"
    return f"{told}: take {smaller}."
