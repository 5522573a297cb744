"""The fine maps of a frozen network, in which textures are told apart: what a style is learned by."""

from __future__ import annotations

import os
from pathlib import Path

import keras

from keras_t2i.image_features.mobilenet_v2 import build_mobilenet_v2, imagenet_arrays, read_arrays

__all__ = ["TEXTURE_MAPS", "texture_maps"]

TEXTURE_MAPS = ("stem", "stride_2_expanded", "stride_4_expanded", "stride_8_expanded")
"""Maps of MobileNetV2, fine to coarse: those with many channels before its blocks reduce them, none negative."""


def texture_maps(name: str | os.PathLike[str] = "mobilenet_v2") -> keras.Model:
    """Loads the first layers of MobileNetV2, frozen, for images of any size.

    Args:
        name: `"mobilenet_v2"`, for the ImageNet weights of `keras.applications`, downloaded once; or an `.npz` file, as
            for `keras_t2i.ImageFeatures.from_preset`.

    Returns:
        A model from images in [-1, 1], float32, shape `(B, H, W, 3)`, to the list of `TEXTURE_MAPS`.

    Raises:
        ValueError: if the file is of another kind or damaged.
        FileNotFoundError: if there is no such file.
        ConnectionError: if the weights cannot be downloaded.
    """
    if os.fspath(name) == "mobilenet_v2":
        arrays = imagenet_arrays()
    else:
        path = Path(name)
        if path.suffix != ".npz":
            raise ValueError(
                f"A style is learned in the features 'mobilenet_v2', or a file of its weights, .npz; got "
                f"{os.fspath(name)!r}."
            )
        if not path.is_file():
            raise FileNotFoundError(f"There is no file of image features at {path}.")
        arrays = read_arrays(path)
    network = build_mobilenet_v2(arrays, None, TEXTURE_MAPS, name="texture_maps")
    network.trainable = False
    return network
