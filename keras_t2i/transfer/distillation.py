"""Distillation: images that a trained model draws, with the noise they come from, for a faster one to learn."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from keras_t2i.core.files import CHECKSUMS, sha256, write_file, written
from keras_t2i.core.latents import latents_for
from keras_t2i.data import CaptionedImages, Split
from keras_t2i.data.decoded import pixel_loader
from keras_t2i.models import TextToImage
from keras_t2i.presets import names

__all__ = ["draw_pairs"]

_FORMAT = "keras_t2i drawn 1"
_ABOUT = "drawn.json"
_SHARD = 256
_OTHER_NOISE = 1 << 40


def draw_pairs(
    teacher: str, images: CaptionedImages, directory: Path, num_images: int, latent_dim: int, seed: int = 0
) -> CaptionedImages:
    """A set of captioned images in which a trained model has drawn those to train on, from noise that is kept.

    Captions are drawn as the images have them. What is drawn is written in shards, so that whoever was stopped goes on;
    what lies in the directory is not drawn again. Held-out images stay the real ones.

    Reference:
        Distilling Diffusion Models into Conditional GANs (Kang et al., 2024), arXiv:2405.05967: pairs of noise and
        image, learned by regression beside an adversary. Differs: pixels instead of latents, and of the noise that
        part alone that says most of the picture, so that the student can be of any family.

    Args:
        teacher: A preset or a run: see `keras_t2i.presets.resolve`.
        images: Whose captions are drawn, encoded.
        directory: Where to keep what is drawn.
        num_images: How many.
        latent_dim: Length of the noise that the student takes. Of the teacher's noise it gets what says most of the
            picture (`keras_t2i.networks.Generator.coarse`), and where that is less, noise of its own.
        seed: Seed of captions and noise.

    Returns:
        The same set, whose training split has been drawn and holds `latents`, float32, shape `(num_images, Z)`.

    Raises:
        ValueError: if there is no such model, it draws another size, or the directory holds what another has drawn.
        OSError: if it cannot be written.
    """
    split = images.train_split
    source = names.resolve(teacher)
    drawn_size = names.read_config(source)["generator"]["config"]["image_size"]
    if drawn_size != images.image_size:
        raise ValueError(f"{teacher} draws {drawn_size} pixels, and the student {images.image_size}: they must agree.")
    random = np.random.default_rng([seed, num_images])
    of_images = random.integers(split.num_images, size=num_images)
    chosen = np.asarray([random.choice(split.caption_ids[number]) for number in of_images], np.int64)
    texts = hashlib.sha256("\0".join(split.captions[number] for number in chosen).encode("utf-8", "surrogatepass"))
    about = {
        "format": _FORMAT,
        "teacher": sha256(source / CHECKSUMS),
        "captions": texts.hexdigest(),
        "latent_dim": latent_dim,
        "seed": seed,
    }
    _claim(directory, about)
    shards = list(_drawn(teacher, [split.captions[number] for number in chosen], directory, latent_dim, seed))
    pixels, latents = (np.concatenate(each) for each in zip(*shards, strict=True))
    caption_ids = tuple((int(number),) for number in chosen)
    drawn = Split(
        split.captions,
        caption_ids,
        pixel_loader(pixels, np.arange(num_images)),
        embeddings=split.embeddings,
        latents=latents,
    )
    return replace(images, train_split=drawn, horizontal_flip=False)


def _claim(directory: Path, about: dict[str, Any]) -> None:
    """Makes sure that what lies there was drawn in the same way, or that nothing does."""
    file = directory / _ABOUT
    if not file.exists():
        write_file(file, json.dumps(about, indent=2) + "\n")
        return
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != about:
        raise ValueError(
            f"{directory} holds images of another teacher, or from other captions: choose another output, or remove it."
        )


def _drawn(
    teacher: str, captions: list[str], directory: Path, latent_dim: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images, uint8, and noise of one shard after the other, drawn where it is not there yet."""
    starts = range(0, len(captions), _SHARD)
    model: TextToImage | None = None
    for number in track(starts, "Drawing", console=Console(stderr=True), disable=len(starts) < 4):
        file, some = directory / f"{number:08d}.npz", captions[number : number + _SHARD]
        shard = _read(file, len(some))
        if shard is None:
            model = model or TextToImage.from_preset(teacher)
            shard_seed = seed * len(captions) + number
            images = model.generate(some, seed=shard_seed)
            noise = latents_for(shard_seed, len(some), model.drawer.noise_shape)
            coarse = np.asarray(model.drawer.coarse(noise, latent_dim), np.float32)
            missing = latents_for(_OTHER_NOISE + shard_seed, len(some), latent_dim)[:, coarse.shape[1] :]
            shard = images, np.concatenate([coarse, missing], axis=1)
            with written(file) as beside, open(beside, "wb") as stream:
                np.savez(stream, images=shard[0], latents=shard[1])
        yield shard


def _read(file: Path, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A shard, or `None` where there is none that can be read whole."""
    try:
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            found = arrays["images"], arrays["latents"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if len(found[0]) == len(found[1]) == count else None
