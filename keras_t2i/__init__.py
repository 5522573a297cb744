"""Text-to-image generators in Keras: train on your own captioned images, measure, and ship."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keras_t2i import data, export, metrics, models, networks, objectives, presets, tasks, text, training, transfer
    from keras_t2i.image_features import ImageFeatures
    from keras_t2i.models import DiffusionTextToImage, TextToImage, TextToImageGAN
    from keras_t2i.objectives import augmentation, losses, penalties
    from keras_t2i.text import TextEncoder

__all__ = [
    "DiffusionTextToImage",
    "ImageFeatures",
    "TextEncoder",
    "TextToImage",
    "TextToImageGAN",
    "__version__",
    "augmentation",
    "data",
    "export",
    "losses",
    "metrics",
    "models",
    "networks",
    "objectives",
    "penalties",
    "presets",
    "tasks",
    "text",
    "training",
    "transfer",
]

_CLASSES = {
    "DiffusionTextToImage": "keras_t2i.models",
    "ImageFeatures": "keras_t2i.image_features",
    "TextEncoder": "keras_t2i.text",
    "TextToImage": "keras_t2i.models",
    "TextToImageGAN": "keras_t2i.models",
}
_MODULES = {
    "keras_t2i.augmentation": "keras_t2i.objectives.augmentation",
    "keras_t2i.gan": "keras_t2i.models.gan",
    "keras_t2i.losses": "keras_t2i.objectives.losses",
    "keras_t2i.penalties": "keras_t2i.objectives.penalties",
}
"""Modules that can be imported by a shorter name, or by the one that they had in 0.1: it is the same module."""
_MOVED = {
    "keras_t2i.presets": {
        "FAMILIES": "keras_t2i.networks",
        "Family": "keras_t2i.networks",
        "build_gan": "keras_t2i.models",
    }
}
"""Names that are to be had where they were in 0.1."""


def __getattr__(name: str) -> Any:
    # Loaded at first use: importing TensorFlow takes seconds, and `keras-t2i --help` needs none of it.
    if name in _CLASSES:
        return getattr(importlib.import_module(_CLASSES[name]), name)
    if name in __all__:
        return importlib.import_module(f"keras_t2i.{name}")
    raise AttributeError(f"module 'keras_t2i' has no attribute {name!r}")


def moved(module: str, name: str) -> Any:
    """What a module had in 0.1 and another has now."""
    if name not in _MOVED.get(module, {}):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MOVED[module][name]), name)


class _Renamed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of `_MODULES` under their other names."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if name in _MODULES else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(_MODULES[spec.name])
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own_spec  # Importing it by another name has put that one's in its place.


sys.meta_path.append(_Renamed())


class _Registering(importlib.abc.MetaPathFinder):
    """Makes our models known to Keras as soon as it is there, so that `keras.saving.load_model` can read them.

    A backend on which nothing here runs is refused before that, and before Keras fails with it in its own way.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if name == "keras" else None
        if spec is not None and spec.loader is not None:
            check_backend = importlib.import_module("keras_t2i.core.supported").check_backend
            check_backend()
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                check_backend(module.config.backend())  # `keras.json` may name one.
                _register(module)

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


def _register(keras: Any) -> None:
    """Puts a class that knows where the real one is in its place, until that is imported and takes it."""

    def from_config(config: dict[str, Any]) -> Any:
        return importlib.import_module("keras_t2i.models").TextToImageGAN.from_config(config)

    stand_in = type("TextToImageGAN", (), {"from_config": staticmethod(from_config)})
    keras.saving.get_custom_objects().setdefault("keras_t2i>TextToImageGAN", stand_in)


if "keras" in sys.modules:
    # `keras.saving.load_model` finds classes that are registered. Who has imported Keras may want to.
    importlib.import_module("keras_t2i.models")
else:
    sys.meta_path.insert(0, _Registering())
