"""Generators and discriminators, one file a family."""

from keras_t2i.networks.attention import SelfAttention
from keras_t2i.networks.base import Discriminator, Generator
from keras_t2i.networks.compact import CompactDiscriminator, CompactGenerator
from keras_t2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from keras_t2i.networks.df_gan import DFGANDiscriminator, DFGANGenerator
from keras_t2i.networks.mlp import MLPDiscriminator, MLPGenerator
from keras_t2i.networks.projected import ProjectedDiscriminator
from keras_t2i.networks.spectral import SpectralConv2D, SpectralDense
from keras_t2i.networks.text_tower import TextTower

__all__ = [
    "CompactDiscriminator",
    "CompactGenerator",
    "DCGANDiscriminator",
    "DCGANGenerator",
    "DFGANDiscriminator",
    "DFGANGenerator",
    "Discriminator",
    "Generator",
    "MLPDiscriminator",
    "MLPGenerator",
    "ProjectedDiscriminator",
    "SelfAttention",
    "SpectralConv2D",
    "SpectralDense",
    "TextTower",
]
