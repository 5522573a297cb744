"""Stylizing pictures: training a network on one style, drawing with it, and exporting it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["apply", "export", "train"]

_BATCH = 4
_LOOKED_AT = 16
"""Pictures that the loss takes its units from, and that are looked at while training."""


def train(
    style: Path,
    run_dir: Path,
    content: str = "faces:300",
    features: str = "mobilenet_v2",
    image_size: int = 128,
    style_size: int = 256,
    content_weight: float = 1.0,
    style_weight: float = 5.0,
    color_weight: float = 0.0,
    seed: int = 0,
    **limits: Any,
) -> dict[str, Any]:
    """Trains a network that draws pictures in the style of one, or goes on training it.

    Args:
        style: The picture.
        run_dir: The run directory; a run in it is resumed.
        content: Pictures to train on: see `keras_t2i.runs.RunConfig`; a folder needs no captions.
        features: What the style is learned in: `"mobilenet_v2"`, or a file of its weights.
        image_size: Height and width at which they are trained on, in pixels.
        style_size: Length of the style's shorter side, in pixels: strokes become as large as they are at that size.
        content_weight: Weight of what the pictures show.
        style_weight: Weight of the style.
        color_weight: Weight of the colors that the pictures have, where they are to keep them.
        seed: Seed of weights, order and grain.
        **limits: `minutes`, `epochs`, `steps`, `verbose`: of `keras_t2i.training.train`.

    Returns:
        `steps` and `minutes` so far, and where `run`, `grids` and `preset` are.

    Raises:
        ValueError: for a picture, pictures or features that cannot be used, or a run of other settings.
        OSError: if the directory cannot be written.
    """
    import keras

    from keras_t2i import training
    from keras_t2i.core.pixels import from_bytes
    from keras_t2i.data.pictures import style_picture
    from keras_t2i.image_features import texture_maps
    from keras_t2i.models import Stylizer
    from keras_t2i.objectives.style import StyleLoss
    from keras_t2i.runs.config import NONE, RunConfig
    from keras_t2i.runs.prepare import dataset
    from keras_t2i.training.stylized_grid import StylizedGrid

    training.make_deterministic()
    picture = style_picture(style, style_size)
    maps = texture_maps(features)
    described = RunConfig(content, image_size=image_size, text_encoder=NONE, batch_size=_BATCH, seed=seed)
    data = dataset(described, run_dir)
    if data.train_split.num_images < 2:
        raise ValueError(f"{content!r} has one picture to train on; a style is learned on several.")
    held_out = data.validation_split or data.train_split
    held_out = held_out.subset(np.arange(min(_LOOKED_AT, held_out.num_images)))
    data = replace(data, validation_split=held_out if data.validation_split is not None else None)
    shown = data.train_split.pixels(np.arange(min(_LOOKED_AT, data.train_split.num_images)))
    keras.utils.set_random_seed(seed)
    card = {"style": style.name, "content": Path(described.data).name, "image_size": image_size}
    card |= {"style_size": style_size, "content_weight": content_weight, "style_weight": style_weight}
    card |= {"color_weight": color_weight} if color_weight else {}
    stylizer = Stylizer(card=card)
    loss = StyleLoss(
        maps,
        from_bytes(picture[None].astype(np.float32)),
        from_bytes(shown.astype(np.float32)),
        content_weight=content_weight,
        style_weight=style_weight,
        color_weight=color_weight,
    )
    stylizer.compile(loss)
    state = training.train(
        stylizer,
        data,
        run_dir,
        config={**card, "content": described.data, "style_sha256": _digest(picture), "seed": seed},
        pictures=StylizedGrid(run_dir / "grids", held_out.pixels(np.arange(min(8, held_out.num_images)))),
        **limits,
    )
    return {
        "run": str(run_dir),
        "steps": state.step,
        "minutes": round(state.seconds / 60, 2),
        "grids": str(run_dir / "grids"),
        "preset": str(run_dir / "preset"),
    }


def apply(model: Path, pictures: Sequence[Path], output: Path, size: int | None = None) -> dict[str, Any]:
    """Draws pictures in a style, one PNG each; written all or none. The pictures themselves are only read.

    Args:
        model: A run of `train`, or its preset.
        pictures: Pictures of any size up to `keras_t2i.models.stylizer.MAX_PIXELS`, upright (EXIF); what is transparent
            stays so.
        output: The directory to write to.
        size: The longer side to which they are brought first, in pixels, where they are larger: strokes have so many
            pixels whatever the picture's size, and so look larger in it. By default pictures stay as they are.

    Returns:
        Where the `images` are, in order.

    Raises:
        ValueError: for a picture that cannot be read, two of one name, a picture that would be written over, or if
            `model` is no such model.
        OSError: if a file cannot be read or written.
    """
    from keras_t2i.core.files import write_files
    from keras_t2i.core.provenance import png, provenance
    from keras_t2i.models import Stylizer

    names = [f"{picture.stem}.png" for picture in pictures]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"Two pictures would become {doubled}: draw them into directories of their own.")
    kept = {picture.resolve() for picture in pictures}
    if written := next((output / name for name in names if (output / name).resolve() in kept), None):
        raise ValueError(f"{str(written)!r} would be written over: choose another output directory.")
    stylizer = Stylizer.from_preset(model)
    facts = provenance(stylizer.fingerprint(), asked={"style": stylizer.card.get("style")})
    found = {}
    for name, path in zip(names, pictures, strict=True):
        found[name] = png(_stylized(stylizer, path, size), facts, composite=True)
        print(f"{path} is drawn.", file=sys.stderr, flush=True)
    write_files(output, found)
    return {"images": [str(output / name) for name in names]}


def export(
    model: Path, output: Path, height: int = 256, width: int = 256, precision: str = "float16"
) -> dict[str, Any]:
    """Writes a network for LiteRT, for pictures of one size: see `keras_t2i.export.stylizer.write`.

    Args:
        model: A run of `train`, or its preset.
        output: The directory to write.
        height: Height of the pictures in pixels.
        width: Width likewise.
        precision: One of float32, float16 and int8.

    Raises:
        ValueError: if `model` is no such model, or for a size or a precision that cannot be.
        OSError: if it cannot be written.
    """
    from keras_t2i.export.stylizer import write
    from keras_t2i.models import Stylizer

    return {"output": str(output), **write(Stylizer.from_preset(model), output, height, width, precision)}


def _stylized(stylizer: Any, path: Path, size: int | None) -> Image.Image:
    from PIL import Image

    from keras_t2i.data.pictures import open_picture, resized

    picture = open_picture(path)
    image = Image.fromarray(picture.on(255))
    factor = 1.0 if size is None else min(1.0, size / max(image.size))
    try:
        drawn = Image.fromarray(stylizer.stylize(np.asarray(resized(image, factor))))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} cannot be stylized: {error}") from error
    if picture.alpha is not None and picture.alpha.min() < 255:
        drawn.putalpha(resized(Image.fromarray(picture.alpha), factor))
    return drawn


def _digest(pixels: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
