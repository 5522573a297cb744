"""What every generator and every discriminator has in common."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_t2i.core.backend import example
from keras_t2i.core.keras_internals import own_layers
from keras_t2i.core.pixels import resize
from keras_t2i.networks.text_tower import TextTower

__all__ = ["Discriminator", "Generator", "Network"]

_CELLS = 8
"""Of an image, in each direction, by which layouts are told."""


class Network(keras.Model):
    """A network that is built once the length of the sentence embeddings is known, also when it is deserialised."""

    embedding_dim: int | None = None
    reads: tuple[str, ...] = ("sentence_embeddings",)
    """What it reads of a caption, by the names that text encoders give it: see `keras_t2i.text.TextEncoder`."""

    inherited: tuple[str, ...] = ()
    """Settings that a network takes over from the one it starts from: older models have others than new ones."""

    nested: tuple[str, ...] = ()
    """Settings that are networks themselves."""

    unfolded: tuple[str, ...] = ()
    """Networks within it whose layers go by their own names, as if they were its own."""

    adapts: tuple[str, ...] = ("*",)
    """Layers that adapters are put beside where nothing is said, by pattern."""

    reading_text: tuple[str, ...] = ("text", "text_tower", "deeper_text", "style", "project_text")
    """Layers that turn caption, and noise, into what the blocks are modulated by or the image is compared with."""

    def __init__(self, image_size: int, vocabulary_size: int | None = None, **kwargs: Any) -> None:
        # Inputs stay as they come, for token numbers cannot be rounded; every layer casts its own.
        super().__init__(autocast=False, **kwargs)
        self.image_size = image_size
        self.vocabulary_size = vocabulary_size
        self.text_tower = TextTower(vocabulary_size, name="text_tower") if vocabulary_size is not None else None

    def _input_shape(self) -> tuple[int | None, ...]:
        """Shape of what `call` takes beside the sentence embeddings."""
        raise NotImplementedError

    def _condition_shape(self, embedding_dim: int) -> Any:
        """Shape of what it reads, or a dictionary of shapes where it reads several things."""
        return (None, embedding_dim)

    def select(self, condition: dict[str, Any]) -> Any:
        """What it reads out of a condition: one tensor, or a dictionary where it reads several things."""
        return condition[self.reads[0]] if len(self.reads) == 1 else {name: condition[name] for name in self.reads}

    def check_ready(self) -> None:
        """Raises `ValueError` where something is missing without which it cannot be trained."""

    def build(self, input_shape: Any) -> None:
        """Leaves it to the first call, which Keras would otherwise trace twice more to find the shapes."""

    def build_for(self, embedding_dim: int) -> None:
        """Creates the weights for captions whose embeddings have the length `embedding_dim`."""
        if not self.built:
            self.embedding_dim = embedding_dim
            if self.text_tower is None:
                self.text_mean = self.add_weight((embedding_dim,), "zeros", trainable=False, name="text_mean")
                self.text_scale = self.add_weight((), "ones", trainable=False, name="text_scale")
            self(example(self._input_shape()), example(self._condition_shape(embedding_dim)))

    def adapt(self, sentence_embeddings: np.ndarray) -> None:
        """Sets what `standardized` subtracts and multiplies by, from the captions of a data set, shape `(N, D)`.

        The captions of one data set resemble each other: without their common part, what tells them apart is larger
        and learned sooner. A network with a text tower of its own has nothing to set.
        """
        if self.text_tower is not None:
            return
        embeddings = np.asarray(sentence_embeddings, np.float32)
        spread = float((embeddings - embeddings.mean(axis=0)).std())
        self.text_mean.assign(embeddings.mean(axis=0))
        self.text_scale.assign(1.0 / spread if spread > 1e-3 else 1.0)

    def mirror(self, mirrored: bool) -> None:
        """Says that the images it learns are mirrored at random, or that they are not, before it is first called.

        A network that can will then draw the mirror image for half of all noise: half as much to learn, and more
        pictures of each caption.
        """

    def center_like(self, other: Network) -> None:
        """Reads captions centered and scaled as another network does."""
        if self.text_tower is None and other.text_tower is None:
            for ours, theirs in ((self.text_mean, other.text_mean), (self.text_scale, other.text_scale)):
                ours.assign(np.array(ops.convert_to_numpy(theirs)))  # In JAX the two would share memory.

    def standardized(self, sentence_embeddings: Any) -> Any:
        """The embeddings, centered and scaled as `adapt` found best; unchanged before.

        With a text tower they are token numbers, and its output, shape `(B, 128)`, takes their place.
        """
        if self.text_tower is not None:
            return self.text_tower(sentence_embeddings)
        standardized = (ops.cast(sentence_embeddings, "float32") - self.text_mean) * self.text_scale
        return ops.cast(standardized, self.compute_dtype)

    def copy(self, **changes: Any) -> Any:
        """A built network of the same form with the same weights; LoRA's adapters are merged into their kernels.

        Args:
            **changes: What is to differ in its configuration, for instance `dtype`.
        """
        copy = type(self).from_config({**self.get_config(), **changes})
        copy.build_for(self.embedding_dim)
        for ours, theirs in zip(own_layers(self), own_layers(copy), strict=True):
            weights: dict[str, Any] = {}
            ours.save_own_variables(weights)
            # By way of arrays: in JAX the two would share memory, and a step frees what it replaces.
            theirs.load_own_variables({name: np.array(ops.convert_to_numpy(w)) for name, w in weights.items()})
        return copy

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "image_size": self.image_size, "vocabulary_size": self.vocabulary_size}
        del config["dtype"]  # Where it is built again decides what it is computed in, as of the layers in it.
        return config

    def get_build_config(self) -> dict[str, Any] | None:
        return None if self.embedding_dim is None else {"embedding_dim": self.embedding_dim}

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.build_for(config["embedding_dim"])


class Generator(Network):
    """Base class of generators: latents and a sentence embedding in, images out.

    Subclasses implement `call(latents, sentence_embeddings, training=None)` with Keras layers and `keras.ops` alone.

    Args:
        image_size: Height and width of the images in pixels.
        latent_dim: Length of the noise vector, Z.
        vocabulary_size: With it, the sentence embeddings are token numbers (see `keras_t2i.text.TokenIds`), which the
            network reads by a text tower that is trained with it. All subclasses take it.
    """

    has_average = True
    """Whether images are drawn with an average of its weights, which are then there twice."""
    pretrained_dropout = 0.0
    """Share of captions that were left out when it was trained, before anybody here saw it."""
    learns_codes = False
    """Whether it learns what an autoencoder makes of images, which can be computed ahead of time: see `encoded`."""

    def __init__(self, image_size: int, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(image_size, **kwargs)
        self.latent_dim = latent_dim

    @property
    def manner(self) -> tuple[Any, ...]:
        """What decides what it draws beside weights and size."""
        return ()

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise of one image."""
        return (self.latent_dim,)

    def coarse(self, latents: Any, length: int) -> Any:
        """What says most of the picture in noise, for a network that is given less of it.

        Args:
            latents: Standard normal noise, float32, shape `(B, *noise_shape)`.
            length: At most how many numbers an image.

        Returns:
            Standard normal too, float32, shape `(B, M)` with an `M` of at most `length`.
        """
        return latents[:, :length]

    @property
    def adjustable(self) -> list[tuple[int, int]]:
        """Size and channels of the maps that its `call` hands to `adjust`, in that order; none where it takes no such.

        A generator that has some can be guided by images: see `GuidedGenerator`.
        """
        return []

    def unmirrored(self, images: Any, latents: Any) -> Any:
        """What it drew from noise, with those that are mirror images mirrored back."""
        return images

    def encoded(self, images: Any) -> Any:
        """What is learned of images in [-1, 1], shape `(B, H, W, 3)`: themselves, or an autoencoder's latents."""
        return images

    def _input_shape(self) -> tuple[int | None, ...]:
        return (None, *self.noise_shape)

    def moved(self, images: Any, seed: Any) -> Any:
        """Images of a batch as they are learned in a step of training; mostly as they are. Arguments as of `given`."""
        return images

    def given(self, images: Any, seed: Any) -> dict[str, Any]:
        """What it is given of the images of a batch in a step of training, beside their captions; mostly nothing.

        Args:
            images: Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`.
            seed: A `keras.random.SeedGenerator`, or an integer.
        """
        return {}

    def completed(self, drawing: Any, condition: dict[str, Any]) -> Any:
        """Its drawing with what of a picture is known, and was given in the condition, in its place."""
        return drawing

    def features(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> list[Any]:
        """What the blocks make of the same arguments as `call`'s, from coarse to fine, shapes `(B, ...)`.

        The image is drawn from the last of them. Subclasses that leave it out cannot be held near a source generator by
        `keras_t2i.transfer.correspondence`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not show the features of its blocks.")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "latent_dim": self.latent_dim}


class Discriminator(Network):
    """Base class of discriminators: images and a sentence embedding in, one logit out.

    The work is split in two, so that an image's features can be judged against several captions at the price of one
    pass: `extract(images)` does not see the caption, `judge(features, sentence_embeddings)` does.

    Args:
        image_size: Height and width of the images in pixels.
        vocabulary_size: As for `Generator`.
    """

    num_layout_numbers = 16
    """In how many ways layouts, as `layout` has them, are to differ by the noise, at most."""

    def _input_shape(self) -> tuple[int | None, ...]:
        return (None, self.image_size, self.image_size, 3)

    def extract(self, images: Any, training: bool | None = None) -> Any:
        """Image features, for images in [-1, 1] of shape `(B, image_size, image_size, 3)`."""
        raise NotImplementedError

    def judge(self, features: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        """Logits of shape `(B,)`, high where the image looks real and the caption describes it."""
        raise NotImplementedError

    def match(self, features: Any, sentence_embeddings: Any) -> Any:
        """How well each image fits each caption, shape `(B, B)`: row `i`, column `j` is image `i` with caption `j`.

        Only for discriminators that compare images and captions in a common space; it makes the contrastive term of
        `TextToImageGAN.compile` possible.
        """
        raise NotImplementedError(f"{type(self).__name__} has no common space of images and captions to match in.")

    def layout(self, images: Any) -> Any:
        """What it tells layouts by, with weights that are not trained: the colors of 8 x 8 cells.

        Args:
            images: Images in [-1, 1], shape `(B, image_size, image_size, 3)`.

        Returns:
            Float32, shape `(B, F)`.
        """
        cells = resize(ops.cast(images, "float32"), _CELLS)
        return ops.reshape(cells, (-1, 3 * _CELLS**2))

    def call(self, images: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        return self.judge(self.extract(images, training=training), sentence_embeddings, training=training)


def check_depth(depth: int, name: str = "depth") -> int:
    """Returns `depth`, or raises `ValueError` where it is no number of layers."""
    if not isinstance(depth, int) or depth < 1:
        raise ValueError(f"`{name}` must be at least 1; got {depth!r}.")
    return depth


def check_image_size(image_size: int, smallest: int = 32, largest: int = 256) -> int:
    """Returns `image_size`, or raises `ValueError` where it is not a power of two within the limits."""
    power_of_two = isinstance(image_size, int) and image_size > 0 and image_size & (image_size - 1) == 0
    if not power_of_two or not smallest <= image_size <= largest:
        sizes = [str(size) for size in (32, 64, 128, 256) if smallest <= size <= largest]
        raise ValueError(f"`image_size` must be one of {', '.join(sizes)}; got {image_size!r}.")
    return image_size
