"""CLIPJudge: the pretrained judge of image and caption, where its preset can be had."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_t2i.text.preset_gate import opened

__all__ = ["CLIPJudge"]

_BATCH = 64


class CLIPJudge:
    """Embeds images and captions with CLIP, through KerasNLP.

    It has seen hundreds of millions of captioned photographs and needs no training pairs, unlike `Retriever`; its
    smallest preset has 151 million parameters. Build it with `CLIPJudge.from_preset`.

    Reference:
        Learning Transferable Visual Models From Natural Language Supervision (Radford et al., 2021),
        https://arxiv.org/abs/2103.00020. Differs from the paper: nothing but the filter that images are resized with,
        which is the preset's own, antialiased where images shrink.

    Args:
        backbone: A KerasNLP `CLIPBackbone`.
        preprocessor: Its `CLIPPreprocessor`, with a tokenizer and an image converter.
        name: Name for tables.

    Raises:
        ValueError: if the preprocessor has no image converter.
    """

    def __init__(self, backbone: keras.Model, preprocessor: keras.Layer, name: str) -> None:
        if preprocessor.image_converter is None:
            raise ValueError(f"The CLIP preset {name!r} has no image converter; pass one that has.")
        self.name = name
        self._backbone, self._preprocessor = backbone, preprocessor
        self._converter = preprocessor.image_converter
        self._converter.resizing.antialias = True
        self._embed_images = tf.function(backbone.get_vision_embeddings)
        self._embed_tokens = tf.function(backbone.get_text_embeddings)

    @classmethod
    def from_preset(cls, name: str | os.PathLike[str] = "clip_vit_base_patch32") -> CLIPJudge:
        """Loads a judge.

        Args:
            name: A CLIP preset of KerasNLP, downloaded once (0.6 GB for the smallest), or a directory that holds one.

        Raises:
            ValueError: if it cannot be loaded; the message says what would work.
        """
        import keras_nlp

        name = os.fspath(name)
        try:
            # In float32 whatever the global policy.
            with opened(name) as place:
                backbone = keras_nlp.models.CLIPBackbone.from_preset(place, dtype="float32")
                preprocessor = keras_nlp.models.CLIPPreprocessor.from_preset(place)
        except Exception as error:  # KerasNLP raises whatever its hub client, the file system or Keras raised.
            problem = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(
                f"The CLIP preset {name!r} cannot be loaded ({problem}). Go online once for 'clip_vit_base_patch32', "
                "pass the directory of a KerasNLP CLIP preset, or judge with a `Retriever`."
            ) from error
        return cls(backbone, preprocessor, Path(name).name)

    def image_embeddings(self, images: np.ndarray) -> np.ndarray:
        """Embeds images, uint8, shape `(N, H, W, 3)`, to float32 of unit length, shape `(N, E)`.

        Raises:
            ValueError: if the images are of another type or shape.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
            raise ValueError(
                f"CLIP judges uint8 images of shape (N, H, W, 3); got {images.dtype} of shape {images.shape}."
            )
        embeddings = np.empty((len(images), self._backbone.projection_dim), np.float32)
        for start in range(0, len(images), _BATCH):
            pixels = self._converter(tf.cast(images[start : start + _BATCH], tf.float32))
            embeddings[start : start + _BATCH] = _unit(self._embed_images(pixels))
        return embeddings

    def text_embeddings(self, captions: Sequence[str]) -> np.ndarray:
        """Embeds captions to float32 of unit length, shape `(N, E)`; what is past CLIP's 77 tokens is not read.

        Raises:
            ValueError: if a caption is not a string.
        """
        for caption in captions:
            if not isinstance(caption, str):
                raise ValueError(f"A caption must be a string; got {caption!r}.")
        embeddings = np.empty((len(captions), self._backbone.projection_dim), np.float32)
        for start in range(0, len(captions), _BATCH):
            prompts = [caption.encode("utf-8", "replace") for caption in captions[start : start + _BATCH]]
            token_ids = self._preprocessor({"prompts": tf.constant(prompts), "images": None})["token_ids"]
            embeddings[start : start + _BATCH] = _unit(self._embed_tokens(token_ids))
        return embeddings


def _unit(rows: tf.Tensor) -> np.ndarray:
    return tf.math.l2_normalize(rows, axis=1).numpy()
