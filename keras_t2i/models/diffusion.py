"""DiffusionTextToImage: a frozen text encoder and a network that turns noise into images in steps, trained by `fit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_t2i.core.backend import jitted
from keras_t2i.core.latents import latents_for
from keras_t2i.core.prompts import check_prompts
from keras_t2i.models.base import TextToImage
from keras_t2i.models.manners import check_augmentation, compile_config, restored
from keras_t2i.models.part import Part
from keras_t2i.models.sampling import StepSampler, check_guidance, in_chunks, read_prompts
from keras_t2i.networks.base import Generator, Network
from keras_t2i.objectives.augmentation import CaptionAugmentation
from keras_t2i.objectives.flow_matching import FlowMatching

__all__ = ["DiffusionTextToImage"]


@keras.saving.register_keras_serializable("keras_t2i")
class DiffusionTextToImage(TextToImage):
    """A text-conditional rectified flow: noise becomes an image in a few steps, each a pass of the network.

    Batches are those of `TextToImage`. There is no discriminator: the network learns from images and noise alone, so
    that every noise has an image of its own; it takes longer to train than an adversarial one, and to draw.

    Args:
        text_encoder: A `keras_t2i.text.TextEncoder`, frozen; or `None` where batches hold embeddings and nothing but
            embeddings will ever be asked for.
        generator: A `keras_t2i.networks.FlowGenerator`, or a `StableDiffusion3Generator`: what has a `velocity`.
        embedding_dim: Length of the sentence embeddings; needed only without a text encoder.

    Raises:
        ValueError: if the length of the embeddings is unknown, or the generator finds no velocity.
    """

    sampler_class = StepSampler
    part_classes: ClassVar[dict[str, type[Network]]] = {"generator": Generator}

    def __init__(
        self, text_encoder: Any, generator: Generator, embedding_dim: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(text_encoder, embedding_dim, **kwargs)
        if not hasattr(generator, "velocity"):
            raise ValueError(
                f"`generator` must have a `velocity`, as FlowGenerator has; {type(generator).__name__} has none."
            )
        self.generator = generator
        generator.build_for(self.embedding_dim)
        if generator.has_average:
            self.ema_generator = generator.copy()
            self.ema_generator.trainable = False
        self.built = True

    def parts(self) -> dict[str, Part]:
        parts = {"generator": Part(self.generator, optimizer=getattr(self, "generator_optimizer", None))}
        if self.generator.has_average:
            parts["ema_generator"] = Part(self.ema_generator, average_of="generator")
        return parts

    @property
    def drawer(self) -> Any:
        return self.ema_generator if self.generator.has_average else self.generator

    def compile(  # type: ignore[override]
        self,
        objective: FlowMatching | None = None,
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        caption_augmentation: CaptionAugmentation | None = None,
        ema_decay: float = 0.999,
        metrics: Sequence[keras.metrics.Metric] = (),
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        """Configures training of the weights that are trainable now: freeze or add some before.

        Args:
            objective: What is minimised; `FlowMatching()` by default.
            generator_optimizer: Adam(1e-3, beta_2=0.99) by default.
            caption_augmentation: Random changes to the sentence embeddings of each step. With its `dropout`, captions
                can be followed more closely than in training, or avoided: see `generate`.
            ema_decay: Decay of the averaged network, which is the one used for images, evaluation and export.
            metrics: As of `TextToImageGAN.compile`.
            seed: Seed of the training noise.
            **kwargs: Passed to `keras.Model.compile`, for instance `steps_per_execution` and `run_eagerly`.

        Raises:
            ValueError: for augmentation of captions that the network reads itself, or weights of two bytes a number.
        """
        check_augmentation(caption_augmentation, self.generator)
        if narrow := [w for w in self.generator.trainable_weights if w.dtype in ("bfloat16", "float16")]:
            raise ValueError(
                f"Weights in {narrow[0].dtype} cannot be trained, for small steps are lost in it: load the model with "
                f"dtype='mixed_{narrow[0].dtype}', or train adapters beside them (lora)."
            )
        compiles = self.jit_compiles(kwargs.get("jit_compile", "auto"))
        kwargs["jit_compile"] = compiles and not kwargs.get("run_eagerly")
        super().compile(optimizer=None, loss=None, **kwargs)
        self._compile_options = {name: value for name, value in kwargs.items() if name != "jit_compile"}
        self.objective = objective or FlowMatching()
        self.generator_optimizer = generator_optimizer or keras.optimizers.Adam(1e-3, beta_2=0.99)
        self._compile_step(("generator_loss",), caption_augmentation, metrics, ema_decay, seed)
        self.conditioning_dropout = max(self.conditioning_dropout, self.generator.pretrained_dropout)

    def losses_of(self, batch: dict[str, Any], seed: Any, training: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        condition = batch["condition"]
        network = self.generator if training else self.drawer
        if training:
            condition = self._changed(condition, network)
        text = network.select(condition)
        codes = batch["codes"] if "codes" in batch else network.encoded(batch["images"])
        loss = self.objective(network, codes, text, seed, training)
        if training:
            return {"generator": loss}, {"generator_loss": loss}
        numbers = {"generator_loss": loss}
        if self.generation_metrics:
            latents = keras.random.normal((ops.shape(codes)[0], *network.noise_shape), seed=seed)
            numbers["generated"] = network(latents, text, training=False)
        return {}, numbers

    def codes(self, images: np.ndarray) -> np.ndarray:
        """What is learned of images, float32 in [-1, 1]: float32, shape `(N, *noise_shape)` by an autoencoder.

        A batch may hold it as `"codes"`, computed once, in the place of images.
        """
        return in_chunks(jitted(self.generator.encoded, lambda: self.generator.variables), images)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "state": [self.caption_augmentation]}

    def generate(  # type: ignore[override]
        self,
        prompts: str | Sequence[str],
        num_images: int = 1,
        seed: int = 0,
        truncation: float = 1.0,
        guidance: float | None = None,
        negative_prompt: str | None = None,
        num_steps: int | None = None,
    ) -> np.ndarray:
        """Generates images from captions.

        Image `i` depends on its caption, `seed` and `i` alone: the same call with more captions repeats the images of
        the shorter one.

        Reference:
            Classifier-Free Diffusion Guidance (Ho and Salimans, 2022), arXiv:2207.12598.

        Args:
            prompts: One caption, or several.
            num_images: Images of each caption; those of one caption follow each other.
            seed: Seed of the noise.
            truncation: Must be 1: what is not noise of that strength has never been seen.
            guidance: How far to go at each step from no caption, or from `negative_prompt`, to the caption: 1 arrives
                there, more goes beyond. By default the network's.
            negative_prompt: What to move away from where `guidance` is not 1, instead of from no caption.
            num_steps: Steps from noise to image. By default the network's.

        Returns:
            Images, uint8, shape `(len(prompts) * num_images, H, W, 3)`.

        Raises:
            ValueError: if there is no caption or no step, without a text encoder, or where guidance is asked of a model
                that was not trained with dropped captions.
        """
        prompts = check_prompts(prompts, num_images)
        network = self.drawer
        guidance = network.guidance if guidance is None else guidance
        if guidance != 1.0 or negative_prompt is not None:
            check_guidance(self)
        if truncation != 1.0:
            raise ValueError(
                f"`truncation` must be 1 for a diffusion model, which knows no other noise; got {truncation}."
            )
        steps = network.num_steps if num_steps is None else num_steps
        if steps < 1:
            raise ValueError(f"`num_steps` must be at least 1; got {num_steps}.")
        embeddings = np.repeat(read_prompts(self, prompts), num_images, axis=0)
        instead = np.asarray(network.text_mean) if negative_prompt is None else read_prompts(self, [negative_prompt])[0]
        latents = latents_for(seed, len(embeddings), network.noise_shape)
        sampler: Any = self.sampler
        return sampler.in_steps(latents, embeddings, steps, guidance, instead)

    def get_compile_config(self) -> dict[str, Any] | None:
        if not hasattr(self, "objective"):
            return None
        arguments = {
            "objective": self.objective,
            "generator_optimizer": self.generator_optimizer,
            "caption_augmentation": self.caption_augmentation,
            "ema_decay": self.ema_decay,
            "seed": self.seed,
            **self._compile_options,
        }
        return compile_config(self.parts(), arguments, self.generation_metrics)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**restored(self.parts(), config))
