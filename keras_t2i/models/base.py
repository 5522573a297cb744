"""TextToImage: what everything downstream takes. It is made of parts, trained by one step, and draws captions."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import keras
import numpy as np

from keras_t2i import export
from keras_t2i.core import replicas
from keras_t2i.core.backend import is_jax
from keras_t2i.core.keras_internals import untrack
from keras_t2i.core.latents import latents_for
from keras_t2i.core.prompts import check_prompts
from keras_t2i.models import files
from keras_t2i.models.archive import Archived
from keras_t2i.models.batch import FirstBatch, images_and_condition, too_large
from keras_t2i.models.engine import Engine
from keras_t2i.models.manners import Rates, check_callbacks
from keras_t2i.models.part import Part
from keras_t2i.models.sampling import Sampler, prompt_embeddings
from keras_t2i.models.state import held_by
from keras_t2i.models.step import take_step, track
from keras_t2i.networks.base import Network

__all__ = ["TextToImage"]


class TextToImage(Engine, Archived):
    """Base class of models that are trained on captioned images and draw captions.

    Batches are dictionaries with `"images"` (float32 in [-1, 1], shape `(B, H, W, 3)`) and either `"captions"`
    (string, shape `(B,)`), which the text encoder reads inside the graph, or what it makes of them, computed ahead of
    time: `"sentence_embeddings"` (float32, shape `(B, D)`), and whatever else the networks read.

    A subclass says what it is made of (`parts`, `drawer`) and what a step minimises (`losses`); checkpoints, presets,
    fingerprints, parameter counts and ways to transfer know no more of it.

    `caption_denoiser`, a `keras_t2i.text.CaptionDenoiser` or `None`, is what prompts, but no training captions, pass.

    Args:
        text_encoder: A `keras_t2i.text.TextEncoder`, frozen; or `None` where batches hold embeddings and nothing but
            embeddings will ever be asked for.
        embedding_dim: Length of the sentence embeddings; needed only without a text encoder.

    Raises:
        ValueError: if the length of the embeddings is unknown.
    """

    sampler_class: ClassVar[type[Sampler]] = Sampler
    """What draws with the `drawer`."""

    def __init__(self, text_encoder: Any, embedding_dim: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # In TensorFlow, XLA drops the stop at what is not finite, and cannot read captions.
        self.supports_jit = is_jax()
        if text_encoder is None and embedding_dim is None:
            raise ValueError("Without a `text_encoder`, pass `embedding_dim`, the length of the sentence embeddings.")
        self.text_encoder = text_encoder
        self.embedding_dim = int(embedding_dim or text_encoder.embedding_dim)
        self.seed_generator = keras.random.SeedGenerator(0)
        self.caption_denoiser: Any = None
        self.conditioning_dropout = 0.0
        self.card: dict[str, Any] = {}
        self.text_of: dict[str, Any] = {}
        self.guard = self.guard_class()
        self._sampler: Sampler | None = None
        self._images_a_step: int | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if (name in ("text_encoder", "caption_denoiser") or isinstance(value, Network)) and hasattr(self, name):
            untrack(self, getattr(self, name))  # Or Keras would go on counting the old one beside the new.
            self.train_function = self.test_function = self.predict_function = None  # They were traced with it.
        super().__setattr__(name, value)

    # -- what a subclass says --------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Part]:
        """The networks by name, in the order in which they are written: trained ones and their averages."""
        raise NotImplementedError

    @property
    def drawer(self) -> Any:
        """The network that images are drawn, and exported, with."""
        raise NotImplementedError

    def losses_of(self, batch: dict[str, Any], seed: Any, training: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a step minimises: for each trained part a scalar, and the numbers to report, in `keras.ops`.

        Args:
            batch: `"images"` and `"condition"`, a dictionary of what the networks read of the captions.
            seed: A `keras.random.SeedGenerator`, or an integer for the same noise each time.
            training: Whether it is a step of training.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What else the next step depends on: variables and objects that hold some, by group."""
        trackers = [variable for tracker in self.trackers.values() for variable in tracker.variables]
        return {"random": [self.seed_generator], "metrics": trackers}

    # -- training --------------------------------------------------------------------------------------------------

    @property
    def image_size(self) -> int:
        return self.drawer.image_size

    @property
    def reads(self) -> tuple[str, ...]:
        """What the networks read of a caption, by the names that a text encoder gives it."""
        return tuple(dict.fromkeys(name for part in self.parts().values() for name in part.network.reads))

    def adapt(self, captions: Sequence[str] | np.ndarray) -> None:
        """Centers the text on the captions of a data set, with no `caption_denoiser`; call it once before training.

        Args:
            captions: The training captions, or their sentence embeddings, float32, shape `(N, D)`.
        """
        is_embedded = isinstance(captions, np.ndarray) and captions.dtype.kind == "f"
        embeddings: Any = captions if is_embedded else self.text_encoder.encode(list(captions))
        for part in self.parts().values():
            part.network.adapt(embeddings)
        self.caption_denoiser = None  # It knows the captions of before.

    def mirror(self, mirrored: bool = True) -> None:
        """Says whether the images of a data set are mirrored at random: see `keras_t2i.networks.CompactGenerator`."""
        for part in self.parts().values():
            part.network.mirror(mirrored)

    def _compile_step(
        self, numbers: Sequence[str], captions: Any, metrics: Sequence[Any], ema_decay: float, seed: int
    ) -> None:
        """Prepares what every kind of model has: changes to captions, averages, counters and random state."""
        self.caption_augmentation = captions
        self.conditioning_dropout = captions.dropout if captions is not None else 0.0
        self.ema_decay, self.seed = ema_decay, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        for part in self.parts().values():
            if part.optimizer is not None:
                part.optimizer.build(part.network.trainable_variables)
        self._rates = Rates(self._optimizers, self._moved)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in numbers}
        self.generation_metrics = list(metrics)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*getattr(self, "trackers", {}).values(), *getattr(self, "generation_metrics", [])]

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Keras' own `fit`. A `tf.data.Dataset` brings its order with it: there, `shuffle` is off by default.

        Raises:
            ValueError: if a network lacks something, a callback would lose work, or the images of the first batch are
                not floating point, in [-1, 1]: before anything is trained.
            MemoryError: if a step does not fit into the device's memory.
        """
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is not None and isinstance(x, tensorflow.data.Dataset):
            kwargs.setdefault("shuffle", False)  # Keras' default is a warning.
        given = inspect.signature(super().fit).bind(x, *args, **kwargs).arguments
        check_callbacks(self, given.get("callbacks"), self._optimizers())
        for part in self.parts().values():
            part.network.check_ready()
        first = FirstBatch()
        given["x"] = first.of(given["x"])
        take_back = self.kept_state()
        try:
            return super().fit(**{**given, **self.engine_options(given)})
        except Exception as error:
            if first.error is not None:
                take_back()
                raise first.error from None
            if not self.is_out_of_memory(error):
                raise
            raise MemoryError(too_large(self._images_a_step, self.image_size)) from error

    def _optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [part.optimizer for part in self.parts().values() if part.optimizer is not None]

    @property
    def optimizer(self) -> Rates | None:
        """A view of all optimizers as one, for callbacks that change learning rates; `None` before `compile`."""
        return getattr(self, "_rates", None)

    @optimizer.setter
    def optimizer(self, value: Any) -> None:
        """Ignores `None`, which Keras sets; the optimizers are those of the parts.

        Raises:
            ValueError: for anything else.
        """
        if value is not None:
            raise ValueError("Each part has an optimizer of its own: pass them to `compile` by name.")

    def _moved(self) -> list[Any]:
        """What a step changes beside weights and metrics: the guard's flag, and what the objective holds."""
        known = {id(variable) for variable in (*self.variables, *self.metrics_variables)}
        held = [variable for variable in held_by(self.state()) if id(variable) not in known]
        return [self.guard.stopped, *held]

    def _train(self, data: dict[str, Any]) -> dict[str, Any]:
        data, _, _ = keras.utils.unpack_x_y_sample_weight(data)  # `train_on_batch` has put it into a tuple.
        batch = images_and_condition(data, self.text_encoder, self.reads)
        rows = (batch["images"] if "images" in batch else batch["codes"]).shape[0]
        self._images_a_step = rows and rows * replicas.count()
        return track(self.trackers, take_step(self, lambda: self.losses_of(batch, self.seed_generator, training=True)))

    def _test(self, data: dict[str, Any]) -> dict[str, Any]:
        data, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        batch = images_and_condition(data, self.text_encoder, self.reads)
        _, numbers = self.losses_of(batch, 0, training=False)
        generated = numbers.pop("generated", None)
        for metric in self.generation_metrics:
            metric.update_state(data, generated)
        logs = track(self.trackers, numbers)
        return {**logs, **{metric.name: metric.result() for metric in self.generation_metrics}}

    def _changed(self, condition: dict[str, Any], network: Network) -> dict[str, Any]:
        """What networks read of captions, with the changes that a step of training makes to it."""
        if self.caption_augmentation is None:
            return condition
        embeddings = condition["sentence_embeddings"]
        changed = self.caption_augmentation(embeddings, network.text_mean, network.text_scale)
        return {**condition, "sentence_embeddings": changed}

    # -- generation ------------------------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """SHA-256 of all that decides what is drawn: the network that draws and what reads prompts."""
        network, encoder = self.drawer, self.text_encoder
        facts = [type(network).__name__, network.image_size, *network.noise_shape, self.embedding_dim]
        facts += network.manner
        digest = hashlib.sha256(json.dumps([*facts, encoder.fingerprint if encoder is not None else None]).encode())
        if self.caption_denoiser is not None:
            digest.update(self.caption_denoiser.fingerprint.encode())
        for weight in network.get_weights():
            digest.update(np.ascontiguousarray(weight, np.float32).tobytes())
        return digest.hexdigest()

    @property
    def sampler(self) -> Sampler:
        """Draws uint8 images from noise and embeddings, compiled once for the network as it is."""
        if self._sampler is None or self._sampler.generator is not self.drawer:
            self._sampler = self.sampler_class(self.drawer)
        return self._sampler

    def forget_traces(self) -> None:
        """Makes everything compiled so far compile anew: call it where the form of a network was changed."""
        self._sampler = None
        self.train_function = self.test_function = self.predict_function = None

    def denoised(self, sentence_embeddings: Any) -> Any:
        """Embeddings of prompts, a tensor, as the `caption_denoiser` has them; unchanged where there is none."""
        return sentence_embeddings if self.caption_denoiser is None else self.caption_denoiser(sentence_embeddings)

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        """Images in [-1, 1], from `latents` and `captions` or `sentence_embeddings`."""
        text = inputs.get("sentence_embeddings")
        if text is None:
            text = self.denoised(self.text_encoder(inputs["captions"])["sentence_embeddings"])
        return self.drawer(inputs["latents"], text, training=False)

    def generate(
        self,
        prompts: str | Sequence[str],
        num_images: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
        guidance: float = 1.0,
        negative_prompt: str | None = None,
    ) -> np.ndarray:
        """Generates images from captions.

        Image `i` depends on its caption, `seed` and `i` alone: the same call with more captions repeats the images of
        the shorter one.

        Args:
            prompts: One caption, or several.
            num_images: Images of each caption; those of one caption follow each other.
            seed: Seed of the noise.
            truncation: Factor on the noise: 1 for full variety, less for more typical images, 0 for one a caption.
            guidance: How far to go from no caption, or from `negative_prompt`, to the caption: 1 arrives there, more
                goes beyond. Unlike in diffusion models the step is taken once, between the embeddings.
            negative_prompt: What to move away from where `guidance` is above 1, instead of from no caption.

        Returns:
            Images, uint8, shape `(len(prompts) * num_images, H, W, 3)`.

        Raises:
            ValueError: if there is no caption, `truncation` is negative, without a text encoder, or where guidance is
                asked of a model that was not trained with dropped captions.
        """
        embeddings = prompt_embeddings(self, check_prompts(prompts, num_images), guidance, negative_prompt)
        return self.generate_from_embeddings(np.repeat(embeddings, num_images, axis=0), seed, truncation)

    def generate_from_embeddings(
        self, sentence_embeddings: np.ndarray, seed: int = 0, truncation: float = 1.0
    ) -> np.ndarray:
        """Generates one image, uint8, from each sentence embedding, by the same rule as `generate`."""
        embeddings = np.asarray(sentence_embeddings, np.float32)
        return self.sampler(latents_for(seed, len(embeddings), self.drawer.noise_shape, truncation), embeddings)

    # -- files -----------------------------------------------------------------------------------------------------

    def export(self, path: str | os.PathLike[str], format: str = "saved_model", **options: Any) -> None:  # type: ignore[override]
        """Writes what draws for use without this package: see `keras_t2i.export.export`.

        Args:
            path: Directory to write.
            format: `"saved_model"`, one graph; `"serving"`, for TF Serving; `"litert"`, for phones and browsers; or
                another name in `keras_t2i.export.FORMATS`.
            **options: Of the format, such as the `precision` of LiteRT.

        Raises:
            ValueError: for a format or an option that cannot be, or if other files are in the way.
        """
        export.export(self, path, format, **options)

    def save_to_preset(
        self, directory: str | os.PathLike[str], card: dict[str, Any] | None = None, dtype: str | None = None
    ) -> None:
        """Writes the whole model, in half the bytes with `dtype="float16"`: see `keras_t2i.models.files.save`."""
        files.save(self, directory, card, dtype)

    @classmethod
    def from_preset(cls, name: str | os.PathLike[str]) -> Self:
        """Reads a model from a preset, a run, a packaged name, `hf://` or `kaggle://`: see `presets.resolve`.

        `TextToImage.from_preset` gives the kind of model that was saved.
        """
        return files.load(cls, name)
