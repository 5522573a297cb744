"""StylizedGrid: the same pictures in the style that is learned, epoch after epoch."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_t2i.core.files import write_file
from keras_t2i.core.provenance import png, provenance

__all__ = ["StylizedGrid", "stylized_grid"]

_log = logging.getLogger(__name__)


class StylizedGrid(keras.callbacks.Callback):
    """Writes pictures, and below each what a `keras_t2i.models.Stylizer` makes of it, at the end of every epoch.

    Args:
        directory: Where `epoch-0001.png` and so on go.
        images: The pictures, uint8, shape `(N, H, W, 3)`.
    """

    def __init__(self, directory: str | os.PathLike[str], images: np.ndarray) -> None:
        super().__init__()
        self.directory, self.images = Path(directory), images

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        grid = stylized_grid(self.images, np.stack([self.model.stylize(image) for image in self.images]))
        content = png(grid, provenance(self.model.fingerprint(), grid=()), composite=True)
        target = self.directory / f"epoch-{epoch + 1:04d}.png"
        try:
            write_file(target, content)
        except OSError as error:
            _log.warning("Could not write %s (%s). Training goes on.", target, error.strerror or error)


def stylized_grid(images: np.ndarray, stylized: np.ndarray) -> np.ndarray:
    """Pictures in a row, and below each the same in a style: uint8, of two arrays of shape `(N, H, W, 3)`."""
    return np.concatenate([np.concatenate(list(row), axis=1) for row in (images, stylized)])
