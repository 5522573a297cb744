"""From a configuration to what is trained: data, model and plan, each loaded and built once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_t2i import data
from keras_t2i.core import specs
from keras_t2i.core.backend import has_bfloat16
from keras_t2i.core.cache import cache_directory
from keras_t2i.core.precision import computing_in
from keras_t2i.data import RENDERED, CaptionedImages, Inventory
from keras_t2i.data.codes import coded
from keras_t2i.data.names import PACKED, TFDS, is_folder
from keras_t2i.image_features import ImageFeatures
from keras_t2i.models import DiffusionTextToImage, TextToImage, TextToImageGAN, build_gan, compile_gan, files
from keras_t2i.models.recipes import recipe_of
from keras_t2i.networks.base import Generator
from keras_t2i.objectives import losses
from keras_t2i.objectives.augmentation import CaptionAugmentation, DiffAugment
from keras_t2i.presets import names
from keras_t2i.runs.captions import check_captions
from keras_t2i.runs.config import NONE, RunConfig, options_of
from keras_t2i.runs.derived import card
from keras_t2i.runs.imported import imported
from keras_t2i.runs.variety import variety_of
from keras_t2i.text import CachedTextEncoder, CaptionEncoder, TextEncoder
from keras_t2i.transfer import Plan, draw_pairs, strategies

__all__ = ["Prepared", "as_begun", "build", "cached", "dataset", "fitted", "is_packed", "prepare"]

_FEW_IMAGES = 1000
"""Below so many images, fine-tuning augments them unless told not to: the discriminator would learn them by heart."""
_MANY_IMAGES = 20_000
"""From so many on, packing is worth its time."""
_BATCH, _SMALL_BATCH = 32, 8
"""Images in a batch; the second of fine-tuning on few images, as `examples/benchmarks/` measured it."""


@dataclass(frozen=True)
class Prepared:
    """What is ready to train.

    Args:
        config: The configuration, with what it left to the data filled in.
        model: Compiled; captions embedded once, weights taken over, text centered.
        data: Encoded.
        plan: What a strategy leaves to be trained; `None` where everything is, from the start.
    """

    config: RunConfig
    model: TextToImage
    data: CaptionedImages
    plan: Plan | None = None


def prepare(config: RunConfig, run_dir: Path | None = None, changed_data: bool = False) -> Prepared:
    """Builds the model and reads the data of a run, ready to train.

    Args:
        config: What describes the run.
        run_dir: Its directory: a run that was begun with an older release keeps the form that its networks have, and
            any run what it holds out.
        changed_data: Whether the data may have changed since it was begun: what suited them then is kept.

    Raises:
        ValueError: if the model or the data cannot be had, or do not go together.
        OSError: if something cannot be read.
    """
    config = as_begun(config, run_dir, changed_data)
    with computing_in("mixed_bfloat16" if config.mixed_precision else "float32"):
        return _prepared(config, run_dir)


def _prepared(config: RunConfig, run_dir: Path | None) -> Prepared:
    # First: a mistyped name should not wait for a large folder to be decoded.
    model = build(config, run_dir) if config.strategy is None else _trained(config)
    if config.strategy is None and config.start_from is not None:
        files.initialize(model, config.start_from)
    images = dataset(config, run_dir)
    config = fitted(config, images)
    begun = run_dir is not None and (run_dir / "config.json").exists()  # It goes on as it was.
    if images.packed is None:  # Else they were looked at when they were packed.
        check_captions(model.text_encoder, images, 1.0 if begun else config.max_unread_share)
        if not begun:
            _say_that_packing_pays(config, images)
    encoder = cached(model.text_encoder)
    images = replace(images, batch_size=config.batch_size or _BATCH).encode(encoder)
    assert images.train_split.embeddings is not None  # `encode` has just set them.
    centering = _centering(model)
    if config.strategy is None or not strategies.is_frozen(config.strategy):  # Else captions are read as before.
        model.adapt(images.train_split.embeddings_to_adapt_to())
    if config.teacher is not None:
        images = _drawn_by_teacher(config, model, images, run_dir)
    images = _coded(model, images)
    if config.strategy is None:
        if isinstance(model, TextToImageGAN):
            model.variety = variety_of(config, model, images.train_split)
        return Prepared(config, model, images)
    return _transferring(config, model, images, encoder, centering)


def _transferring(
    config: RunConfig, model: TextToImage, images: CaptionedImages, encoder: CachedTextEncoder, centering: list[Any]
) -> Prepared:
    """Prepares a trained model for a strategy; captions are centered as before where nothing could learn anew."""
    assert config.strategy is not None  # Or there is nothing to transfer.
    source = _coded(model, _source(config, encoder)) if strategies.needs_source(config.strategy) else None
    if model.drawer.learns_codes:
        _release_text_encoder(config, model)
    embeddings = None if source is None else source.train_split.embeddings_to_adapt_to()
    plan = strategies.apply(config.strategy, model, embeddings, images.train_split.embeddings_to_adapt_to())
    if plan.reads_as_before:
        for weight, value in centering:
            weight.assign(value)
    compile_gan(model, config.family, **_recipe(config, plan.terms))
    return Prepared(config, model, strategies.mixed(config.strategy, images, source), plan)


def _centering(model: TextToImage) -> list[tuple[Any, np.ndarray]]:
    """How the generator, and its average, center captions now: weights and what they hold."""
    networks = [part.network for part in model.parts().values() if isinstance(part.network, Generator)]
    weights = [weight for network in networks for weight in network.weights]
    return [(weight, np.array(weight)) for weight in weights if weight.name in ("text_mean", "text_scale")]


def cached(encoder: CaptionEncoder) -> CachedTextEncoder:
    """A text encoder that embeds each caption once for all runs."""
    return CachedTextEncoder(encoder, cache_directory() / "embeddings")


def dataset(config: RunConfig, run_dir: Path | None = None) -> CaptionedImages:
    """The captioned images of a run, not yet encoded.

    Args:
        config: What describes the run.
        run_dir: Its directory: what it holds out stays so, whatever has been added to its folder since.

    Raises:
        ValueError: if they cannot be read, or mirrored.
        OSError: likewise.
    """
    common: dict[str, Any] = {"image_size": config.image_size, "seed": config.seed}
    common["batch_size"] = config.batch_size or _BATCH
    if config.domain in RENDERED:
        domain = RENDERED[config.domain]
        if os.path.isdir(config.domain) and not os.path.exists(os.path.join(config.domain, "config.json")):
            warnings.warn(
                f"{config.domain!r} is rendered; for the folder of that name, write './{config.domain}'.", stacklevel=2
            )
        if config.flip and domain.names_sides:
            raise ValueError(
                f"{config.domain.capitalize()} cannot be mirrored, because their captions name sides: leave `flip` out."
            )
        flipped = {} if domain.names_sides else {"horizontal_flip": config.flip}
        return domain.load(num_images=config.num_rendered, **flipped, **common)
    common |= {"horizontal_flip": config.flip, "max_skipped_share": config.max_skipped_share}
    common |= {"fit": config.fit, "intensity_range": config.intensities, "caption_template": config.caption_template}
    kind, name = specs.split(config.data)
    if is_packed(config.data):
        return _packed(config)
    if kind == TFDS:
        return data.from_tfds(name, label=config.label, **common)
    common |= {"captions": config.text_encoder != NONE, "caption_column": config.caption_column}
    inventory = None if run_dir is None else Inventory.read(run_dir)
    return data.from_folder(config.data, inventory=inventory, **common)


def is_packed(data: str) -> bool:
    """Whether a text that says which data are meant means a directory of packed images."""
    return os.path.isfile(os.path.join(data, PACKED))


def _packed(config: RunConfig) -> CaptionedImages:
    """Packed images, with what a configuration says of how they are read."""
    for name in ("caption_column", "fit", "intensity_range", "caption_template", "label"):
        if getattr(config, name) != options_of()[name][0]:
            raise ValueError(
                f"{config.data} was packed, and its images are read as they were then: leave `{name}` out."
            )
    images = data.from_packed(config.data, config.batch_size or _BATCH, horizontal_flip=config.flip, seed=config.seed)
    if images.image_size != config.image_size:
        raise ValueError(
            f"{config.data} was packed at {images.image_size} pixels: pass --image-size {images.image_size}, or pack "
            "the images again."
        )
    return images


def _say_that_packing_pays(config: RunConfig, images: CaptionedImages) -> None:
    count = images.train_split.num_images
    if count > _MANY_IMAGES and is_folder(config.data):
        warnings.warn(
            f"With {count:,} images packing pays: after 'keras-t2i data pack {config.data} --output SHARDS' training "
            "on SHARDS starts at once, each time, and takes the same memory for any number.",
            stacklevel=2,
        )


def build(config: RunConfig, run_dir: Path | None = None) -> TextToImage:
    """A new model, compiled with its family's recipe; in the form of the run that it is for, or starts from."""
    encoder = TextEncoder.from_preset(config.text_encoder, config.sequence_length)
    form = {name: getattr(config, name) for name in ("image_size", "size", "activation", "discriminator_depth")}
    source = run_dir if run_dir is not None and (run_dir / names.RUN_PRESET).is_dir() else config.start_from
    described = None if source is None else names.read_config(names.resolve(source))
    model = build_gan(config.family, encoder, start_from=described, **form, **_recipe(config))
    if described is None or source is config.start_from:  # Else it goes on as it was begun.
        model.mirror(config.flip)
    needs_weights = getattr(getattr(model, "discriminator", None), "initialize_backbone", None)
    if needs_weights is not None and config.start_from is None:
        needs_weights(ImageFeatures.from_preset(config.frozen_features or "mobilenet_v2").network.get_weights())
    if config.variety and not isinstance(model, TextToImageGAN):
        raise ValueError(f"{config.family} needs no `variety`: every noise has an image of its own. Leave it out.")
    model.card = card(config)
    return model


