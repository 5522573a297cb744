"""Completing pictures with a generator that images guide: holes in pictures, edges, sketches, grey, small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_t2i.core.incomplete import Incomplete
from keras_t2i.core.latents import latents_for
from keras_t2i.core.pixels import from_bytes
from keras_t2i.core.prompts import check_prompts
from keras_t2i.models.latent_search import completed_by_search
from keras_t2i.models.sampling import read_prompts
from keras_t2i.networks.guided import IMAGE_INPUT, GuidedGenerator
from keras_t2i.networks.image_inputs import IMAGE_INPUTS

__all__ = ["complete", "guided", "imitations"]


def guided(gan: Any) -> GuidedGenerator:
    """What a model completes pictures with.

    Raises:
        ValueError: if it draws from captions alone.
    """
    if not isinstance(gan.drawer, GuidedGenerator):
        raise ValueError(
            "This model draws from captions alone. Give it a branch that reads images: keras-t2i finetune MODEL DATA "
            f"--strategy complete (or {', '.join(name for name in IMAGE_INPUTS if name != 'complete')}); or search for "
            "noise that draws what is known (--search), which takes longer."
        )
    return gan.drawer


def complete(
    gan: Any,
    images: np.ndarray | Sequence[np.ndarray],
    masks: np.ndarray | Sequence[np.ndarray] | None,
    prompts: str | Sequence[str],
    num_images: int = 1,
    seed: int = 0,
    context: float = 2.0,
    search: bool = False,
) -> np.ndarray | list[np.ndarray]:
    """See `TextToImageGAN.complete`."""
    network = gan.drawer if search else guided(gan)
    image_input, has_hole = ("complete", True) if search else (network.image_input, network.kind.has_hole)
    incomplete = Incomplete.of(images, masks, image_input, has_hole, network.image_size, context)
    prompts = check_prompts(incomplete.captions(prompts), num_images)
    embeddings = np.repeat(read_prompts(gan, prompts), num_images, axis=0)
    latents = latents_for(seed, len(embeddings), network.noise_shape)
    if search:
        known = (np.repeat(np.asarray(each), num_images, axis=0) for each in (incomplete.squares, incomplete.masks))
        return incomplete.finished(completed_by_search(network, latents, embeddings, *known))
    given = np.asarray(network.asked(incomplete.squares, incomplete.masks)[IMAGE_INPUT])
    return incomplete.finished(gan.sampler.completed(latents, embeddings, np.repeat(given, num_images, axis=0)))


def imitations(
    gan: Any, images: np.ndarray | None, captions: Sequence[str], num_images: int, seed: int, embeddings: Any = None
) -> np.ndarray:
    """Images that a model draws of captions, and of what it is given of real images where these guide it.

    Args:
        gan: A `TextToImage`, or what has its `generate`.
        images: The images that belong to the captions, uint8, shape `(N, H, W, 3)`, or `None` to draw captions alone.
        captions: `N` captions.
        num_images: Images of each.
        seed: Seed of the noise, and of what is hidden of the images.
        embeddings: Sentence embeddings of the captions, where they are known, float32, shape `(N, D)`.

    Returns:
        uint8, shape `(N * num_images, H, W, 3)`.
    """
    is_guided = isinstance(getattr(gan, "drawer", None), GuidedGenerator)
    of_images = from_bytes(np.asarray(images, np.float32)) if images is not None and is_guided else None
    if embeddings is None and of_images is None:
        return gan.generate(captions, num_images=num_images, seed=seed)
    embeddings = np.repeat(read_prompts(gan, captions) if embeddings is None else embeddings, num_images, axis=0)
    if of_images is None:
        return gan.generate_from_embeddings(embeddings, seed=seed)
    latents = latents_for(seed, len(embeddings), gan.drawer.noise_shape)
    given = np.asarray(gan.drawer.given(of_images, seed)[IMAGE_INPUT])
    return gan.sampler.completed(latents, embeddings, np.repeat(given, num_images, axis=0))
