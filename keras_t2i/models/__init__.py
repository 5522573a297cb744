"""Models: what is trained, measured and exported, and the recipes that build one by the name of a family."""

from keras_t2i.models.base import TextToImage
from keras_t2i.models.diffusion import DiffusionTextToImage
from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.models.part import Part
from keras_t2i.models.recipes import build_gan, compile_gan, family_of
from keras_t2i.models.stable_diffusion import stable_diffusion_3
from keras_t2i.models.stylizer import Stylizer

__all__ = [
    "DiffusionTextToImage",
    "Part",
    "Stylizer",
    "TextToImage",
    "TextToImageGAN",
    "build_gan",
    "compile_gan",
    "family_of",
    "stable_diffusion_3",
]
