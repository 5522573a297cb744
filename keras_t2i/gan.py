"""TextToImageGAN: a frozen text encoder, a generator and a discriminator, trained against each other by `fit`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_t2i import losses, penalties
from keras_t2i.augmentation import CaptionAugmentation
from keras_t2i.averaging import update_average, warmed_up_decay
from keras_t2i.batch import images_and_text
from keras_t2i.guards import require_finite
from keras_t2i.latents import latents_for
from keras_t2i.networks.base import Discriminator, Generator
from keras_t2i.sampling import Sampler, denoised, prompt_embeddings

__all__ = ["TextToImageGAN"]


class TextToImageGAN(keras.Model):
    """A text-conditional generative adversarial network.

    Batches are dictionaries with `"images"` (float32 in [-1, 1], shape `(B, H, W, 3)`) and either `"captions"`
    (string, shape `(B,)`), which the text encoder turns into embeddings inside the graph, or `"sentence_embeddings"`
    (float32, shape `(B, D)`), computed ahead of time.

    `caption_denoiser`, a `keras_t2i.text.CaptionDenoiser` or `None`, is what prompts, but no training captions, pass.

    Args:
        text_encoder: A `keras_t2i.text.TextEncoder`, frozen; or `None` where batches hold embeddings and nothing but
            embeddings will ever be asked for.
        generator: A `keras_t2i.networks.Generator`.
        discriminator: A `keras_t2i.networks.Discriminator` of the same image size.
        embedding_dim: Length of the sentence embeddings; needed only without a text encoder.

    Raises:
        ValueError: if the image sizes differ, or if the length of the embeddings is unknown.
    """

    def __init__(
        self,
        text_encoder: Any,
        generator: Generator,
        discriminator: Discriminator,
        embedding_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if generator.image_size != discriminator.image_size:
            raise ValueError(
                f"The generator makes images of {generator.image_size} pixels and the discriminator expects "
                f"{discriminator.image_size}; build both with the same `image_size`."
            )
        if text_encoder is None and embedding_dim is None:
            raise ValueError("Without a `text_encoder`, pass `embedding_dim`, the length of the sentence embeddings.")
        self.text_encoder = text_encoder
        self.generator = generator
        self.discriminator = discriminator
        self.embedding_dim = int(embedding_dim or text_encoder.embedding_dim)
        generator.build_for(self.embedding_dim)
        discriminator.build_for(self.embedding_dim)
        self.ema_generator = generator.copy()
        self.ema_generator.trainable = False
        self.seed_generator = keras.random.SeedGenerator(0)
        self.sampler = Sampler(self.ema_generator)
        self.caption_denoiser: Any = None
        self.conditioning_dropout = 0.0
        self.card: dict[str, Any] = {}
        self.built = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("text_encoder", "caption_denoiser") and hasattr(self, name):
            self._tracker.untrack(getattr(self, name))  # Or Keras would go on counting the old one beside the new.
            self.train_function = self.test_function = self.predict_function = None  # They were traced with it.
        super().__setattr__(name, value)

    @property
    def image_size(self) -> int:
        return self.generator.image_size

    def adapt(self, captions: Sequence[str] | np.ndarray) -> None:
        """Centers the text on the captions of a data set, with no `caption_denoiser`; call it once before training.

        Args:
            captions: The training captions, or their sentence embeddings, float32, shape `(N, D)`.
        """
        is_embedded = isinstance(captions, np.ndarray) and captions.dtype.kind == "f"
        embeddings: Any = captions if is_embedded else self.text_encoder.encode(list(captions))
        for network in (self.generator, self.discriminator, self.ema_generator):
            network.adapt(embeddings)
        self.caption_denoiser = None  # It knows the captions of before.

    def compile(  # type: ignore[override]
        self,
        loss: str | losses.AdversarialLoss = "non_saturating",
        penalty: Any = "r1",
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        matching_weight: float = 0.5,
        contrastive_weight: float | None = None,
        augmentation: Callable[[tf.Tensor], tf.Tensor] | None = None,
        caption_augmentation: CaptionAugmentation | None = None,
        generator_terms: Sequence[losses.GeneratorTerm] = (),
        ema_decay: float = 0.995,
        metrics: Sequence[keras.metrics.Metric] = (),
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Configures training of the weights that are trainable now: freeze or add some before.

        Args:
            loss: An adversarial loss or its name: see `keras_t2i.losses`.
            penalty: A gradient penalty, its name, a list of either, or `None`: see `keras_t2i.penalties`.
            generator_optimizer: Adam(6e-4, beta_1=0, beta_2=0.9) by default.
            discriminator_optimizer: Likewise.
            matching_weight: Share of mismatched pairs (a real image with another image's caption) among what the
                discriminator is to reject, from 0 to 1.
            contrastive_weight: Weight of the contrastive term (`keras_t2i.losses.contrastive`) for both networks; by
                default 0.5 where the discriminator has a `match` method, else 0.
            augmentation: A differentiable function applied to everything that the discriminator sees.
            caption_augmentation: Random changes to the sentence embeddings of each step. With its `dropout`, captions
                can be followed more closely than in training, or avoided: see `generate`.
            generator_terms: Further terms of the generator's loss (`losses.GeneratorTerm`), for instance
                `keras_t2i.losses.ContentStyle`.
            ema_decay: Decay of the averaged generator, which is the one used for images, evaluation and export.
            metrics: What `evaluate` and `fit(validation_data=...)` report beside the losses: metrics whose
                `update_state` takes the batch and the images generated for it, as those of `keras_t2i.metrics`.
            seed: Seed of the training latents.
            **kwargs: Passed to `keras.Model.compile`, for instance `steps_per_execution` and `run_eagerly`.

        Raises:
            ValueError: for an unknown loss or penalty, a `matching_weight` outside [0, 1], or augmentation of captions
                that the networks read themselves.
        """
        if not 0 <= matching_weight <= 1:
            raise ValueError(f"`matching_weight` must be between 0 and 1; got {matching_weight}.")
        can_match = type(self.discriminator).match is not Discriminator.match
        if contrastive_weight and not can_match:
            raise ValueError(
                "`contrastive_weight` needs a discriminator with a `match` method; "
                f"{type(self.discriminator).__name__} has none. Pass 0."
            )
        if caption_augmentation is not None and self.generator.text_tower is not None:
            raise ValueError("`caption_augmentation` changes sentence embeddings; these networks read token numbers.")
        if keras.config.dtype_policy().name == "mixed_float16":
            raise ValueError("mixed_float16 would need loss scaling for two optimizers; use mixed_bfloat16 instead.")
        super().compile(optimizer=None, loss=None, **kwargs)
        self.loss_function = losses.get(loss)
        self.penalties = penalties.get(penalty)
        self.matching_weight = matching_weight
        self.contrastive_weight = contrastive_weight if contrastive_weight is not None else 0.5 * can_match
        self.augmentation = augmentation
        self.caption_augmentation = caption_augmentation
        self.conditioning_dropout = caption_augmentation.dropout if caption_augmentation is not None else 0.0
        self.generator_terms = list(generator_terms)
        self.ema_decay = ema_decay
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.generator_optimizer = generator_optimizer or keras.optimizers.Adam(6e-4, beta_1=0.0, beta_2=0.9)
        self.discriminator_optimizer = discriminator_optimizer or keras.optimizers.Adam(6e-4, beta_1=0.0, beta_2=0.9)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        names = ["discriminator_loss", "generator_loss", "penalty", "caption_accuracy"]
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.generation_metrics = list(metrics)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*getattr(self, "trackers", {}).values(), *getattr(self, "generation_metrics", [])]

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Keras' own `fit`. A `tf.data.Dataset` brings its order with it: there, `shuffle` is off by default."""
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # Keras' default is a warning.
        self.discriminator.check_ready()
        return super().fit(x, *args, **kwargs)

    # -- training --------------------------------------------------------------------------------------------------

    def train_step(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One update of both networks, each judged by the other as it was before the step."""
        images, text = images_and_text(data, self.text_encoder)
        if self.caption_augmentation is not None:
            text = self.caption_augmentation(text, self.generator.text_mean, self.generator.text_scale)
        latents = keras.random.normal((tf.shape(images)[0], self.generator.latent_dim), seed=self.seed_generator)
        batch = {"images": images, "latents": latents, "sentence_embeddings": text}
        statistics = [*self.generator.non_trainable_weights, *self.discriminator.non_trainable_weights]
        statistics_before = [tf.identity(weight.value) for weight in statistics]
        with tf.GradientTape(persistent=True) as tape:
            generated = self.generator(latents, text, training=True)
            adversarial_loss, generator_loss, accuracy = self._adversarial_losses(images, generated, text, True)
            generator_loss += sum(term(generated, batch) for term in self.generator_terms)
            penalty = self._penalty(images, tf.stop_gradient(generated), text)
            discriminator_loss = adversarial_loss + penalty
        discriminator_gradients = tape.gradient(discriminator_loss, self.discriminator.trainable_variables)
        generator_gradients = tape.gradient(generator_loss, self.generator.trainable_variables)
        del tape
        values = (discriminator_loss, generator_loss, discriminator_gradients, generator_gradients)
        with tf.control_dependencies([require_finite(values, statistics, statistics_before)]):
            self.discriminator_optimizer.apply(discriminator_gradients, self.discriminator.trainable_variables)
            self.generator_optimizer.apply(generator_gradients, self.generator.trainable_variables)
        decay = warmed_up_decay(self.ema_decay, self.generator_optimizer.iterations)
        update_average(self.ema_generator, self.generator, decay)
        return self._track(adversarial_loss, generator_loss, penalty, accuracy)

    def test_step(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The same losses on held-out images, with the averaged generator and fixed latents."""
        images, text = images_and_text(data, self.text_encoder)
        latents = tf.random.stateless_normal((tf.shape(images)[0], self.generator.latent_dim), seed=(0, 0))
        generated = self.ema_generator(latents, text, training=False)
        discriminator_loss, generator_loss, accuracy = self._adversarial_losses(images, generated, text, training=False)
        for metric in self.generation_metrics:
            metric.update_state(data, generated)
        logs = self._track(discriminator_loss, generator_loss, tf.zeros(()), accuracy)
        return {**logs, **{metric.name: metric.result() for metric in self.generation_metrics}}

    def _adversarial_losses(
        self, images: tf.Tensor, generated: tf.Tensor, text: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        judge = self.discriminator.judge
        real_features = self.discriminator.extract(self._augmented(images, training), training=training)
        fake_features = self.discriminator.extract(self._augmented(generated, training), training=training)
        real_logits = judge(real_features, text, training=training)
        fake_logits = judge(fake_features, text, training=training)
        other_text = tf.roll(text, 1, axis=0)
        mismatched_logits = judge(real_features, other_text, training=training)
        differs = tf.cast(tf.reduce_any(text != other_text, axis=-1), tf.float32)
        share = self.matching_weight
        discriminator_loss = tf.reduce_mean(
            self.loss_function.discriminator(real_logits, fake_logits, 1.0 - share * differs)
            + share * differs * self.loss_function.fake(mismatched_logits)
        )
        generator_loss = tf.reduce_mean(self.loss_function.generator(fake_logits, real_logits))
        if self.contrastive_weight:
            same = tf.reduce_all(text[:, None] == text[None, :], axis=-1)
            match, weight = self.discriminator.match, self.contrastive_weight
            discriminator_loss += weight * tf.reduce_mean(losses.contrastive(match(real_features, text), same))
            generator_loss += weight * tf.reduce_mean(losses.contrastive(match(fake_features, text), same))
        preferred = tf.cast(real_logits > mismatched_logits, tf.float32)
        accuracy = tf.math.divide_no_nan(tf.reduce_sum(differs * preferred), tf.reduce_sum(differs))
        return discriminator_loss, generator_loss, accuracy

    def _penalty(self, images: tf.Tensor, generated: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
        def discriminator(images: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
            return self.discriminator(self._augmented(images, True), text, training=True)

        step = self.discriminator_optimizer.iterations
        return penalties.due(self.penalties, step, discriminator, images, generated, text)

    def _augmented(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        return self.augmentation(images) if training and self.augmentation is not None else images

    def _track(self, *values: tf.Tensor) -> dict[str, tf.Tensor]:
        for tracker, value in zip(self.trackers.values(), values, strict=True):
            tracker.update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    # -- generation ------------------------------------------------------------------------------------------------

    def call(self, inputs: dict[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Images in [-1, 1] by the averaged generator, from `latents` and `captions` or `sentence_embeddings`."""
        text = inputs.get("sentence_embeddings")
        if text is None:
            text = denoised(self, self.text_encoder(inputs["captions"])["sentence_embeddings"])
        return self.ema_generator(inputs["latents"], text, training=False)

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
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        if not prompts or num_images < 1:
            raise ValueError(f"Nothing to generate: {len(prompts)} captions with `num_images={num_images}`.")
        embeddings = prompt_embeddings(self, prompts, guidance, negative_prompt)
        return self.generate_from_embeddings(np.repeat(embeddings, num_images, axis=0), seed, truncation)

    def generate_from_embeddings(
        self, sentence_embeddings: np.ndarray, seed: int = 0, truncation: float = 1.0
    ) -> np.ndarray:
        """Generates one image, uint8, from each sentence embedding, by the same rule as `generate`."""
        embeddings = np.asarray(sentence_embeddings, np.float32)
        return self.sampler(latents_for(seed, len(embeddings), self.generator.latent_dim, truncation), embeddings)

    # -- files -----------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The two networks and what they are conditioned on; the text encoder is kept as a preset of its own."""
        names = ("generator", "discriminator")
        networks = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return {"embedding_dim": self.embedding_dim, "conditioning_dropout": self.conditioning_dropout, **networks}

    def save_to_preset(
        self, directory: str | os.PathLike[str], card: dict[str, Any] | None = None, dtype: str | None = None
    ) -> None:
        """Writes the whole model, in half the bytes with `dtype="float16"`: see `keras_t2i.presets.loader.save`."""
        from keras_t2i.presets import loader

        loader.save(self, directory, card, dtype)

    @classmethod
    def from_preset(cls, name: str | os.PathLike[str]) -> TextToImageGAN:
        """Reads a model from a preset, a run, a packaged name, `hf://` or `kaggle://`: see `presets.loader.resolve`."""
        from keras_t2i.presets import loader

        return loader.load(cls, name)

    def export(self, path: str | os.PathLike[str], format: str = "tf_saved_model", **options: Any) -> None:  # type: ignore[override]
        """Writes the averaged generator for use without this package: see `keras_t2i.export`.

        Args:
            path: Directory to write.
            format: `"tf_saved_model"`, one graph; `"serving"`, for TF Serving; or `"litert"`, for phones and browsers.
            **options: Of the format, such as the `precision` of LiteRT.

        Raises:
            ValueError: for a format or an option that cannot be, or if other files are in the way.
        """
        from keras_t2i import export

        export.export(self, path, format, **options)
