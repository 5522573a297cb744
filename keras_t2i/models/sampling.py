"""Drawing with a trained generator: pixels that do not depend on how many images are asked for at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_t2i.core.backend import jitted
from keras_t2i.core.pixels import rounded

__all__ = [
    "Sampler",
    "StepSampler",
    "check_guidance",
    "in_chunks",
    "prompt_embeddings",
    "read_prompts",
]

_CHUNK = 8
"""Rows in one call of a network: fixed, so that pixels cannot depend on the caller's batch size."""


def in_chunks(network: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """What `network` makes of the rows of one or more arrays, float32, some at a time."""
    results = []
    for start in range(0, len(arrays[0]), _CHUNK):
        chunk = [array[start : start + _CHUNK] for array in arrays]
        missing = _CHUNK - len(chunk[0])
        padded = [np.pad(array, ((0, missing), *((0, 0),) * (array.ndim - 1)), mode="edge") for array in chunk]
        results.append(np.asarray(network(*padded))[: _CHUNK - missing])
    return np.concatenate(results)


class Sampler:
    """Draws uint8 images with a generator, compiled once.

    Args:
        generator: A `keras_t2i.networks.Generator`.
    """

    def __init__(self, generator: Any) -> None:
        self.generator = generator
        self._draw = jitted(self.to_uint8, lambda: self.generator.variables)
        self._complete = jitted(self._completed, lambda: self.generator.variables)

    def __call__(self, latents: np.ndarray, sentence_embeddings: np.ndarray) -> np.ndarray:
        """Images, uint8, shape `(N, H, W, 3)`, from noise of shape `(N, Z)` and embeddings of shape `(N, D)`."""
        return in_chunks(self._draw, latents, sentence_embeddings)

    def to_uint8(self, latents: Any, sentence_embeddings: Any) -> Any:
        """The same inside a graph, from tensors, in one call of the generator."""
        images = self.generator(latents, sentence_embeddings, training=False)
        return rounded(images)

    def completed(self, latents: np.ndarray, sentence_embeddings: np.ndarray, image_input: np.ndarray) -> np.ndarray:
        """The same of a `GuidedGenerator`, from what is known of images, shape `(N, H, W, C)`."""
        return in_chunks(self._complete, latents, sentence_embeddings, image_input)

    def _completed(self, latents: Any, sentence_embeddings: Any, image_input: Any) -> Any:
        condition = {"sentence_embeddings": sentence_embeddings, "image_input": image_input}
        drawing = self.generator(latents, self.generator.select(condition), training=False)
        return rounded(self.generator.completed(drawing, condition))


class StepSampler(Sampler):
    """Draws with a generator that takes several passes, in as many as are asked for.

    Args:
        generator: A `keras_t2i.networks.FlowGenerator`.
    """

    def __init__(self, generator: Any) -> None:
        super().__init__(generator)
        self._steps = jitted(self._in_steps, lambda: self.generator.variables)
        self._guided_steps = jitted(self._in_guided_steps, lambda: self.generator.variables)

    def in_steps(
        self, latents: np.ndarray, sentence_embeddings: np.ndarray, num_steps: int, guidance: float, instead: np.ndarray
    ) -> np.ndarray:
        """Images, uint8, as `__call__`, in so many steps, by so much guidance away from the embedding `instead`."""
        if guidance == 1.0:
            return in_chunks(lambda *rows: self._steps(*rows, np.int32(num_steps)), latents, sentence_embeddings)
        away = np.broadcast_to(np.asarray(instead, np.float32), sentence_embeddings.shape)
        scalars = np.int32(num_steps), np.float32(guidance)
        return in_chunks(lambda *rows: self._guided_steps(*rows, *scalars), latents, sentence_embeddings, away)

    def _in_steps(self, latents: Any, sentence_embeddings: Any, num_steps: Any) -> Any:
        return rounded(self.generator.draw(latents, sentence_embeddings, num_steps))

    def _in_guided_steps(self, latents: Any, sentence_embeddings: Any, away: Any, num_steps: Any, guidance: Any) -> Any:
        return rounded(self.generator.draw(latents, sentence_embeddings, num_steps, guidance, away))


def check_guidance(gan: Any) -> None:
    """Raises `ValueError` where a model was trained without dropped captions, so that it knows no other than them."""
    if not gan.conditioning_dropout:
        raise ValueError(
            "`guidance` and `negative_prompt` need a model that was trained with captions dropped at random, and this "
            "one was not: train with `CaptionAugmentation(dropout=0.1)` (--caption-dropout), or leave them out."
        )


def read_prompts(gan: Any, prompts: Sequence[str]) -> np.ndarray:
    """Sentence embeddings of prompts, float32, shape `(len(prompts), D)`, as the caption denoiser has them.

    Raises:
        ValueError: without a text encoder.
    """
    if gan.text_encoder is None and gan.text_of.get("sequence_length") is not None:
        raise ValueError(
            "Captions are read by KerasNLP and TensorFlow, which are not both installed here: install keras-nlp and "
            "tensorflow, or pass embeddings to `generate_from_embeddings`."
        )
    if gan.text_encoder is None:
        raise ValueError("This model has no `text_encoder`; use `generate_from_embeddings`.")
    embeddings = gan.text_encoder.encode(prompts)
    return embeddings if gan.caption_denoiser is None else in_chunks(gan.caption_denoiser, embeddings)


def prompt_embeddings(
    gan: Any, prompts: Sequence[str], guidance: float = 1.0, negative_prompt: str | None = None
) -> np.ndarray:
    """Sentence embeddings of prompts, moved away from no caption, or from a negative prompt, as far as is asked.

    Reference:
        Classifier-Free Diffusion Guidance (Ho and Salimans, 2022), arXiv:2207.12598. Differs: there a model's outputs
        are extrapolated at every step of sampling; here its input is, once.

    Args:
        gan: A `TextToImageGAN`.
        prompts: Captions.
        guidance: 0 stays at the negative prompt, or at the mean of all captions where there is none; 1 arrives at the
            prompt; more goes beyond.
        negative_prompt: What to move away from, or `None`.

    Returns:
        float32, shape `(len(prompts), D)`.

    Raises:
        ValueError: without a text encoder, or where guidance is asked of a model trained without dropped captions.
    """
    embeddings = read_prompts(gan, prompts)
    if guidance == 1.0 and negative_prompt is None:
        return embeddings
    check_guidance(gan)
    start = np.asarray(gan.drawer.text_mean)
    if negative_prompt is not None:
        start = read_prompts(gan, [negative_prompt])
    return (start + guidance * (embeddings - start)).astype(np.float32)
