"""A look that a trained generator never had, from a few pictures: its drawings are translated into such pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keras_t2i.networks.guided import GuidedGenerator
from keras_t2i.networks.translated import TranslatedGenerator
from keras_t2i.objectives.translating import Translating
from keras_t2i.transfer.freezing import freeze

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN
    from keras_t2i.transfer.plan import Plan

__all__ = ["translate"]

_SEEN_FINE = 3
"""Frozen features are compared at so many scales, from the finest."""


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
        ValueError: if images guide its generator, or a setting is not positive.
    """
    if isinstance(gan.generator, GuidedGenerator):
        raise ValueError("`translate` is for what a generator draws from captions alone, and images guide this one.")
    maps = None
    discriminator = gan.discriminator
    if getattr(discriminator, "backbone", None):
        maps = lambda images: discriminator.maps(images)[:_SEEN_FINE]  # noqa: E731
    term = Translating(maps, pixel_weight=pixels)
    gan.use_networks(TranslatedGenerator(gan.ema_generator.copy(name="source"), width, depth), discriminator)
    return replace(freeze(gan, generator=["source"]), name="translate", terms=(term,))
