"""What describes a run, in plain values, and what it builds from them: data, networks, recipe.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_t2i.data import CaptionedImages
    from keras_t2i.gan import TextToImageGAN

__all__ = ["RunConfig", "cache_directory"]

_SHAPES, _FACES = "shapes", "faces"
_NONE = "none"
_NAMES = {_SHAPES, _FACES, _NONE, "from_scratch", "caption_mini_en", "mobilenet_v2"}
"""Names that mean something whatever the working directory holds."""
_TFDS = "tfds:"


@dataclass(frozen=True)
class RunConfig:
    """What describes a run, in plain values; kept as `config.json` in its directory.

    Folders are kept as absolute paths, so that the run can be used from any working directory.

    Args:
        data: `"shapes"` or `"faces"`, which are rendered; a folder of captioned images; or `"tfds:"` and the name of a
            TensorFlow dataset.
        family: A name in `keras_t2i.presets.FAMILIES`.
        image_size: Height and width in pixels.
        text_encoder: See `keras_t2i.text.TextEncoder.from_preset`; `"from_scratch"` for token ids that the networks
            learn to read themselves; `"none"` for images without captions.
        batch_size: Images in a batch.
        loss: Another adversarial loss than the family's.
        penalty: Another gradient penalty than the family's, several joined by `+`, or `"none"`.
        augment: Whether to augment differentiably.
        flip: Whether to mirror half of the training images.
        caption_column: Column of captions of a folder; found by itself as a rule.
        caption_template: Caption of images that have labels only.
        max_skipped_share: Share of rows that may be unusable before training is refused.
        mixed_precision: Whether to compute in bfloat16.
        start_from: A preset or a run of the same networks, whose weights training begins with.
        content_features: Image features (`keras_t2i.ImageFeatures.from_preset`) in which generated images are drawn
            towards the real ones of their captions, by content and by style; `None` for no such term.
        seed: Seed of weights, order and noise.
    """

    data: str
    family: str = "compact"
    image_size: int = 64
    text_encoder: str = "caption_mini_en"
    batch_size: int = 32
    loss: str | None = None
    penalty: str | None = None
    augment: bool = False
    flip: bool = False
    caption_column: str | None = None
    caption_template: str = "a photo of a {label}"
    max_skipped_share: float = 0.05
    mixed_precision: bool = False
    start_from: str | None = None
    content_features: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("data", "text_encoder", "start_from", "content_features"):
            value = getattr(self, name)
            if value is not None and value not in _NAMES and os.path.exists(value):
                object.__setattr__(self, name, os.path.abspath(value))

    @classmethod
    def read(cls, run_dir: Path) -> RunConfig:
        """Reads the configuration of a run.

        Raises:
            ValueError: if the directory is not a run that `train` below has made.
        """
        file = run_dir / "config.json"
        if not file.is_file():
            raise ValueError(f"{run_dir} is not a run: it has no config.json. Pass a directory made by 'train'.")
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            # A run made before an option was there has its default.
            return cls(**{name: saved[name] for name in _names(cls) if name in saved or name == "data"})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is not the configuration of a run made by 'train' ({error!r}).") from error

    def dataset(self) -> CaptionedImages:
        """The captioned images, not yet encoded."""
        from keras_t2i import data

        common: dict[str, Any] = {name: getattr(self, name) for name in ("image_size", "batch_size", "seed")}
        if self.data == _SHAPES:
            if self.flip:
                raise ValueError("Shapes cannot be mirrored, because their captions name sides: leave `flip` out.")
            return data.shapes(**common)
        if self.data == _FACES:
            return data.faces(horizontal_flip=self.flip, **common)
        common |= {"horizontal_flip": self.flip, "max_skipped_share": self.max_skipped_share}
        if self.data.startswith(_TFDS):
            return data.from_tfds(self.data.removeprefix(_TFDS), caption_template=self.caption_template, **common)
        captions = self.text_encoder != _NONE
        return data.from_folder(self.data, caption_column=self.caption_column, captions=captions, **common)

    def build(self) -> TextToImageGAN:
        """A new model, compiled with its family's recipe."""
        from keras_t2i import ImageFeatures, losses
        from keras_t2i.augmentation import DiffAugment
        from keras_t2i.presets.families import build_gan
        from keras_t2i.text import TextEncoder

        term = None
        if self.content_features is not None:
            term = losses.ContentStyle(ImageFeatures.from_preset(self.content_features, image_size=self.image_size))
        return build_gan(
            self.family,
            TextEncoder.from_preset(self.text_encoder),
            self.image_size,
            loss=self.loss,
            penalty={None: "default", "none": None}.get(self.penalty, str(self.penalty).split("+")),
            seed=self.seed,
            augmentation=DiffAugment() if self.augment else None,
            generator_term=term,
        )

    def prepare(self) -> tuple[TextToImageGAN, CaptionedImages]:
        """The model and the data, ready to train: captions embedded once, weights taken over, text centered."""
        import keras

        from keras_t2i.presets import loader
        from keras_t2i.text import CachedTextEncoder

        if self.mixed_precision:
            keras.config.set_dtype_policy("mixed_bfloat16")
        gan = self.build()  # First: a mistyped name should not wait for a large folder to be decoded.
        if self.start_from is not None:
            loader.initialize(gan, self.start_from)
        dataset = self.dataset().encode(CachedTextEncoder(gan.text_encoder, cache_directory() / "embeddings"))
        assert dataset.train_split.embeddings is not None  # `encode` has just set them.
        gan.adapt(dataset.train_split.embeddings)
        return gan, dataset


def cache_directory() -> Path:
    """Where everything goes that can be made again: decoded images, embeddings, features, judges."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras_t2i"


def _names(cls: type[RunConfig]) -> list[str]:
    return [field.name for field in fields(cls)]