def fitted(config: RunConfig, images: CaptionedImages) -> RunConfig:
    """The same configuration with what suits these images where it leaves that open: augmentation and batch size."""
    few = config.strategy is not None and images.train_split.num_images < _FEW_IMAGES
    judged = recipe_of(config.family).discriminator is not None
    augment = few and judged if config.augment is None else config.augment
    batch_size = config.batch_size or (_SMALL_BATCH if few else _BATCH)
    return replace(config, augment=augment, batch_size=batch_size)


def as_begun(config: RunConfig, run_dir: Path | None, changed_data: bool) -> RunConfig:
    """With what is left open as it was decided when the run was begun, by its machine or its data; else by this one."""
    decided = ("mixed_precision", "augment", "batch_size") if changed_data else ("mixed_precision",)
    names = [name for name in decided if getattr(config, name) is None]
    if run_dir is not None and (run_dir / "config.json").exists():
        try:
            begun = RunConfig.read(run_dir)
        except ValueError:
            return config  # No run: which is said where one would be written.
        return replace(config, **{name: getattr(begun, name) for name in names})
    gains = config.mixed_precision is None and has_bfloat16()
    return replace(config, mixed_precision=True) if gains else config


def _coded(model: TextToImage, images: CaptionedImages) -> CaptionedImages:
    """What is trained on where the network learns what an autoencoder makes of images."""
    if not model.drawer.learns_codes or not isinstance(model, DiffusionTextToImage):
        return images
    return coded(images, model.codes, model.drawer.codes_fingerprint, cache_directory() / "codes")


