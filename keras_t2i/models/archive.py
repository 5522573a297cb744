"""What Keras' own files hold of a model: `.keras` the whole of it, `.weights.h5` what training changes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import keras

from keras_t2i.models import files
from keras_t2i.models.state import load_random_states, save_random_states
from keras_t2i.networks.base import Network

__all__ = ["Archived"]


class Archived(keras.Model):
    """Base class of models with a text encoder and networks, as Keras writes and reads them."""

    part_classes: ClassVar[dict[str, type[Network]]] = {}
    """The parts that the constructor takes, by name, and the base class of each."""

    text_encoder: Any
    caption_denoiser: Any
    embedding_dim: int
    conditioning_dropout: float
    card: dict[str, Any]
    text_of: dict[str, Any]

    def parts(self) -> dict[str, Any]:
        """The networks by name, in the order in which they are written: trained ones and their averages."""
        raise NotImplementedError

    def __dir__(self) -> Iterable[str]:
        """Attributes by name, without the frozen text encoder and what is a second way to other attributes.

        Keras writes the weights of all that is named here; an encoder is most of a small model, and never changes.
        """
        return [name for name in super().__dir__() if name not in ("drawer", "layers", "text_encoder")]

    def get_config(self) -> dict[str, Any]:
        """What the trained networks are built from, and what they are conditioned on, with what reads it."""
        networks = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.part_classes}
        return {
            "embedding_dim": self.embedding_dim,
            "conditioning_dropout": self.conditioning_dropout,
            **networks,
            **files.about_text(self),
            "card": self.card,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """A new model of the same form.

        A text encoder from outside the package is not in a configuration: `keras.saving.load_model` brings it along.
        """
        gan = files.from_config(cls, config)
        if config.get("text_encoder") is not None:
            # While Keras reads an archive nothing outside of it can be opened; `load_assets` comes after.
            with contextlib.suppress(ValueError):
                files.read_encoder(gan, Path())
        return gan

    def save(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Keras' own `save`, of what can be read again: where it could not, an older file stays as it is.

        Raises:
            ValueError: if a network is not registered, or the card is not plain JSON.
        """
        files.check(self)
        super().save(filepath, *args, **kwargs)

    def save_own_variables(self, store: Any) -> None:
        """Part of `save` and `save_weights`: random states, which Keras leaves out, go along."""
        super().save_own_variables(store)
        save_random_states(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Part of `load_model` and `load_weights`."""
        super().load_own_variables(load_random_states(self, store))

    def save_assets(self, directory: str) -> None:
        """Part of `save("model.keras")`: writes a text encoder from outside the package."""
        (Path(directory) / "ABOUT.txt").write_text("The text encoder, where it is not one of keras_t2i.\n")
        files.write_encoder(self, Path(directory))

    def load_assets(self, directory: str) -> None:
        """Part of `keras.saving.load_model`: reads it back."""
        files.read_encoder(self, Path(directory))
