"""TextToImageGAN: a frozen text encoder, a generator and a discriminator, trained against each other by `fit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from keras_t2i.core import replicas
from keras_t2i.models import completion
from keras_t2i.models.base import TextToImage
from keras_t2i.models.manners import check_augmentation, check_penalties, compile_config, restored
from keras_t2i.models.part import Part
from keras_t2i.networks.base import Discriminator, Generator, Network
from keras_t2i.objectives import losses
from keras_t2i.objectives.adversarial import AdversarialObjective
from keras_t2i.objectives.augmentation import CaptionAugmentation
from keras_t2i.objectives.variety import Variety

__all__ = ["TextToImageGAN"]


@keras.saving.register_keras_serializable("keras_t2i")
class TextToImageGAN(TextToImage):
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

    part_classes: ClassVar[dict[str, type[Network]]] = {"generator": Generator, "discriminator": Discriminator}

    def __init__(
        self,
        text_encoder: Any,
        generator: Generator,
        discriminator: Discriminator,
        embedding_dim: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(text_encoder, embedding_dim, **kwargs)
        self.use_networks(generator, discriminator)
        self.built = True

    def use_networks(self, generator: Generator, discriminator: Discriminator) -> None:
        """Puts other networks in the place of its own; compile it again.

        Raises:
            ValueError: if the image sizes differ.
        """
        if generator.image_size != discriminator.image_size:
            raise ValueError(
                f"The generator makes images of {generator.image_size} pixels and the discriminator expects "
                f"{discriminator.image_size}; build both with the same `image_size`."
            )
        self.generator = generator
        self.discriminator = discriminator
        generator.build_for(self.embedding_dim)
        discriminator.build_for(self.embedding_dim)
        self.ema_generator = generator.copy()
        self.ema_generator.trainable = False
        self.forget_traces()

    def parts(self) -> dict[str, Part]:
        return {
            "generator": Part(self.generator, optimizer=getattr(self, "generator_optimizer", None)),
            "ema_generator": Part(self.ema_generator, average_of="generator"),
            "discriminator": Part(self.discriminator, optimizer=getattr(self, "discriminator_optimizer", None)),
        }

    @property
    def drawer(self) -> Generator:
        return self.ema_generator

    def compile(  # type: ignore[override]
        self,
        loss: str | losses.AdversarialLoss = "non_saturating",
        penalty: Any = "r1",
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        matching_weight: float = 0.5,
        contrastive_weight: float | None = None,
        augmentation: Callable[[Any], Any] | None = None,
        caption_augmentation: CaptionAugmentation | None = None,
        generator_terms: Sequence[losses.GeneratorTerm] = (),
        variety: Variety | None = None,
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
            variety: What makes images of a caption differ as real ones do, by their noise.
            ema_decay: Decay of the averaged generator, which is the one used for images, evaluation and export.
            metrics: What `evaluate` and `fit(validation_data=...)` report beside the losses: metrics whose
                `update_state` takes the batch and the images generated for it, as those of `keras_t2i.metrics`.
            seed: Seed of the training latents.
            **kwargs: Passed to `keras.Model.compile`, for instance `steps_per_execution` and `run_eagerly`.

        Raises:
            ValueError: for an unknown loss or penalty, a `matching_weight` outside [0, 1], augmentation of captions
                that the networks read themselves, `variety` beside terms that want the one image of a caption or with
                less noise than it reads, or, on several devices, a penalty beside batch normalization in the
                discriminator.
        """
        can_match = type(self.discriminator).match is not Discriminator.match
        if contrastive_weight and not can_match:
            raise ValueError(
                "`contrastive_weight` needs a discriminator with a `match` method; "
                f"{type(self.discriminator).__name__} has none. Pass 0."
            )
        check_augmentation(caption_augmentation, self.generator)
        if variety is not None and any(getattr(term, "compares_with_real", False) for term in generator_terms):
            raise ValueError(
                "`variety` asks for several images of a caption, and a generator term for its one: drop one."
            )
        if variety is not None and variety.num_numbers >= self.generator.latent_dim:
            raise ValueError(
                f"`variety` reads {variety.num_numbers} numbers of the noise before the last; this generator has "
                f"{self.generator.latent_dim}."
            )
        if keras.config.dtype_policy().name == "mixed_float16":
            raise ValueError("mixed_float16 would need loss scaling for two optimizers; use mixed_bfloat16 instead.")
        compiles = self.jit_compiles(kwargs.get("jit_compile", "auto"))
        kwargs["jit_compile"] = compiles and not kwargs.get("run_eagerly")
        weight = contrastive_weight if contrastive_weight is not None else 0.5 * can_match
        objective = AdversarialObjective(loss, penalty, matching_weight, weight, augmentation)
        check_penalties(objective.penalties, self.discriminator, self.devices.num_replicas)
        super().compile(optimizer=None, loss=None, **kwargs)
        self._compile_options = {name: value for name, value in kwargs.items() if name != "jit_compile"}
        self.objective = objective
        self.generator_terms = list(generator_terms)
        self.variety = variety
        self.generator_optimizer = generator_optimizer or keras.optimizers.Adam(6e-4, beta_1=0.0, beta_2=0.9)
        self.discriminator_optimizer = discriminator_optimizer or keras.optimizers.Adam(6e-4, beta_1=0.0, beta_2=0.9)
        numbers = ("discriminator_loss", "generator_loss", "penalty", "caption_accuracy")
        self._compile_step(numbers, caption_augmentation, metrics, ema_decay, seed)

    def losses_of(self, batch: dict[str, Any], seed: Any, training: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        images, condition = batch["images"], batch["condition"]
        if training:
            condition = self._changed(condition, self.generator)
            images = self.generator.moved(images, seed)
        condition = {**condition, **self.generator.given(images, seed)}
        latents = batch.get("latents")
        if latents is None:
            latents = replicas.normal((ops.shape(images)[0], *self.generator.noise_shape), seed=seed)
        network = self.generator if training else self.ema_generator
        draw = next((term.draw for term in self.generator_terms if training and hasattr(term, "draw")), None)
        if draw is None:
            drawing = network(latents, network.select(condition), training=training)
        else:
            drawing, images = draw(network, images, latents, network.select(condition), seed)
        generated = network.completed(drawing, condition)
        inputs = {"images": images, "latents": latents, "drawing": drawing, **condition}
        if training and any(map(losses.is_alone, self.generator_terms)):
            return self._unjudged(generated, inputs)
        text = self.discriminator.select(condition)
        verdict = self.objective(self.discriminator, images, generated, text, training)
        if not training:
            return {}, {**verdict._asdict(), "penalty": ops.zeros(()), "generated": generated}
        generator_loss = verdict.generator_loss + sum(term(generated, inputs) for term in self.generator_terms)
        if self.variety is not None:
            layouts = self.discriminator.layout(network.unmirrored(generated, latents))
            generator_loss += self.variety(layouts, latents, condition["sentence_embeddings"])
        step = self.discriminator_optimizer.iterations
        penalty = self.objective.penalty(self.discriminator, step, images, generated, text)
        numbers = {**verdict._asdict(), "generator_loss": generator_loss, "penalty": penalty}
        return {"generator": generator_loss, "discriminator": verdict.discriminator_loss + penalty}, numbers

    def _unjudged(self, generated: Any, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a step minimises where the terms of the generator's loss are all of it."""
        generator_loss, none = sum(term(generated, inputs) for term in self.generator_terms), ops.zeros(())
        numbers = {**dict.fromkeys(self.trackers, none), "generator_loss": generator_loss}
        return {"generator": generator_loss, "discriminator": none}, numbers

    def complete(
        self,
        images: np.ndarray | Sequence[np.ndarray],
        masks: np.ndarray | Sequence[np.ndarray] | None,
        prompts: str | Sequence[str],
        num_images: int = 1,
        seed: int = 0,
        context: float = 2.0,
        search: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Completes pictures, with a `GuidedGenerator`: see `keras_t2i.transfer.guide`.

        Of a picture with a hole, which may have any size, a square around the hole is looked at and drawn at the size
        of the model's images; what is outside of the hole stays the same to the bit. From edges, sketches, grey
        and small pictures, the central square of each is drawn.

        Args:
            images: Pictures, uint8, shapes `(H, W, 3)`.
            masks: Of each a mask, shape `(H, W)`, which is true, or 128 and more as uint8, where it is to be drawn;
                `None` for a model that does not draw what a hole hides.
            prompts: A caption of each, or one for all.
            num_images: Answers to each; those of one picture follow each other.
            seed: Seed of the noise.
            context: Side of the square that is looked at, in sides of the hole; twice the model's size at least, as far
                as the picture goes.
            search: Whether holes are filled without a branch that was trained for it: from noise that is looked for, by
                gradients, until it draws what is known. Any generator does; it is slower, by a hundred passes forth and
                back.

        Returns:
            The completed pictures, uint8, shape `(len(images) * num_images, H, W, 3)`; a list of them where they are of
            several sizes.

        Raises:
            ValueError: if the model draws from captions alone, a mask does not fit its picture or hides nothing, or
                there is not a caption for each.
        """
        return completion.complete(self, images, masks, prompts, num_images, seed, context, search)

    def state(self) -> dict[str, Any]:
        objective = self.objective
        held = [objective.loss, objective.penalties, objective.augmentation]
        return {**super().state(), "state": [held, self.caption_augmentation, self.generator_terms]}

    def get_compile_config(self) -> dict[str, Any] | None:
        if not hasattr(self, "objective"):
            return None
        objective = self.objective
        arguments = {
            "loss": objective.loss,
            "penalty": list(objective.penalties),
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "matching_weight": objective.matching_weight,
            "contrastive_weight": objective.contrastive_weight,
            "augmentation": objective.augmentation,
            "caption_augmentation": self.caption_augmentation,
            "generator_terms": self.generator_terms,
            "variety": self.variety,
            "ema_decay": self.ema_decay,
            "seed": self.seed,
            **self._compile_options,
        }
        return compile_config(self.parts(), arguments, self.generation_metrics)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**restored(self.parts(), config))
