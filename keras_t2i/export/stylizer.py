"""A stylizing network in LiteRT: a picture of one size in, the same in the style out."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np

import keras_t2i
from keras_t2i.core.files import sha256
from keras_t2i.export import check_weights
from keras_t2i.export.disk import written_by_tensorflow
from keras_t2i.export.litert import convert, write_json
from keras_t2i.networks.stylizing import STRIDE

if TYPE_CHECKING:
    from keras_t2i.networks.stylizing import StylizingNetwork

__all__ = ["DESCRIPTION", "write"]

DESCRIPTION, _FILE = "stylizer.json", "stylizer.tflite"
_PRECISIONS = ("float32", "float16", "int8")
_TIMED = 5


class Draws(Protocol):
    """What is exported: a `keras_t2i.models.Stylizer`."""

    ema_network: StylizingNetwork
    card: dict[str, Any]

    def fingerprint(self) -> str:
        """SHA-256 of all that decides what is drawn."""


def write(
    stylizer: Draws,
    path: str | os.PathLike[str],
    height: int = 256,
    width: int = 256,
    precision: str = "float16",
) -> dict[str, Any]:
    """Writes a directory with `stylizer.tflite`, of builtin operations alone, and `stylizer.json`, which describes it.

    `images` `[1, H, W, 3]`, float32 in [-1, 1], become `stylized` of the same shape.

    Args:
        stylizer: The model.
        path: The directory to write; an older export there is replaced.
        height: Height of the pictures in pixels, a multiple of 4.
        width: Width likewise.
        precision: Of the weights: `"float32"`, `"float16"` or `"int8"`.

    Returns:
        What the description holds: among others how far drawings are from Keras', and how long one takes, as measured
        while it was written.

    Raises:
        ValueError: for a size or a precision that cannot be, weights that are not finite, or if other files are at
            `path`.
    """
    if height % STRIDE or width % STRIDE or min(height, width) < 4 * STRIDE:
        raise ValueError(f"Sizes are multiples of {STRIDE} from {4 * STRIDE} pixels on; got {height} x {width}.")
    if precision not in _PRECISIONS:
        raise ValueError(f"Unknown precision {precision!r}. Expected one of: {', '.join(_PRECISIONS)}.")
    network = stylizer.ema_network
    check_weights(network)
    images = keras.Input(batch_shape=(1, height, width, 3), name="images")
    model = keras.Model([images], {"stylized": network(images, training=False)})
    with written_by_tensorflow(path, marker=DESCRIPTION) as directory:
        described = convert(model, directory / _FILE, precision)
        found = {
            "format": "keras_t2i litert stylizer 1",
            "versions": {"keras_t2i": keras_t2i.__version__},
            "style": stylizer.card.get("style"),
            "model": stylizer.fingerprint(),
            "precision": precision,
            **described,
            "bytes": (directory / _FILE).stat().st_size,
            "sha256": sha256(directory / _FILE),
            "measured": _measured(directory / _FILE, network, (1, height, width, 3)),
        }
        write_json(directory / DESCRIPTION, found)
    return found


def _measured(path: Any, network: StylizingNetwork, shape: tuple[int, ...]) -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter

    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    draw = Interpreter(str(path), num_threads=1).get_signature_runner()
    drawn, seconds = draw(images=images)["stylized"], []
    for _ in range(_TIMED):
        start = time.perf_counter()
        draw(images=images)
        seconds.append(time.perf_counter() - start)
    expected = keras.ops.convert_to_numpy(network(keras.ops.convert_to_tensor(images), training=False))
    return {
        "max_difference": float(np.abs(drawn - expected).max()),
        "milliseconds": round(float(np.median(seconds)) * 1000, 3),
        "threads": 1,
    }
