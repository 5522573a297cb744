"""The network that completes pictures, for every format: what it takes beside noise and captions, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

__all__ = ["Completion", "completed", "completes", "own_pictures", "picture_rule", "picture_shapes"]

_HOLE = (
    "`pictures`: RGB from -1 to 1 (a byte divided by 127.5, less 1). `masks`: 1 where something is to be drawn, 0 "
    "elsewhere; what a picture shows there is not looked at. `images`: the picture, its hole filled, the seam blended. "
    "Take the pixels of the hole from it, rounded, and all others from the picture: so these stay the same. A picture "
    "of another size is cut first, to a square of `side` that has the hole in its middle and does not leave the "
    "picture where it need not: `side` = min(max(ceil(2 * reach), 2 * H), max(shorter side, reach)), where `reach` is "
    "the longer side of the hole. What of it lies beyond the picture belongs to the hole. It is made smaller by means "
    "over areas, larger by repetition (in `masks` what has any part in the hole is 1), and what was drawn is brought "
    "back to `side` by Lanczos' filter."
)
_WHOLE = (
    "`pictures`: the central square of a picture, RGB from -1 to 1 (a byte divided by 127.5, less 1), at this size by "
    "Lanczos' filter; {seen} is found in the network."
)
_SEEN = {
    "edges": "where its edges are",
    "colorize": "how bright it is",
    "enlarge": "what it shows",
    "sketch": "what its dark lines are",
}


class Completion(keras.layers.Layer):
    """`completed` as a layer: what it does to pictures is no layer's, and Keras takes some of that for sparse.

    Args:
        drawer: A `GuidedGenerator`.
    """

    def __init__(self, drawer: Any) -> None:
        super().__init__()
        self.drawer = drawer

    def call(self, inputs: dict[str, Any]) -> Any:
        return completed(self.drawer, inputs)


def completes(gan: Any) -> bool:
    """Whether images guide a model."""
    return getattr(gan.drawer, "image_input", None) is not None


def picture_shapes(drawer: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of what is given of one picture, by name: what a device makes without knowing the branch."""
    size = drawer.image_size
    return {"pictures": (size, size, 3), **({"masks": (size, size, 1)} if drawer.kind.has_hole else {})}


def picture_rule(drawer: Any) -> str:
    """How these are made of a picture, in words."""
    return _HOLE if drawer.kind.has_hole else _WHOLE.format(seen=_SEEN.get(drawer.image_input, "what it draws from"))


def completed(drawer: Any, inputs: Mapping[str, Any]) -> Any:
    """Images in [-1, 1] from `latents`, `sentence_embeddings`, and what `picture_shapes` lists."""
    condition = {"sentence_embeddings": inputs["sentence_embeddings"]}
    return drawer.complete(inputs["latents"], condition, inputs["pictures"], inputs.get("masks"))


def own_pictures(drawer: Any, latents: np.ndarray, text: np.ndarray) -> dict[str, np.ndarray]:
    """Inputs to try it with, made of what it draws of captions alone."""
    images = np.clip(np.asarray(drawer(latents, text, training=False), np.float32), -1.0, 1.0)
    rows = {"latents": latents, "sentence_embeddings": text, "pictures": images}
    if drawer.kind.has_hole:
        rows["masks"] = np.asarray(drawer.given(images, 1)["image_input"][..., 3:], np.float32)
    return rows
