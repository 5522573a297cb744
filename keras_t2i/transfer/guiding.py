"""A branch for a trained generator that reads an image: completion, and drawing from edges, sketches, grey."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keras_t2i.networks.guided import GuidedGenerator
from keras_t2i.networks.projected import ProjectedDiscriminator
from keras_t2i.objectives.consistency import Consistency
from keras_t2i.transfer.freezing import freeze

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN
    from keras_t2i.transfer.plan import Plan

__all__ = ["check_unguided", "guide"]

_WEIGHT, _WEIGHT_BESIDE_FROZEN_FEATURES = 10.0, 60.0
"""Of what the input determines: `projected` pulls at drawings six times as hard as `compact`, measured on emoji."""


def guide(gan: TextToImageGAN, image_input: str = "complete", width: int = 12) -> Plan:
    """Puts a branch beside the generator, which is frozen, and goes on training the discriminator.

    In every step the branch's input is made of the images of the batch: a part of each is hidden, for instance. The
    discriminator judges whole images with their captions; what the input determines is compared in pixels beside it:
    the more, the harder the discriminator pulls at drawings, where all of a picture is drawn.
    Train on images such as the model was trained on, or others: what it draws without an image stays as it is.

    Reference:
        Adding Conditional Control to Text-to-Image Diffusion Models (Zhang et al., 2023), arXiv:2302.05543. Differs:
        see `keras_t2i.networks.GuidedGenerator`; and it is adversarial, as Context Encoders (Pathak et al., 2016),
        arXiv:1604.07379, are.

    Args:
        gan: A model with trained weights, before `compile`. Its generator and its average are replaced.
        image_input: A name in `keras_t2i.networks.IMAGE_INPUTS`.
        width: Channels of the branch at full size.

    Raises:
        ValueError: if its generator is none that images can guide, or there is no such image input.
    """
    generator = GuidedGenerator(gan.ema_generator.copy(name="source"), image_input, width)
    gan.use_networks(generator, gan.discriminator)
    plan = freeze(gan, generator=["source"])
    is_pulled_harder = isinstance(gan.discriminator, ProjectedDiscriminator) and not generator.kind.has_hole
    weight = _WEIGHT_BESIDE_FROZEN_FEATURES if is_pulled_harder else _WEIGHT
    return replace(plan, name=generator.image_input, terms=(Consistency(generator.image_input, weight),))


def check_unguided(gan: TextToImageGAN, does: str) -> None:
    """Refuses a model whose generator images guide.

    Args:
        gan: The model.
        does: What refuses it, and what it does with drawings: "`style` is for".

    Raises:
        ValueError: if images guide its generator.
    """
    if isinstance(gan.generator, GuidedGenerator):
        raise ValueError(f"{does} what a generator draws from captions alone, and images guide this one.")
