"""A look that a trained generator never had, from a few pictures: its drawings are translated into such pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keras_t2i.networks.translated import TranslatedGenerator
from keras_t2i.objectives.redrawing import fine_maps
from keras_t2i.objectives.translating import Translating
from keras_t2i.transfer.freezing import freeze
from keras_t2i.transfer.guiding import check_unguided

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN
    from keras_t2i.transfer.plan import Plan

__all__ = ["translate"]


def translate(gan: TextToImageGAN, width: int = 16, depth: int = 3, pixels: float = 30.0) -> Plan:
    """Puts a network behind the generator, which is frozen, that learns how the new pictures differ from its drawings.

    In every step the generator draws the captions of some pictures, and what it drew is translated into these: compared
    in pixels, in the frozen features of the discriminator where it has some, and by the discriminator, which goes on
    learning. Captions have to be such as the model knows: what it draws of them is all that is translated.

    Reference:
        Image-to-Image Translation with Conditional Adversarial Networks (Isola et al., 2017), arXiv:1611.07004.
        Differs: see `keras_t2i.networks.TranslatedGenerator`; and pairs are moved at random.

    Args:
        gan: A model with trained weights, before `compile`. Its generator and its average are replaced.
        width: Channels of the network at full size.
        depth: Its convolutions at an eighth of the size.
        pixels: Weight of the mean absolute difference.

    Raises:
        ValueError: if images guide its generator, `width` or `depth` is not positive, or `pixels` is negative.
    """
    check_unguided(gan, "`translate` is for")
    term = Translating(fine_maps(gan.discriminator), pixel_weight=pixels)
    gan.use_networks(TranslatedGenerator(gan.ema_generator.copy(name="source"), width, depth), gan.discriminator)
    return replace(freeze(gan, generator=["source"]), name="translate", terms=(term,))