def _release_text_encoder(config: RunConfig, model: TextToImage) -> None:
    """Takes a large text encoder, which has read all there is to read, out of memory; presets get it from its files."""
    about = files.about_text(model)
    place = names.resolve(imported(str(config.start_from))) / files.TEXT_ENCODER
    model.text_encoder = None
    model.text_of = {**about, "files": str(place.resolve())}


def _drawn_by_teacher(
    config: RunConfig, model: TextToImage, images: CaptionedImages, run_dir: Path | None
) -> CaptionedImages:
    """What is trained on where there is a teacher."""
    if run_dir is None:
        raise ValueError("What a teacher draws is kept in the directory of a run: pass `run_dir`.")
    length = model.drawer.latent_dim
    return draw_pairs(str(config.teacher), images, run_dir / "drawn", config.num_drawn, length, config.seed)


def _trained(config: RunConfig) -> TextToImage:
    """The model that a strategy starts from, with its text encoder, not yet compiled."""
    strategies.parse(str(config.strategy))
    if config.start_from is None:
        raise ValueError(f"The strategy {config.strategy!r} needs a trained model: say which to start from.")
    keras.utils.set_random_seed(config.seed)
    model = TextToImage.from_preset(imported(config.start_from))
    if model.text_encoder is None:
        raise ValueError(f"{config.start_from} has no text encoder, so that captions cannot be embedded for it.")
    if (drawn := strategies.image_size(str(config.strategy), model.image_size)) != config.image_size:
        raise ValueError(f"{config.start_from} draws {drawn} pixels so; {config.image_size} were asked for.")
    model.card = card(config, model.card)
    if not strategies.is_frozen(str(config.strategy)):  # Else it draws as before.
        model.mirror(config.flip)
    return model


def _source(config: RunConfig, encoder: CachedTextEncoder) -> CaptionedImages:
    """What the model of a strategy was trained on, encoded."""
    if config.source_data is None:
        raise ValueError(f"The strategy {config.strategy!r} needs `source_data`: what the model was trained on.")
    as_it_is: dict[str, Any] = {"caption_column": None, "fit": "crop", "intensity_range": None, "label": None}
    return dataset(replace(config, data=config.source_data, flip=False, **as_it_is)).encode(encoder)


def _recipe(config: RunConfig, terms: Sequence[Any] = ()) -> dict[str, Any]:
    """What `keras_t2i.models.compile_gan` is told beside the model and its family."""
    captions = None
    if config.caption_dropout or config.caption_noise:
        captions = CaptionAugmentation(config.caption_dropout or 0.0, config.caption_noise or 0.0, seed=config.seed)
    if config.reconstruction:
        terms = [*terms, losses.Reconstruction(config.reconstruction)]
    if config.content_features is not None:
        features = ImageFeatures.from_preset(config.content_features, image_size=config.image_size)
        terms = [*terms, losses.ContentStyle(features)]
    return {
        "loss": config.loss,
        "penalty": {None: "default", NONE: None}.get(config.penalty, specs.join(str(config.penalty))),
        "learning_rate_scale": config.learning_rate_scale or 1.0,
        "augmentation": DiffAugment() if config.augment else None,
        "caption_augmentation": captions,
        "generator_terms": terms,
        "seed": config.seed,
    }
