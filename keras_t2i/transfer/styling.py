"""The style of one picture for a trained generator, which goes on drawing all that it knew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from keras_t2i.core.latents import latents_for
from keras_t2i.core.pixels import from_bytes
from keras_t2i.data.pictures import style_picture
from keras_t2i.image_features import texture_maps
from keras_t2i.networks.styled import StyledGenerator
from keras_t2i.objectives.restyling import Restyling
from keras_t2i.objectives.style import StyleLoss
from keras_t2i.transfer.guiding import check_unguided
from keras_t2i.transfer.layers import freeze_layer, named_layers
from keras_t2i.transfer.plan import Plan

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN

__all__ = ["style"]

_LOOKED_AT = 16
_SEEN_AT = 128
"""Size that smaller images are looked at in: features of 64 pixels are too coarse for strokes of a few."""


def style(
    gan: TextToImageGAN,
    captions: np.ndarray,
    image: str | Path = "",
    features: str = "mobilenet_v2",
    size: int | None = None,
    weight: float = 5.0,
    colors: float = 8.0,
    width: int = 16,
    depth: int = 4,
) -> Plan:
    """Puts a network behind the generator, which is frozen, that draws its drawings again in the style of a picture.

    What counts is the texture and the colors of the picture, in frozen features, and that drawings show what the
    generator's own show. The discriminator is frozen, and not asked; of data only captions are used.

    Reference:
        Perceptual Losses for Real-Time Style Transfer and Super-Resolution (Johnson et al., 2016), arXiv:1603.08155.
        Differs: the pictures are a generator's; see also `keras_t2i.objectives.style.StyleLoss`.

    Args:
        gan: A model with trained weights, before `compile`. Its generator and its average are replaced.
        captions: Embeddings of captions such as it will draw, float32, shape `(N, D)`.
        image: The file of the picture.
        features: `"mobilenet_v2"`, or an `.npz` file of its weights: see `keras_t2i.image_features.texture_maps`.
        size: Length that the picture's shorter side is brought to, in pixels, twice the generator's images by default:
            smaller for smaller strokes.
        weight: Weight of the style, beside 1 for what is shown.
        colors: Weight of the colors that captions ask for: 0 for those of the picture.
        width: Channels of the network at full size.
        depth: Its residual blocks.

    Raises:
        ValueError: without a picture, for a size that is too small, a picture or features that cannot be used, or a
            generator that images guide.
        OSError: if the picture cannot be opened.
    """
    if not str(image):
        raise ValueError("`style` needs a picture: style:image=FILE.")
    check_unguided(gan, "`style` is for")
    size = size or 2 * gan.image_size
    if not 32 <= size <= 1024:
        raise ValueError(f"`size` of `style` is the picture's shorter side, from 32 to 1024 pixels; got {size}.")
    picture = from_bytes(style_picture(Path(image), size)[None].astype(np.float32))
    factor = max(1, _SEEN_AT // gan.image_size)
    maps = _enlarged(texture_maps(features), factor)
    source = gan.ema_generator.copy(name="source")
    some = np.asarray(captions, np.float32)[np.linspace(0, len(captions) - 1, _LOOKED_AT).astype(int)]
    drawn = source(latents_for(0, _LOOKED_AT, source.noise_shape), some, training=False)
    gan.use_networks(StyledGenerator(source, width, depth, factor), gan.discriminator)
    loss = StyleLoss(maps, picture, drawn, style_weight=weight, color_weight=colors)
    term = Restyling(loss, lambda latents, read: source(latents, source.select(read), training=False))
    for layer in named_layers(gan.discriminator).values():
        freeze_layer(layer)
    for name, layer in named_layers(gan.generator).items():
        if name.partition("/")[0] == "source":
            freeze_layer(layer)
    return Plan.of(gan, "style", (term,))


def _enlarged(maps: Callable[[Any], Sequence[Any]], factor: int) -> Callable[[Any], Sequence[Any]]:
    """Feature maps of images that are enlarged so many times before."""

    def of(images: Any) -> Sequence[Any]:
        _, height, width, _ = images.shape
        size = (factor * height, factor * width)
        return maps(images if factor == 1 else ops.image.resize(images, size, interpolation="bilinear"))

    return of
