"""What images of a caption differ in, looked for in the images of a run."""

from __future__ import annotations

import numpy as np
from keras import ops
from rich.console import Console
from rich.progress import track

from keras_t2i.core.pixels import from_bytes
from keras_t2i.data import Split
from keras_t2i.data.pairs import real_pairs
from keras_t2i.models import TextToImageGAN
from keras_t2i.objectives.variety import Variety
from keras_t2i.runs.config import RunConfig

__all__ = ["variety_of"]

_WEIGHT_EACH = 0.125
"""Of each number that layouts may differ in: it counts as much where there are more of them."""
_LOOKED_AT = 8_192
"""Images in which it is looked for what images of a caption differ in, at most."""
_ASKED_FOR = 512
"""Captions for which an image beside their own is looked for, at most."""
_AT_ONCE = 64
"""Images that a network looks at at once."""
_PROGRESS_FROM = 1_024
"""Images from which on it is shown how many have been looked at."""


def variety_of(config: RunConfig, model: TextToImageGAN, split: Split) -> Variety | None:
    """What makes drawings of a caption differ as real images do: where it is asked for, or real ones share captions.

    Models of `projected` from before there was such a thing are trained on as they were.

    Args:
        config: What describes the run.
        model: What is trained; its discriminator tells layouts already.
        split: The training images, with embeddings.

    Returns:
        `None` where nothing is asked for, or images of a caption do not differ.
    """
    wanted = config.family == "projected" and getattr(model.generator, "normalized", False)
    share = float(wanted) if config.variety is None else config.variety
    if not share or config.content_features or config.reconstruction:
        return None
    random = np.random.default_rng(config.seed)
    count = min(split.num_images, _LOOKED_AT)
    split = split.subset(np.sort(random.choice(split.num_images, count, replace=False)))
    assert split.embeddings is not None
    of_each = split.caption_of_each()
    if config.variety is None:
        some = random.permutation(count)[:_ASKED_FOR]
        labels = None if split.labels is None else split.labels[some]
        if real_pairs(split, [split.captions[position] for position in of_each[some]], labels) is None:
            return None
    chunks = np.split(np.arange(count), range(_AT_ONCE, count, _AT_ONCE))
    silent = count < _PROGRESS_FROM
    found = [
        ops.convert_to_numpy(model.discriminator.layout(from_bytes(split.pixels(numbers).astype(np.float32))))
        for numbers in track(chunks, "Looking at images", console=Console(stderr=True), disable=silent)
    ]
    texts = split.embeddings[of_each]
    if model.generator.text_tower is not None:  # Numbers of words, of which nothing can be expected.
        texts = np.zeros_like(texts, np.float32)
    numbers = model.discriminator.num_layout_numbers
    most = min(numbers, model.generator.latent_dim - 1)
    variety = Variety.of(np.concatenate(found), texts, most, share=share, weight=_WEIGHT_EACH * numbers)
    return variety if variety.num_numbers else None
