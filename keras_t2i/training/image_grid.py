"""ImageGrid: what a model makes of the same captions, epoch after epoch."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_t2i.core.files import write_file
from keras_t2i.core.grid import draw_grid
from keras_t2i.core.provenance import png, provenance
from keras_t2i.models.completion import imitations

__all__ = ["ImageGrid"]

_log = logging.getLogger(__name__)


class ImageGrid(keras.callbacks.Callback):
    """Draws the same captions from the same noise at the end of every epoch, captions beside the images.

    The pictures are `epoch-0001.png` and so on, so that progress can be compared from one to the next.

    Args:
        directory: Where the pictures go.
        captions: Captions, one row each.
        sentence_embeddings: Their embeddings, float32, shape `(len(captions), D)`; computed by the model's text
            encoder where they are left out.
        num_images: Images of each caption.
        seed: Seed of the noise.
        tensorboard_dir: A directory for TensorBoard; the pictures are then logged there as well.
        images: The images that belong to the captions, uint8, shape `(len(captions), H, W, 3)`: a model that completes
            images is given what it completes of them.

    Raises:
        ValueError: without captions, or if captions and embeddings differ in number.
        ImportError: if `tensorboard_dir` is given and TensorBoard is not installed.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        captions: Sequence[str],
        sentence_embeddings: np.ndarray | None = None,
        num_images: int = 6,
        seed: int = 0,
        tensorboard_dir: str | os.PathLike[str] | None = None,
        images: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        if not captions or num_images < 1:
            raise ValueError(f"A grid needs captions and images; got {len(captions)} captions x {num_images} images.")
        if sentence_embeddings is not None and len(sentence_embeddings) != len(captions):
            raise ValueError(f"Got {len(captions)} captions but {len(sentence_embeddings)} embeddings; pass one each.")
        self.directory = Path(directory)
        self.captions = list(captions)
        self.sentence_embeddings = sentence_embeddings
        self.images = images
        self.num_images = num_images
        self.seed = seed
        self._tensorboard = None if tensorboard_dir is None else _tensorboard_writer(tensorboard_dir)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.sentence_embeddings is None:
            self.sentence_embeddings = self.model.text_encoder.encode(self.captions)
        count, embeddings = self.num_images, self.sentence_embeddings
        images = imitations(self.model, self.images, self.captions, count, self.seed, embeddings)
        grid = draw_grid(images.reshape(len(self.captions), self.num_images, *images.shape[1:]), self.captions)
        content = png(grid, provenance(self.model.fingerprint(), seed=self.seed, grid=()))
        target = self.directory / f"epoch-{epoch + 1:04d}.png"
        try:
            write_file(target, content)
        except OSError as error:
            _log.warning("Could not write %s (%s). Training goes on.", target, error.strerror or error)
        if self._tensorboard is not None:
            import tensorflow as tf

            with self._tensorboard.as_default():
                tf.summary.image("generated", np.asarray(grid)[None], step=epoch + 1)
                self._tensorboard.flush()


def _tensorboard_writer(directory: str | os.PathLike[str]) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        raise ImportError('TensorBoard is not installed; install it with: pip install "keras-t2i[tensorboard]"')
    import tensorflow as tf

    return tf.summary.create_file_writer(os.fspath(directory))
