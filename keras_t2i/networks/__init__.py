"""Generators, discriminators and flows, one file a family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_t2i.core.lazy import lazy
from keras_t2i.networks.families import ACTIVATIONS, FAMILIES, SIZES, Family
from keras_t2i.networks.image_inputs import IMAGE_INPUTS, ImageInput

if TYPE_CHECKING:
    from keras_t2i.networks.attention import SelfAttention
    from keras_t2i.networks.base import Discriminator, Generator
    from keras_t2i.networks.compact import CompactDiscriminator, CompactGenerator
    from keras_t2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator
    from keras_t2i.networks.df_gan import DFGANDiscriminator, DFGANGenerator
    from keras_t2i.networks.flow import FlowGenerator
    from keras_t2i.networks.guided import GuidedGenerator
    from keras_t2i.networks.mlp import MLPDiscriminator, MLPGenerator
    from keras_t2i.networks.projected import ProjectedDiscriminator
    from keras_t2i.networks.spectral import SpectralConv2D, SpectralDense
    from keras_t2i.networks.styled import StyledGenerator
    from keras_t2i.networks.stylizing import StylizingNetwork
    from keras_t2i.networks.text_tower import TextTower
    from keras_t2i.networks.translated import TranslatedGenerator
    from keras_t2i.networks.upscaled import UpscaledGenerator

__all__ = [
    "ACTIVATIONS",
    "FAMILIES",
    "IMAGE_INPUTS",
    "SIZES",
    "CompactDiscriminator",
    "CompactGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DFGANDiscriminator",
    "DFGANGenerator",
    "Discriminator",
    "Family",
    "FlowGenerator",
    "Generator",
    "GuidedGenerator",
    "ImageInput",
    "MLPDiscriminator",
    "MLPGenerator",
    "ProjectedDiscriminator",
    "SelfAttention",
    "SpectralConv2D",
    "SpectralDense",
    "StyledGenerator",
    "StylizingNetwork",
    "TextTower",
    "TranslatedGenerator",
    "UpscaledGenerator",
]

__getattr__ = lazy(
    __name__,
    {
        "attention": ["SelfAttention"],
        "base": ["Discriminator", "Generator"],
        "compact": ["CompactDiscriminator", "CompactGenerator"],
        "dcgan": ["DCGANDiscriminator", "DCGANGenerator"],
        "df_gan": ["DFGANDiscriminator", "DFGANGenerator"],
        "flow": ["FlowGenerator"],
        "guided": ["GuidedGenerator"],
        "mlp": ["MLPDiscriminator", "MLPGenerator"],
        "projected": ["ProjectedDiscriminator"],
        "spectral": ["SpectralConv2D", "SpectralDense"],
        "styled": ["StyledGenerator"],
        "stylizing": ["StylizingNetwork"],
        "text_tower": ["TextTower"],
        "translated": ["TranslatedGenerator"],
        "upscaled": ["UpscaledGenerator"],
    },
)
