"""Stable Diffusion 3 from KerasHub's presets, as a model that can be trained."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from keras_t2i.core.errors import reason
from keras_t2i.models.diffusion import DiffusionTextToImage
from keras_t2i.networks.stable_diffusion import StableDiffusion3Generator, check_size, computing_again

__all__ = ["STABLE_DIFFUSION_3", "described", "is_stable_diffusion_3", "stable_diffusion_3"]

_MEDIUM = {"patch_size": 2, "hidden_dim": 1536, "num_layers": 24, "num_heads": 24, "latent_channels": 16}
_LARGE = {**_MEDIUM, "hidden_dim": 2432, "num_layers": 38, "num_heads": 38, "position_size": 192, "qk_norm": "rms_norm"}
_AUTOENCODER = {
    "encoder_num_filters": [128, 256, 512, 512],
    "encoder_num_blocks": [2, 2, 2, 2],
    "decoder_num_filters": [512, 512, 256, 128],
    "decoder_num_blocks": [3, 3, 3, 3],
}

STABLE_DIFFUSION_3: Mapping[str, Mapping[str, Any]] = {
    "stable_diffusion_3_medium": {"diffuser": {**_MEDIUM, "position_size": 192}},
    "stable_diffusion_3.5_medium": {
        "diffuser": {
            **_MEDIUM,
            "position_size": 384,
            "qk_norm": "rms_norm",
            "dual_attention_indices": list(range(13)),
        }
    },
    "stable_diffusion_3.5_large": {"diffuser": _LARGE},
    "stable_diffusion_3.5_large_turbo": {"diffuser": _LARGE, "num_steps": 4, "guidance": 1.0},
}
"""KerasHub's presets by name: what their transformers are built from, and how they draw where it is not as usual."""


def is_stable_diffusion_3(source: str | os.PathLike[str]) -> bool:
    """Whether `source` is a name of KerasHub's Stable Diffusion 3, or a directory in which KerasHub has saved one."""
    return str(source) in STABLE_DIFFUSION_3 or _is_saved(Path(source))


def stable_diffusion_3(
    source: str | os.PathLike[str],
    image_size: int | None = None,
    dtype: str | None = None,
    rematerialized: bool = False,
) -> DiffusionTextToImage:
    """Stable Diffusion 3 with weights of KerasHub, as a model of this package, not yet compiled.

    It can be fine-tuned, saved, measured and asked as any other: weights that are trained from now on are those that
    `keras_t2i.transfer` leaves trainable. There is no second, averaged copy of its billions of weights.

    Args:
        source: A name in `STABLE_DIFFUSION_3`, which is fetched once, and needs its licence accepted at Kaggle; or a
            directory that KerasHub's `save_to_preset` has written.
        image_size: Height and width in pixels, a multiple of 16; by default that of the preset, usually 1,024.
        dtype: What the networks compute in and keep their weights in, such as `"bfloat16"` or `"mixed_bfloat16"`;
            by default Keras' own policy. What is trained of it must have four bytes a number: in `"bfloat16"` these are
            adapters alone.
        rematerialized: Whether blocks are computed again for the gradient instead of kept: much less memory, about a
            third more time.

    Raises:
        ValueError: if there is no such preset, it cannot be fetched, or it cannot make images of that size; in one
            line.
    """
    import keras_hub

    from keras_t2i.text.preset_gate import opened
    from keras_t2i.text.stable_diffusion import StableDiffusion3TextEncoder

    if not is_stable_diffusion_3(source):
        raise ValueError(
            f"{str(source)!r} is no Stable Diffusion 3 of KerasHub: pass a directory that KerasHub has saved one in, "
            f"or one of {', '.join(STABLE_DIFFUSION_3)}."
        )
    if image_size is not None:
        check_size(image_size, 2, 192)
    options: dict[str, Any] = {} if image_size is None else {"image_shape": (image_size, image_size, 3)}
    try:
        with opened(str(source)) as place, computing_again() if rematerialized else nullcontext():
            preprocessor = keras_hub.models.StableDiffusion3TextToImagePreprocessor.from_preset(place)
            backbone = keras_hub.models.StableDiffusion3Backbone.from_preset(
                place, **options, **({} if dtype is None else {"dtype": dtype})
            )
        encoder = StableDiffusion3TextEncoder.of(backbone, preprocessor)
    except Exception as error:  # KerasHub raises whatever its hub client, the file system or Keras raised.
        why = reason(error).removesuffix(".")[:200]
        hint = "" if _is_saved(Path(source)) else " Without a network, pass a directory that KerasHub has saved one in."
        raise ValueError(f"{str(source)!r} cannot be loaded ({why}).{hint}") from error
    manner = {name: value for name, value in STABLE_DIFFUSION_3.get(str(source), {}).items() if name != "diffuser"}
    return of_backbone(backbone, encoder, **manner, rematerialized=rematerialized)


def described(source: str) -> dict[str, Any]:
    """What `StableDiffusion3Generator` is built from for a name in `STABLE_DIFFUSION_3`, at 1,024 pixels.

    Nothing is fetched: it says how large a model is before that.
    """
    return {"image_size": 1024, "autoencoder": _AUTOENCODER, **STABLE_DIFFUSION_3[source]}


def of_backbone(backbone: Any, encoder: Any, **manner: Any) -> DiffusionTextToImage:
    """A model of KerasHub's `StableDiffusion3Backbone`, whose networks it shares, and its text encoder, if any.

    Args:
        backbone: The backbone.
        encoder: A `keras_t2i.text.StableDiffusion3TextEncoder`, or `None`.
        **manner: Settings of `StableDiffusion3Generator` that a backbone knows nothing of, such as `num_steps`.
    """
    height, width, _ = backbone.image_shape
    if height != width:
        raise ValueError(f"Images are square here; this preset makes {height}x{width}: pass `image_size`.")
    generator = StableDiffusion3Generator(
        height,
        backbone.diffuser,
        backbone.vae,
        text_width=backbone.clip_hidden_dim,
        text_length=backbone.clip_l.max_sequence_length,
        shift=backbone.shift,
        num_train_timesteps=backbone.num_train_timesteps,
        **manner,
    )
    model = DiffusionTextToImage(encoder, generator, generator.row_length)
    if encoder is not None:
        generator.text_mean.assign(encoder.encode([""])[0])
    model.conditioning_dropout = generator.pretrained_dropout
    return model


def _is_saved(directory: Path) -> bool:
    from keras_t2i.core.gate import read_json

    if not (directory / "config.json").is_file():
        return False
    try:
        found = read_json(directory / "config.json")
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("class_name") == "StableDiffusion3Backbone"
