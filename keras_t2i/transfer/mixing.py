"""Source images mixed into the training stream, so that what they taught is not forgotten."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from keras_t2i.data import CaptionedImages
from keras_t2i.transfer.plan import Plan, start_from_average

if TYPE_CHECKING:
    from keras_t2i.models import TextToImageGAN

__all__ = ["MixedImages", "mix_source", "mixing"]


@dataclass(frozen=True)
class MixedImages(CaptionedImages):
    """Captioned images, some of every batch from another set; everything else is that of the first set.

    Args:
        source: The other set, with a batch size of as many of its images as every batch is to hold.
    """

    source: CaptionedImages | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which as many images of the first set pass as it holds (at least one)."""
        return self._parts()[0].steps_per_epoch

    def encode(self, text_encoder: Any) -> MixedImages:
        _, source = self._parts()
        return replace(super().encode(text_encoder), source=source.encode(text_encoder))  # type: ignore[call-arg,return-value]

    def _parts(self) -> tuple[CaptionedImages, CaptionedImages]:
        assert self.source is not None  # A default only because the fields before it have some.
        values = {field.name: getattr(self, field.name) for field in fields(CaptionedImages)}
        return CaptionedImages(
            **{**values, "batch_size": self.batch_size - self.source.batch_size, "share": (0, 1)}
        ), self.source

    def _train_batch(self, step: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        target, source = (part._train_batch(step, seed) for part in self._parts())
        first, end = self._shared  # What a share holds is known once both are there.
        return {name: tf.concat([target[name], source[name]], axis=0)[first:end] for name in target}


def mixing(gan: TextToImageGAN) -> Plan:
    """Trains both networks whole, as `full` does: what differs is the images, see `mix_source`."""
    start_from_average(gan)
    return Plan.of(gan, "mixing")


def mix_source(dataset: CaptionedImages, source: CaptionedImages, share: float = 0.5) -> MixedImages:
    """Mixes images of a source into a training set: the same number into every batch.

    Validation, `train_split` and `skipped` stay those of `dataset`. The stream follows from its seed and the position
    in it, as before: a resumed run sees the same batches.

    Args:
        dataset: The images to train for.
        source: Images that the model was trained on, of the same size.
        share: Share of each batch that is the source's, rounded, at least one image and never all.

    Raises:
        ValueError: if `share` is not between 0 and 1, the sizes differ, or a batch holds one image.
    """
    if not 0 < share < 1:
        raise ValueError(f"`share` must be between 0 and 1; got {share}.")
    if dataset.image_size != source.image_size or dataset.batch_size < 2:
        raise ValueError(
            f"Sets can be mixed where images have one size and batches hold several; got {dataset.image_size} and "
            f"{source.image_size} pixels, batches of {dataset.batch_size}."
        )
    count = min(max(round(share * dataset.batch_size), 1), dataset.batch_size - 1)
    values = {field.name: getattr(dataset, field.name) for field in fields(CaptionedImages)}
    return MixedImages(**values, source=replace(source, batch_size=count))
