"""What a batch is: a dictionary of images and their captions, or what a text encoder made of these."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["FirstBatch", "images_and_condition", "images_and_text", "too_large"]

_POOLED = "sentence_embeddings"
_LOOKED_AT = 64
_FARTHEST, _SPREAD = 1.5, 0.5  # Resizing overshoots a little; zeros alone are no images.


def images_and_condition(batch: dict[str, Any], text_encoder: Any, reads: Sequence[str] = (_POOLED,)) -> dict[str, Any]:
    """Returns the images of a batch and what networks read of its captions, encoding these where need be.

    Args:
        batch: `"images"`, or `"codes"`, what an autoencoder has made of them; and `"captions"` or all that is read of
            them; the latter goes first where there are both. With `"latents"`, the noise that each was drawn from.
        text_encoder: Turns captions into a dictionary of what can be read; `None` where batches hold that.
        reads: Names of what is read.

    Returns:
        `"images"` or `"codes"`, float32, and `"condition"`: a dictionary with the sentence embeddings, by which
        captions are told apart, and all else that is read; and `"latents"` where the batch has them.

    Raises:
        ValueError: if something is missing, or images are integers.
    """
    wanted = tuple(dict.fromkeys((_POOLED, *reads)))
    whole = isinstance(batch, dict) and {"images", "codes"} & batch.keys() and {"captions", _POOLED} & batch.keys()
    if not whole:
        keys = sorted(batch) if isinstance(batch, dict) else type(batch).__name__
        raise ValueError(
            f"A batch must be a dictionary with 'images' and either 'captions' or 'sentence_embeddings'; got {keys}."
        )
    found: dict[str, Any] = {
        name: ops.convert_to_tensor(batch[name]) for name in ("images", "codes", "latents") if name in batch
    }
    if "images" in found and not keras.backend.is_float_dtype(found["images"].dtype):
        raise ValueError(_refused(keras.backend.standardize_dtype(found["images"].dtype)))
    found = {name: ops.cast(rows, "float32") for name, rows in found.items()}
    if all(name in batch for name in wanted):
        given = {name: ops.convert_to_tensor(batch[name]) for name in wanted}
        # Token numbers stay as they are.
        is_float = keras.backend.is_float_dtype
        condition = {name: ops.cast(rows, "float32") if is_float(rows.dtype) else rows for name, rows in given.items()}
        return {**found, "condition": condition}
    if "captions" not in batch:
        missing = next(name for name in wanted if name not in batch)
        raise ValueError(f"The networks read {missing!r} of a caption; the batch has neither that nor 'captions'.")
    if text_encoder is None:
        raise ValueError("The batch holds captions, but this model has no `text_encoder`; pass embeddings instead.")
    read = text_encoder(batch["captions"])
    if unread := [name for name in wanted if name not in read]:
        raise ValueError(f"The networks read {unread[0]!r} of a caption, which this text encoder does not give.")
    return {**found, "condition": {name: ops.stop_gradient(read[name]) for name in wanted}}


def images_and_text(batch: dict[str, Any], text_encoder: Any) -> tuple[Any, Any]:
    """The images of a batch and the sentence embeddings of its captions: see `images_and_condition`."""
    found = images_and_condition(batch, text_encoder)
    return found["images"], found["condition"][_POOLED]


class FirstBatch:
    """Looks at the images of the first batch that `fit` is given: later ones cost nothing.

    Attributes:
        error: Why they were refused, once they were: a pipeline of `tf.data` says it in many lines of its own.
    """

    def __init__(self) -> None:
        self.error: ValueError | None = None

    def of(self, data: Any) -> Any:
        """The same data; a pipeline, or a generator, is looked at as it begins, and nothing is read twice.

        Args:
            data: What `fit` takes.

        Raises:
            ValueError: if the images of arrays or a `PyDataset` are not floating point, in [-1, 1].
        """
        tensorflow = sys.modules.get("tensorflow")
        if isinstance(data, Iterator):
            return self._passed_on(data)
        if tensorflow is not None and isinstance(data, tensorflow.data.Dataset):
            spec = data.element_spec
            return data.enumerate().map(self._mapped) if isinstance(spec, dict) and "images" in spec else data
        self._look(data[0] if isinstance(data, keras.utils.PyDataset) else data)
        return data

    def _passed_on(self, batches: Iterator[Any]) -> Iterator[Any]:
        for number, batch in enumerate(batches):
            if number == 0:
                self._look(batch)
            yield batch

    def _mapped(self, number: Any, batch: dict[str, Any]) -> dict[str, Any]:
        import tensorflow as tf

        def looked_at() -> Any:
            seen = tf.numpy_function(self._seen, [batch["images"]], batch["images"].dtype)
            return tf.ensure_shape(seen, batch["images"].shape)

        return {**batch, "images": tf.cond(number == 0, looked_at, lambda: batch["images"])}

    def _seen(self, images: np.ndarray) -> np.ndarray:
        self._look({"images": images})
        return images

    def _look(self, batch: Any) -> None:
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        if not isinstance(batch, dict) or "images" not in batch:
            return  # Which a step refuses.
        images = np.asarray(batch["images"][:_LOOKED_AT])
        if not images.size:
            return
        low, high = float(images.min()), float(images.max())
        if images.dtype.kind in "iub":
            self.error = ValueError(_refused(images.dtype.name))
        elif max(-low, high) > _FARTHEST:
            self.error = ValueError(_refused(f"values from {low:g} to {high:g}"))
        elif low >= 0 and high - low > _SPREAD:
            warnings.warn(
                f"The images of the first batch lie between {low:g} and {high:g}; 'images' are expected in [-1, 1], "
                "with black as -1. Multiply by 2 and take 1 away, unless all of them are that pale.",
                stacklevel=2,
            )
        if self.error is not None:
            raise self.error


def _refused(found: str) -> str:
    return f"A batch has 'images' in [-1, 1], floating point; got {found}. Divide bytes by 127.5 and take 1 away."


def too_large(num_images: int | None, image_size: int) -> str:
    """What to say where a training step on so many images does not fit into a device's memory, and what would."""
    told = f"A training step on {num_images or 'this many'} images of {image_size} pixels does not fit into the memory"
    if num_images == 1:
        return f"{told}: take a smaller `size` or `image_size`."
    smaller = f"batches of {num_images // 2}, which need about half" if num_images else "smaller batches"
    return f"{told}: take {smaller}."
