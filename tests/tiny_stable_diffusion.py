"""Stable Diffusion 3 of KerasHub's own classes, in the size of its own tests, with random weights."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np

from keras_t2i.core.keras_internals import keras_hub_class

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIZE = 64


def keras_hub_model(image_size: int = SIZE, num_layers: int = 2, **settings: Any) -> Any:
    """KerasHub's own task, backbone and preprocessor: `StableDiffusion3TextToImage`."""
    tokens = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}

    def preprocessor(name: str) -> Any:
        tokenizer = keras_hub.models.CLIPTokenizer(
            vocabulary=vocabulary,
            merges=["r e", "re d</w>"],
            pad_with_end_token=name == "clip_l",
            config_file=f"{name}_tokenizer.json",
        )
        return keras_hub.models.CLIPPreprocessor(tokenizer, sequence_length=16, config_file=f"{name}_preprocessor.json")

    keras.utils.set_random_seed(3)
    widths = {"clip_l": (64, 128, "quick_gelu"), "clip_g": (128, 256, "gelu")}
    towers = {
        name: keras_hub.models.CLIPTextEncoder(
            len(tokens), width, width, 2, 2, inside, activation, -2, max_sequence_length=16, name=name
        )
        for name, (width, inside, activation) in widths.items()
    }
    autoencoder = keras_hub_class("VAEBackbone")(
        [32] * 4, [1] * 4, [32] * 4, [1] * 4, sampler_method="mode", name="vae"
    )
    backbone = keras_hub.models.StableDiffusion3Backbone(
        **{
            "mmdit_patch_size": 2,
            "mmdit_hidden_dim": 32,
            "mmdit_num_layers": num_layers,
            "mmdit_num_heads": 2,
            "mmdit_position_size": 192,
            "mmdit_qk_norm": "rms_norm",
            "mmdit_dual_attention_indices": (0,),
            **settings,
        },
        vae=autoencoder,
        **towers,
        image_shape=(image_size, image_size, 3),
    )
    both = keras_hub.models.StableDiffusion3TextToImagePreprocessor(preprocessor("clip_l"), preprocessor("clip_g"))
    return keras_hub.models.StableDiffusion3TextToImage(backbone, both)


def save(directory: Path, task: Any | None = None) -> Path:
    """Writes a preset as KerasHub writes its own."""
    (task or keras_hub_model()).save_to_preset(str(directory))
    return directory


@functools.cache
def batch(count: int = 8, image_size: int = SIZE, row_length: int = 192 * 17) -> dict[str, np.ndarray]:
    """Smooth images, no two alike, with rows in the place of captions."""
    random = np.random.default_rng(0)
    coarse = random.uniform(-1, 1, (count, 4, 4, 3))
    images = coarse.repeat(image_size // 4, axis=1).repeat(image_size // 4, axis=2)
    rows = random.standard_normal((count, row_length))
    return {"images": images.astype(np.float32), "sentence_embeddings": rows.astype(np.float32)}
