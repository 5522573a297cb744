"""A generator that completes images: a trained one, and a branch that reads what is known of an image."""

from __future__ import annotations

from typing import Any, Self

import keras
from keras import layers, ops

from keras_t2i.networks.base import Generator
from keras_t2i.networks.blocks import Block, convolution, leaky, unit_rms, upsample
from keras_t2i.networks.image_inputs import IMAGE_INPUTS, hide, with_known
from keras_t2i.networks.nested import NestedGenerator
from keras_t2i.networks.outlines import moved

__all__ = ["IMAGE_INPUT", "GuidedGenerator"]

IMAGE_INPUT = "image_input"
"""Name of what it is given of an image, beside what it reads of the caption, in a condition."""

_WIDEST = 5
"""At most so many times the channels of full size, at any scale."""


@keras.saving.register_keras_serializable("keras_t2i")
class GuidedGenerator(NestedGenerator):
    """Draws with a trained generator, guided by what is known of an image: a picture with a hole, its edges, ...

    A branch reads that at full size and at each half of it, and, together with the maps of the trained generator,
    adds to these at every scale, through layers that are zero at first: so what is drawn is then exactly what the
    source draws. Without an image, it always is. `keras_t2i.transfer.guide` makes one and trains it.

    Reference:
        Adding Conditional Control to Text-to-Image Diffusion Models (Zhang et al., 2023), arXiv:2302.05543. Differs:
        the source draws in one pass, its branch is no copy of it and adds at full size too, so that texture goes on.

    Args:
        source: The trained generator: a `CompactGenerator`, or an `UpscaledGenerator` of one.
        image_input: A name in `keras_t2i.networks.IMAGE_INPUTS`.
        width: Channels of the branch at full size; twice as many at each half, five times at most.
        modulates: Whether the branch reads the caption too, and scales maps beside adding to them, in units of their
            size, which is anything in generators that bring features to unit scale. Branches that were trained before
            there was a choice do not: they learn to complete pictures, but not to move what the source draws.

    Call arguments:
        latents: As of `source`.
        sentence_embeddings: Likewise; or a dictionary with what `source` reads, and `"image_input"`, float32, shape
            `(B, image_size, image_size, channels)`.

    Returns:
        Images in [-1, 1], float32, shape `(B, image_size, image_size, 3)`; `completed` puts the known part of a picture
        with a hole in its place.

    Raises:
        ValueError: if `source` is another generator, or there is no such image input.
    """

    def __init__(
        self,
        source: Generator,
        image_input: str = "complete",
        width: int = 12,
        modulates: bool = True,
        **kwargs: Any,
    ) -> None:
        maps = source.adjustable
        if not maps:
            raise ValueError(
                "Images can guide a CompactGenerator (the families compact and projected), enlarged or not, and no "
                f"{type(source).__name__}: begin with a model that has one."
            )
        super().__init__(source, source.image_size, **kwargs)
        self.image_input, self.width, self.modulates = IMAGE_INPUTS.canonical(image_input), width, modulates
        self.kind = IMAGE_INPUTS[image_input]
        widths = {size: min(_WIDEST, source.image_size // size) * width for size, _ in maps}
        self.reader = Reader(list(widths.values()), name="reader")
        kind = Adjustment if modulates else Addition
        self.additions = [
            kind(widths[size], channels, name=f"addition_{number}") for number, (size, channels) in enumerate(maps)
        ]

    @property
    def reading(self) -> Generator:
        """What reads captions: the source, or what that is around."""
        network: Any = self.source
        while isinstance(network, NestedGenerator):
            network = network.source
        return network

    @property
    def manner(self) -> tuple[Any, ...]:
        return (*super().manner, self.image_input)

    def _condition_shape(self, embedding_dim: int) -> Any:
        size = self.image_size
        of_text = self.source._condition_shape(embedding_dim)
        of_text = of_text if isinstance(of_text, dict) else {self.reads[0]: of_text}
        return {**of_text, IMAGE_INPUT: (None, size, size, self.kind.channels)}

    def select(self, condition: dict[str, Any]) -> Any:
        if IMAGE_INPUT not in condition:
            return super().select(condition)
        return {name: condition[name] for name in (*self.reads, IMAGE_INPUT)}

    def moved(self, images: Any, seed: Any) -> Any:
        return moved(images, seed) if self.kind.moves else images

    def given(self, images: Any, seed: Any) -> dict[str, Any]:
        return {IMAGE_INPUT: ops.stop_gradient(self.kind.make(images, seed))}

    def asked(self, pictures: Any, masks: Any = None) -> dict[str, Any]:
        """What it is given of pictures that are to be completed, as a part of a condition.

        Args:
            pictures: In [-1, 1], float32, shape `(B, image_size, image_size, 3)`: small ones enlarged to it.
            masks: 1 in the hole and 0 elsewhere, float32, shape `(B, image_size, image_size, 1)`, where there is one.
        """
        return {IMAGE_INPUT: hide(pictures, masks) if self.kind.has_hole else self.kind.read(pictures)}

    def complete(self, latents: Any, condition: dict[str, Any], pictures: Any, masks: Any = None) -> Any:
        """Pictures completed as captions say, in one go: what exports are made of.

        Args:
            latents: As in a call.
            condition: What it reads of the captions, by name.
            pictures: As of `asked`.
            masks: Likewise.

        Returns:
            Images in [-1, 1], float32, of the shape of the pictures.
        """
        condition = {**condition, **self.asked(pictures, masks)}
        return self.completed(self(latents, self.select(condition), training=False), condition)

    def completed(self, drawing: Any, condition: dict[str, Any]) -> Any:
        return with_known(drawing, condition[IMAGE_INPUT]) if self.kind.has_hole else drawing

    def call(self, latents: Any, sentence_embeddings: Any, training: bool | None = None) -> Any:
        if not isinstance(sentence_embeddings, dict) or IMAGE_INPUT not in sentence_embeddings:
            return self.source(latents, sentence_embeddings, training=training)
        seen = {maps.shape[1]: maps for maps in self.reader(sentence_embeddings[IMAGE_INPUT])}
        additions = iter(self.additions)
        carried: list[Any] = [None]
        text = self.source.select(sentence_embeddings)
        read = [self.reading.standardized(text)] if self.modulates else []

        def adjust(maps: Any) -> Any:
            maps, carried[0] = next(additions)(maps, seen[maps.shape[1]], carried[0], *read)
            return maps

        return self.source(latents, text, training=training, adjust=adjust)

    def unmirrored(self, images: Any, latents: Any) -> Any:
        return images  # A picture that is given is not mirrored, and neither is what is drawn for it.

    def get_config(self) -> dict[str, Any]:
        names = ("image_input", "width", "modulates")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        config = {name: value for name, value in config.items() if name != "image_size"}
        return super().from_config({"modulates": False, **config})


class Reader(Block):
    """What is seen in an image at full size and at each half of it, from the coarsest on.

    Args:
        widths: Channels at each scale, in that order.
    """

    def __init__(self, widths: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        *coarser, finest = widths
        self.stem = convolution(finest)
        self.halved = [convolution(width, 4, strides=2) for width in reversed(coarser)]

    def call(self, image: Any) -> list[Any]:
        seen = [leaky(self.stem(image))]
        for conv in self.halved:
            seen.append(leaky(conv(seen[-1])))
        return seen[::-1]


class Adjustment(Block):
    """Scales a generator's maps, and adds to them, by what a branch makes of them, of the image and of the caption.

    Args:
        width: Channels of the branch.
        channels: Those of the generator's maps.

    Returns:
        The maps, and what is handed to the next.
    """

    def __init__(self, width: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.join = convolution(width)
        self.of_text = layers.Dense(width)
        self.deepen = convolution(width)
        self.to_maps = layers.Conv2D(2 * channels, 1, kernel_initializer="zeros")

    def call(self, maps: Any, seen: Any, carried: Any, text: Any) -> tuple[Any, Any]:
        joined = leaky(self.join(_side_by_side(maps, seen, carried, self.compute_dtype)))
        joined = leaky(self.deepen(joined + self.of_text(text)[:, None, None, :]))
        scaled, added = ops.split(self.to_maps(joined), 2, axis=-1)
        size = ops.sqrt(ops.mean(ops.square(maps), axis=(1, 2, 3), keepdims=True) + 1e-6)
        return maps * (1.0 + scaled) + size * added, joined


class Addition(Block):
    """Only adds, and has not read the caption: see `GuidedGenerator(modulates=False)`. The same arguments otherwise."""

    def __init__(self, width: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.join = convolution(width)
        self.to_maps = layers.Conv2D(channels, 1, kernel_initializer="zeros")

    def call(self, maps: Any, seen: Any, carried: Any) -> tuple[Any, Any]:
        joined = leaky(self.join(_side_by_side(maps, seen, carried, self.compute_dtype)))
        return maps + self.to_maps(joined), joined


def _side_by_side(maps: Any, seen: Any, carried: Any, dtype: str) -> Any:
    """Maps at unit scale, what is seen of the image there, and what was made of the maps before, if anything."""
    if carried is not None and carried.shape[1] != maps.shape[1]:
        carried = upsample(carried)
    joined = [unit_rms(maps), seen, *([] if carried is None else [carried])]
    return ops.concatenate([ops.cast(each, dtype) for each in joined], axis=-1)
