"""Names and files: the families with their recipes, and whole trained models in a directory."""

from keras_t2i.presets.families import FAMILIES, Family, build_gan
from keras_t2i.presets.loader import describe, packaged_presets, resolve

__all__ = ["FAMILIES", "Family", "build_gan", "describe", "packaged_presets", "resolve"]
