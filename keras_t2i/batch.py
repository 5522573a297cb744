"""What a batch is: a dictionary of images and their captions, or the embeddings of these."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

__all__ = ["images_and_text"]


def images_and_text(batch: dict[str, tf.Tensor], text_encoder: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the images of a batch and the sentence embeddings of its captions, encoding these where need be.

    Args:
        batch: `"images"`, and `"sentence_embeddings"` or `"captions"`; embeddings go first where there are both.
        text_encoder: Turns captions into embeddings; `None` where batches hold embeddings.

    Raises:
        ValueError: if something is missing.
    """
    if not isinstance(batch, dict) or "images" not in batch or not {"captions", "sentence_embeddings"} & batch.keys():
        keys = sorted(batch) if isinstance(batch, dict) else type(batch).__name__
        raise ValueError(
            f"A batch must be a dictionary with 'images' and either 'captions' or 'sentence_embeddings'; got {keys}."
        )
    if "sentence_embeddings" in batch:
        return batch["images"], batch["sentence_embeddings"]
    if text_encoder is None:
        raise ValueError("The batch holds captions, but this model has no `text_encoder`; pass embeddings instead.")
    return batch["images"], tf.stop_gradient(text_encoder(batch["captions"])["sentence_embeddings"])
