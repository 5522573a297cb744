"""A second stage for a trained generator: larger, sharper images, while what it draws stays as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keras_t2i.models import family_of
from keras_t2i.networks import FAMILIES
from keras_t2i.networks.upscaled import UpscaledGenerator
from keras_t2i.objectives.redrawing import Redrawing, fine_maps
from keras_t2i.transfer.freezing import freeze
from keras_t2i.transfer.guiding import check_unguided
from keras_t2i.transfer.strategies import enlarged

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN
    from keras_t2i.transfer.plan import Plan

__all__ = ["upscale"]


def upscale(gan: TextToImageGAN, image_size: int | None = None, width: int = 32, depth: int = 4) -> Plan:
    """Puts a second stage behind the generator, which is frozen, and a new discriminator of its family beside it.

    The second stage learns on the training images themselves, reduced and enlarged again, and on what the generator
    draws; the discriminator, with its captions, judges both. Train on the same images as before, at the larger size.

    Reference:
        StackGAN (Zhang et al., 2017), arXiv:1612.03242, and SRGAN (Ledig et al., 2017), arXiv:1609.04802. Differs:
        pixels, frozen features and adversary in one term each, on real and on drawn images in the same step.

    Args:
        gan: A model with trained weights, before `compile`. Its generator, its average and its discriminator are
            replaced.
        image_size: Height and width of the images in pixels, 2 or 4 times as before; twice by default.
        width: Channels of the second stage.
        depth: Residual blocks of the second stage.

    Raises:
        ValueError: if it cannot draw images of that size.
    """
    recipe = FAMILIES[family_of(gan)]
    check_unguided(gan, "`upscale` enlarges")
    image_size = enlarged(gan.image_size, image_size)
    generator = UpscaledGenerator(gan.ema_generator.copy(name="source"), image_size, width, depth)
    vocabulary_size = gan.discriminator.vocabulary_size
    assert recipe.discriminator is not None  # The strategy is refused to models without one.
    discriminator = recipe.discriminator(image_size=image_size, vocabulary_size=vocabulary_size)
    discriminator.build_for(gan.embedding_dim)
    discriminator.center_like(gan.generator)
    if backbone := getattr(gan.discriminator, "backbone", None):
        discriminator.initialize_backbone(backbone.get_weights())
    gan.use_networks(generator, discriminator)
    return replace(freeze(gan, generator=["source"]), name="upscale", terms=(Redrawing(fine_maps(discriminator)),))
