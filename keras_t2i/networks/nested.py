"""What generators around another have in common: those that enlarge what it draws, draw it again, or guide it."""

from __future__ import annotations

from typing import Any, Self

import keras
import numpy as np

from keras_t2i.networks.base import Generator

__all__ = ["NestedGenerator", "RedrawingGenerator"]


class NestedGenerator(Generator):
    """Base class of generators that draw with a trained one, from the same noise and captions.

    Args:
        source: The trained generator.
        image_size: Height and width of the images in pixels.
    """

    nested = ("source",)

    def __init__(self, source: Generator, image_size: int, **kwargs: Any) -> None:
        super().__init__(image_size, source.latent_dim, **kwargs)
        self.source = source
        self.reads = source.reads

    @property
    def manner(self) -> tuple[Any, ...]:
        return self.source.manner

    def build_for(self, embedding_dim: int) -> None:
        if not self.built:
            self.source.build_for(embedding_dim)
            super().build_for(embedding_dim)
            self.center_like(self.source)

    def adapt(self, sentence_embeddings: np.ndarray) -> None:
        self.source.adapt(sentence_embeddings)
        self.center_like(self.source)

    def mirror(self, mirrored: bool) -> None:
        self.source.mirror(mirrored)

    def unmirrored(self, images: Any, latents: Any) -> Any:
        return self.source.unmirrored(images, latents)

    def features(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> list[Any]:
        return self.source.features(latents, sentence_embeddings, training=training)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["latent_dim"], config["vocabulary_size"]  # The source's.
        return {**config, "source": keras.saving.serialize_keras_object(self.source)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        return cls(**{**config, "source": keras.saving.deserialize_keras_object(config["source"])})


class RedrawingGenerator(NestedGenerator):
    """Base class of generators with a network behind a trained one, that draws its drawings again at their size.

    Args:
        source: The trained generator.
        width: Channels of the second network at full size.
        depth: Of its layers, how many there are at its smallest size.
    """

    def __init__(self, source: Generator, width: int, depth: int, **kwargs: Any) -> None:
        kwargs.pop("image_size", None)  # The source's.
        super().__init__(source, source.image_size, **kwargs)
        self.width, self.depth = width, depth

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "depth": self.depth}
