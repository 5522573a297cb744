"""Generators and discriminators, one file a family."""

from keras_t2i.networks.base import Discriminator, Generator
from keras_t2i.networks.compact import CompactDiscriminator, CompactGenerator
from keras_t2i.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from keras_t2i.networks.df_gan import DFGANDiscriminator, DFGANGenerator
from keras_t2i.networks.mlp import MLPDiscriminator, MLPGenerator

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
]
