"""Completing pictures with a generator that images guide: holes in pictures of any size, edges, grey, small ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_t2i.core.cutout import Cutout, central_square
from keras_t2i.core.latents import latents_for
from keras_t2i.core.pixels import from_bytes
from keras_t2i.models.sampling import check_prompts, read_prompts
from keras_t2i.networks.guided import IMAGE_INPUT, GuidedGenerator
from keras_t2i.networks.image_inputs import IMAGE_INPUTS, hide

__all__ = ["complete", "guided", "imitations"]


def guided(gan: Any) -> GuidedGenerator:
    """What a model completes pictures with.

    Raises:
        ValueError: if it draws from captions alone.
    """
    if not isinstance(gan.drawer, GuidedGenerator):
        raise ValueError(
            "This model draws from captions alone. Give it a branch that reads images: keras-t2i finetune MODEL DATA "
            f"--strategy complete (or {', '.join(name for name in IMAGE_INPUTS if name != 'complete')})."
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
) -> list[np.ndarray]:
    """See `TextToImageGAN.complete`; pictures of several sizes come back as such."""
    network = guided(gan)
    pictures = [_checked(image) for image in images]
    prompts = check_prompts([prompts] * len(pictures) if isinstance(prompts, str) else prompts, num_images)
    if len(prompts) != len(pictures):
        raise ValueError(f"Each picture has a caption; got {len(pictures)} pictures and {len(prompts)} captions.")
    embeddings = np.repeat(read_prompts(gan, prompts), num_images, axis=0)
    latents = latents_for(seed, len(embeddings), network.noise_shape)
    if network.kind.has_hole:
        holes = _holes(pictures, masks)
        if not 1 <= context < float("inf"):
            raise ValueError(f"`context`, in sides of the hole, must be a number of at least 1; got {context}.")
        pairs = list(zip(pictures, holes, strict=True))
        cut = [Cutout.of(picture, hole, network.image_size, context) for picture, hole in pairs]
        given = np.asarray(hide(_as_numbers([each.pixels for each in cut]), _as_masks(cut)))
        drawn = gan.sampler.completed(latents, embeddings, np.repeat(given, num_images, axis=0))
        places = np.repeat(np.arange(len(pairs)), num_images)
        return [cut[place].put_back(*pairs[place], image) for place, image in zip(places, drawn, strict=True)]
    if masks is not None:
        raise ValueError(f"This model draws from {network.image_input!r} and knows no mask: leave it out.")
    squares = _as_numbers([central_square(picture, network.image_size) for picture in pictures])
    given = squares if network.kind.is_small else np.asarray(network.kind.make(squares, 0))
    return list(gan.sampler.completed(latents, embeddings, np.repeat(given, num_images, axis=0)))


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
    of_images = _as_numbers(images) if images is not None and is_guided else None
    if embeddings is None and of_images is None:
        return gan.generate(captions, num_images=num_images, seed=seed)
    embeddings = np.repeat(read_prompts(gan, captions) if embeddings is None else embeddings, num_images, axis=0)
    if of_images is None:
        return gan.generate_from_embeddings(embeddings, seed=seed)
    latents = latents_for(seed, len(embeddings), gan.drawer.noise_shape)
    given = np.asarray(gan.drawer.given(of_images, seed)[IMAGE_INPUT])
    return gan.sampler.completed(latents, embeddings, np.repeat(given, num_images, axis=0))


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or not image.size:
        raise ValueError(f"Pictures are uint8 of shape (H, W, 3); got {image.dtype} {image.shape}.")
    return image


def _holes(pictures: Sequence[np.ndarray], masks: Any) -> list[np.ndarray]:
    if masks is None:
        raise ValueError("What is to be drawn? Pass a mask of each picture that is true, or white, there.")
    holes = [np.asarray(mask) for mask in masks]
    if len(holes) != len(pictures):
        raise ValueError(f"Each picture has a mask; got {len(pictures)} pictures and {len(holes)} masks.")
    for number, (picture, hole) in enumerate(zip(pictures, holes, strict=True)):
        if hole.dtype not in (np.bool_, np.uint8) or hole.shape != picture.shape[:2]:
            raise ValueError(
                f"A mask is bool or uint8, of the size of its picture, {picture.shape[:2]}; got {hole.dtype} "
                f"{hole.shape}."
            )
        holes[number] = hole if hole.dtype == np.bool_ else hole >= 128
        if not holes[number].any():
            raise ValueError("Nothing is to be drawn: a mask is true, or white, where something is.")
    return holes


def _as_numbers(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    return from_bytes(np.stack(list(images)).astype(np.float32))


def _as_masks(cut: Sequence[Cutout]) -> np.ndarray:
    return np.stack([each.hole for each in cut]).astype(np.float32)[..., None]
