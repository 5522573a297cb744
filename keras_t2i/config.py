"""What describes a run, in plain values, and what it builds from them: data, networks, recipe.

Nothing heavy is imported before a function needs it, so that `keras-t2i --help` answers at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_t2i import strategies
from keras_t2i.user_cache import cache_directory

if TYPE_CHECKING:
    from keras_t2i.data import CaptionedImages
    from keras_t2i.gan import TextToImageGAN

__all__ = ["RunConfig", "cache_directory"]

_SHAPES, _FACES = "shapes", "faces"
_NONE = "none"
_NAMES = {_SHAPES, _FACES, _NONE, "from_scratch", "caption_mini_en", "mobilenet_v2"}
"""Names that mean something whatever the working directory holds."""
_TFDS = "tfds:"
_FEW_IMAGES = 1000
"""Below so many images, fine-tuning augments them unless told not to: the discriminator would learn them by heart."""
_SMALL_BATCH = 8
"""Images in a batch of fine-tuning on few images: measured by `examples/benchmark_transfer.py`."""


@dataclass(frozen=True)
class RunConfig:
    """What describes a run, in plain values; kept as `config.json` in its directory.

    Folders are kept as absolute paths, so that the run can be used from any working directory.

    Args:
        data: `"shapes"` or `"faces"`, which are rendered, anew each time, or, as `"faces:300"`, that many images that
            never change; a folder of captioned images; or `"tfds:"` and the name of a TensorFlow dataset.
        family: A name in `keras_t2i.presets.FAMILIES`.
        image_size: Height and width in pixels.
        text_encoder: See `keras_t2i.text.TextEncoder.from_preset`; `"from_scratch"` for token ids that the networks
            learn to read themselves; `"none"` for images without captions.
        batch_size: Images in a batch.
        loss: Another adversarial loss than the family's.
        penalty: Another gradient penalty than the family's, several joined by `+`, or `"none"`.
        augment: Whether to augment differentiably.
        caption_noise: Noise on the sentence embeddings while training, so that other words for the same are understood:
            see `keras_t2i.augmentation.CaptionAugmentation`. `None`, here and below, for none.
        caption_dropout: Share of captions left out while training, without which `generate` knows no guidance.
        flip: Whether to mirror half of the training images.
        caption_column: Column of captions of a folder; found by itself as a rule.
        caption_template: Caption of images that have labels only.
        max_skipped_share: Share of rows that may be unusable before training is refused.
        mixed_precision: Whether to compute in bfloat16.
        start_from: A preset or a run of the same networks, whose weights training begins with. With a `strategy` the
            networks and the text encoder are its own.
        strategy: How to transfer from there, see `keras_t2i.strategies`; `None` to train everything from weights that
            any networks of that form may have. `RunConfig.finetuning` sets it with all that follows from it.
        source_data: What the model was trained on, written like `data`, for strategies that need it.
        learning_rate_scale: Factor on the family's learning rates; `None` for one.
        content_features: Image features (`keras_t2i.ImageFeatures.from_preset`) in which generated images are drawn
            towards the real ones of their captions, by content and by style; `None` for no such term.
        reconstruction: Weight of the difference to the real image of the caption, pixel by pixel
            (`keras_t2i.losses.Reconstruction`): for sets in which a caption means one image.
        frozen_features: MobileNetV2 through which discriminators of the family `projected` look: an `.npz` file, see
            `keras_t2i.ImageFeatures.from_preset`; `None` for the weights of `keras.applications`.
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
    caption_noise: float | None = None
    caption_dropout: float | None = None
    flip: bool = False
    caption_column: str | None = None
    caption_template: str = "a photo of a {label}"
    max_skipped_share: float = 0.05
    mixed_precision: bool = False
    start_from: str | None = None
    strategy: str | None = None
    source_data: str | None = None
    learning_rate_scale: float | None = None
    content_features: str | None = None
    frozen_features: str | None = None
    reconstruction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("data", "text_encoder", "start_from", "source_data", "content_features", "frozen_features"):
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

    @classmethod
    def finetuning(
        cls,
        start_from: str,
        data: str,
        strategy: str = "full",
        augment: bool | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> RunConfig:
        """The configuration of a run that fine-tunes a trained model.

        Family, image size and text encoder are the model's; `source_data` is, where the strategy needs some and none
        is given, what its run, or its card, says it was trained on.

        Args:
            start_from: A preset or a run.
            data: What to train on.
            strategy: See `keras_t2i.strategies.parse`.
            augment: Whether to augment differentiably; by default where there are fewer than 1,000 training images.
            batch_size: Images in a batch; by default 8 where there are fewer than 1,000 training images, else 32. A
                trained model is at the new images after fewer of them when it takes more and smaller steps.
            **options: Further fields.

        Raises:
            ValueError: if the model or the data cannot be read, there is no such strategy, or nothing says what the
                model was trained on.
        """
        from keras_t2i import TextToImageGAN
        from keras_t2i.presets.families import family_of
        from keras_t2i.text import Unconditional

        needs_source = strategies.needs_source(strategy)  # First: a mistyped name should not wait for anything.
        gan = TextToImageGAN.from_preset(start_from)
        source_data = options.pop("source_data", None) or cls._trained_on(Path(start_from), gan.card)
        if needs_source and not source_data:
            raise ValueError(
                f"The strategy {strategy!r} needs the data that {start_from} was trained on, and its card names none: "
                "pass the source's data."
            )
        encoder = getattr(gan.text_encoder, "packaged_name", None)
        if isinstance(gan.text_encoder, Unconditional):
            encoder = _NONE
        config = cls(
            data,
            family=family_of(gan),
            image_size=gan.image_size,
            text_encoder=encoder or str(start_from),
            start_from=start_from,
            strategy=strategy,
            source_data=source_data if needs_source else None,
            **options,
        )
        if augment is None or batch_size is None:
            few = config.dataset().train_split.num_images < _FEW_IMAGES
            augment = few if augment is None else augment
            if batch_size is None:
                batch_size = _SMALL_BATCH if few else config.batch_size
        return replace(config, augment=augment, batch_size=batch_size)

    @classmethod
    def _trained_on(cls, source: Path, card: Mapping[str, Any]) -> str | None:
        """The data of a run, or of a preset where its card names data that are the same everywhere."""
        if (source / "preset").is_dir():
            return cls.read(source).data
        data = str(card.get("data", ""))
        return data if data.partition(":")[0] in (_SHAPES, _FACES, _TFDS.rstrip(":")) else None

    @property
    def domain(self) -> str:
        """`data` without the number of images: what a judge made for these images is found by."""
        name, _, count = self.data.partition(":")
        return name if name in (_SHAPES, _FACES) and count else self.data

    def dataset(self) -> CaptionedImages:
        """The captioned images, not yet encoded."""
        from keras_t2i import data

        common: dict[str, Any] = {name: getattr(self, name) for name in ("image_size", "batch_size", "seed")}
        if self.domain == _SHAPES:
            if self.flip:
                raise ValueError("Shapes cannot be mirrored, because their captions name sides: leave `flip` out.")
            return data.shapes(num_images=self._num_rendered(), **common)
        if self.domain == _FACES:
            return data.faces(num_images=self._num_rendered(), horizontal_flip=self.flip, **common)
        common |= {"horizontal_flip": self.flip, "max_skipped_share": self.max_skipped_share}
        if self.data.startswith(_TFDS):
            return data.from_tfds(self.data.removeprefix(_TFDS), caption_template=self.caption_template, **common)
        captions = self.text_encoder != _NONE
        return data.from_folder(self.data, caption_column=self.caption_column, captions=captions, **common)

    def _num_rendered(self) -> int | None:
        """How many images are rendered once, or `None` where they are rendered anew each time."""
        if self.data == self.domain:
            return None
        count = self.data.partition(":")[2]
        if not count.isdecimal():
            raise ValueError(
                f"A number of images is expected after the colon, as in '{self.domain}:300'; got {count!r}."
            )
        return int(count)

    def build(self) -> TextToImageGAN:
        """A new model, compiled with its family's recipe."""
        from keras_t2i import ImageFeatures
        from keras_t2i.networks import ProjectedDiscriminator
        from keras_t2i.presets.families import build_gan
        from keras_t2i.text import TextEncoder

        encoder = TextEncoder.from_preset(self.text_encoder)
        gan = build_gan(self.family, encoder, self.image_size, **self._recipe())
        if isinstance(gan.discriminator, ProjectedDiscriminator) and self.start_from is None:
            features = ImageFeatures.from_preset(self.frozen_features or "mobilenet_v2")
            gan.discriminator.initialize_backbone(features.network.get_weights())
        gan.card = self._card({})
        return gan

    def _recipe(self, terms: Sequence[Any] = ()) -> dict[str, Any]:
        """What `keras_t2i.presets.families.compile_gan` is told beside the model and its family."""
        from keras_t2i import ImageFeatures, losses
        from keras_t2i.augmentation import CaptionAugmentation, DiffAugment

        captions = None
        if self.caption_dropout or self.caption_noise:
            captions = CaptionAugmentation(self.caption_dropout or 0.0, self.caption_noise or 0.0, seed=self.seed)
        if self.reconstruction:
            terms = [*terms, losses.Reconstruction(self.reconstruction)]
        if self.content_features is not None:
            features = ImageFeatures.from_preset(self.content_features, image_size=self.image_size)
            terms = [*terms, losses.ContentStyle(features)]
        return {
            "loss": self.loss,
            "penalty": {None: "default", "none": None}.get(self.penalty, str(self.penalty).split("+")),
            "learning_rate_scale": self.learning_rate_scale or 1.0,
            "augmentation": DiffAugment() if self.augment else None,
            "caption_augmentation": captions,
            "generator_terms": terms,
            "seed": self.seed,
        }

    def _card(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """What a preset of the run says of it; of the source's card, to whom thanks are due and what is allowed.

        Presets are shared: folders are named without the path to them.
        """
        told = {"family": self.family, "data": self.data, "start_from": self.start_from, "strategy": self.strategy}
        kept = {name: source[name] for name in ("license", "credit") if name in source}
        names = {name: value for name, value in told.items() if value is not None}
        return {**kept, **{n: os.path.basename(v) if os.path.isabs(v) else v for n, v in names.items()}}

    def prepare(self) -> tuple[TextToImageGAN, CaptionedImages]:
        """The model and the data, ready to train: captions embedded once, weights taken over, text centered."""
        import keras

        from keras_t2i.presets import loader
        from keras_t2i.text import CachedTextEncoder

        if self.mixed_precision:
            keras.config.set_dtype_policy("mixed_bfloat16")
        # First: a mistyped name should not wait for a large folder to be decoded.
        gan = self._trained() if self.strategy is not None else self.build()
        if self.strategy is None and self.start_from is not None:
            loader.initialize(gan, self.start_from)
        encoder = CachedTextEncoder(gan.text_encoder, cache_directory() / "embeddings")
        dataset = self.dataset().encode(encoder)
        assert dataset.train_split.embeddings is not None  # `encode` has just set them.
        gan.adapt(dataset.train_split.embeddings)
        if self.strategy is not None:
            dataset = self._transfer(gan, dataset, encoder)
        return gan, dataset

    def _trained(self) -> TextToImageGAN:
        """The model that a strategy starts from, with its text encoder, not yet compiled."""
        import keras

        from keras_t2i import TextToImageGAN

        strategies.parse(str(self.strategy))
        if self.start_from is None:
            raise ValueError(f"The strategy {self.strategy!r} needs a trained model: say which to start from.")
        keras.utils.set_random_seed(self.seed)
        gan = TextToImageGAN.from_preset(self.start_from)
        if gan.text_encoder is None:
            raise ValueError(f"{self.start_from} has no text encoder, so that captions cannot be embedded for it.")
        if gan.image_size != self.image_size:
            raise ValueError(f"{self.start_from} draws {gan.image_size} pixels; {self.image_size} were asked for.")
        gan.card = self._card(gan.card)
        return gan

    def _transfer(self, gan: TextToImageGAN, dataset: CaptionedImages, encoder: Any) -> CaptionedImages:
        """Applies the strategy to a trained model and compiles it; returns what to train on."""
        from keras_t2i.presets.families import compile_gan

        source = None
        if strategies.needs_source(str(self.strategy)):
            if self.source_data is None:
                raise ValueError(f"The strategy {self.strategy!r} needs `source_data`: what the model was trained on.")
            source = replace(self, data=self.source_data, flip=False, caption_column=None).dataset().encode(encoder)
        embeddings = None if source is None else source.train_split.embeddings
        plan = strategies.apply(str(self.strategy), gan, embeddings)
        compile_gan(gan, self.family, **self._recipe(plan.terms))
        return strategies.mixed(str(self.strategy), dataset, source)


def _names(cls: type[RunConfig]) -> list[str]:
    return [field.name for field in fields(cls)]
