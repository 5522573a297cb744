"""What to measure generators with, chosen by name: image features, judges of captions and of attributes."""

from __future__ import annotations

import contextlib
import hashlib
import math
import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_t2i.core.backend import need_tensorflow
from keras_t2i.core.cache import Cache, cache_directory
from keras_t2i.data import CaptionedImages
from keras_t2i.image_features import CachedImageFeatures, ImageFeatures
from keras_t2i.metrics import AttributeJudge, CLIPJudge, Retriever
from keras_t2i.metrics.retriever import MIN_IMAGES

__all__ = ["Instruments", "image_features_for", "instruments_for"]

_JUDGE_IMAGES = 6000


@dataclass(frozen=True)
class Instruments:
    """What `keras_t2i.metrics.evaluate_model` measures with.

    Args:
        attributes: Classifier of the attributes of built-in images, else `None`.
        features: Image features, or `None` where none can be had.
        text_image: Judge of how well images fit captions, or `None`: too few captions, or no features.
    """

    attributes: AttributeJudge | None
    features: CachedImageFeatures | None
    text_image: Retriever | CLIPJudge | None

    def as_arguments(self) -> dict[str, Any]:
        """The instruments as keyword arguments of `evaluate_model`."""
        return {"attributes": self.attributes, "features": self.features, "text_image": self.text_image}


def instruments_for(
    dataset: CaptionedImages, domain: str, captions: bool = True, features: str = "auto", judge: str = "retriever"
) -> Instruments:
    """Finds the instruments for a run's data.

    A retriever is trained on the training images once, in about a minute, and kept in the user's cache.

    Args:
        dataset: The images.
        domain: What they are: a name in `keras_t2i.data.RENDERED` has a packaged judge of its attributes.
        captions: Whether they have captions.
        features: A name or a file, see `keras_t2i.ImageFeatures.from_preset`; `"none"`; or `"auto"`: the packaged
            judge's own features for built-in data, else MobileNetV2 where Keras has its weights or can fetch them.
        judge: `"retriever"`; a preset of CLIP, see `keras_t2i.metrics.CLIPJudge.from_preset`; or `"none"`.

    Raises:
        ValueError: if features other than `"auto"`, or a judge, cannot be had.
    """
    need_tensorflow("Models are measured")
    attributes = AttributeJudge.packaged(domain)
    found = image_features_for(features, attributes, f"{domain}-judge")
    cached = None if found is None else CachedImageFeatures(found, cache_directory() / "features")
    text_image: Retriever | CLIPJudge | None = None
    if captions and len(dataset.train_split.captions) > 1:
        if judge not in ("retriever", "none"):
            text_image = CLIPJudge.from_preset(judge)
        elif judge == "retriever" and found is not None and dataset.train_split.num_images >= MIN_IMAGES:
            text_image = _retriever(dataset, found)
    return Instruments(attributes, cached, text_image)


def image_features_for(
    features: str, attributes: AttributeJudge | None = None, name: str = "judge"
) -> ImageFeatures | None:
    """The image features that a name means; `"auto"` prefers those of a judge of attributes where there is one.

    Raises:
        ValueError: if they cannot be had; with `"auto"` a warning, and `None`.
    """
    if features == "none":
        return None
    if features != "auto":
        return ImageFeatures.from_preset(features)
    if attributes is not None:
        return ImageFeatures(_feature_network(attributes.network), name)
    try:
        return ImageFeatures.from_preset("mobilenet_v2")
    except (ValueError, OSError) as error:
        warnings.warn(f"Measured without image features: {error}", stacklevel=2)
        return None


def _feature_network(classifier: keras.Model) -> keras.Model:
    """A classifier's activations before the last layer, brought to unit root mean square, and those of its maps."""
    pool = classifier.layers[-2].output
    pool = keras.layers.Rescaling(math.sqrt(pool.shape[-1]))(keras.layers.UnitNormalization()(pool))
    maps = [layer.output for layer in classifier.layers if isinstance(layer, keras.layers.ReLU)]
    return keras.Model(classifier.input, {"pool": pool, **{f"map_{i}": found for i, found in enumerate(maps)}})


def _retriever(dataset: CaptionedImages, features: ImageFeatures) -> Retriever:
    """The judge of captions for these training images, trained now or read from the cache."""
    split = dataset.train_split
    numbers = np.arange(split.num_images)
    if len(numbers) > _JUDGE_IMAGES:
        numbers = np.random.default_rng(0).permutation(numbers)[:_JUDGE_IMAGES]
    images = split.pixels(numbers)
    captions = [[split.captions[position] for position in split.caption_ids[number]] for number in numbers.tolist()]
    key = hashlib.sha256(features.fingerprint.encode())
    key.update(images.tobytes())
    key.update(repr(captions).encode("utf-8", "surrogatepass"))
    cache = Cache(cache_directory() / "judges", "judges of captions")
    path = cache.directory / f"{key.hexdigest()[:32]}.npz"
    with contextlib.suppress(ValueError, OSError):  # None yet; or of another release, or damaged: made again.
        return Retriever.load(path, features)
    judge = Retriever(features)
    judge.fit(images, captions)
    with cache.keeping():
        judge.save(path)
    return judge
