"""Pairs of real images that one caption could have described: how various images of a caption are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from keras_t2i.data.split import Split

__all__ = ["NEAREST", "Pairs", "real_pairs"]

NEAREST = "the nearest captions"
"""What pairs have in common where no two images share a caption or labels."""


class Pairs(NamedTuple):
    """Pairs of real images that differ as much as two images of one caption should.

    Args:
        alike: What the images of a pair have in common.
        captions: For each pair, the place of its caption among those asked for, shape `(P,)`.
        images: Numbers of images of the split, shape `(P, 2)`.
    """

    alike: str
    captions: np.ndarray
    images: np.ndarray

    def pixels(self, split: Split, seed: int = 10**6) -> tuple[np.ndarray, np.ndarray]:
        """First and second image of each pair, uint8, shape `(P, H, W, 3)`; where they are rendered, by two seeds."""
        return split.pixels(self.images[:, 0], seed), split.pixels(self.images[:, 1], seed + 1)


def real_pairs(
    split: Split,
    captions: Sequence[str],
    labels: np.ndarray | None = None,
    embed: Callable[[Sequence[str]], np.ndarray] | None = None,
    seed: int = 0,
) -> Pairs | None:
    """Finds for captions pairs of real images that one caption could have described.

    They share the caption, where at least half of the captions have two images or images are rendered anew (then one
    number stands for two); else all their labels; else their captions are nearest, which is farther apart than one
    caption's images are: with such pairs the variety of generated images is underestimated.

    Args:
        split: Where the images are from.
        captions: Captions of that split.
        labels: Attributes of each caption's image, shape `(len(captions), num_attributes)`, where `split` has some.
        embed: Turns captions into embeddings; without it there are no nearest captions.
        seed: Which two, where there are more.

    Returns:
        The pairs, one a caption at most, or `None` where there are none.
    """
    random = np.random.default_rng(seed)
    of_caption: dict[str, list[int]] = {}
    for number, ids in enumerate(split.caption_ids):
        for position in ids:
            of_caption.setdefault(split.captions[position], []).append(number)
    sharing = [of_caption.get(caption, []) for caption in captions]
    if split.labels is not None and (split.pixels(np.zeros(1), 1) != split.pixels(np.zeros(1), 2)).any():
        sharing = [2 * group[:1] for group in sharing]
    groups = {"the same caption": sharing}
    if labels is not None and split.labels is not None:
        groups["the same attributes"] = [np.flatnonzero((split.labels == row).all(axis=1)).tolist() for row in labels]
    for alike, found in groups.items():
        places = [place for place, group in enumerate(found) if len(group) > 1]
        if places and 2 * len(places) >= len(captions):
            images = [random.choice(found[place], 2, replace=False) for place in places]
            return Pairs(alike, np.asarray(places), np.asarray(images))
    return None if embed is None or len(of_caption) < 2 else _nearest(of_caption, captions, embed)


def _nearest(
    of_caption: Mapping[str, list[int]], captions: Sequence[str], embed: Callable[..., np.ndarray]
) -> Pairs | None:
    known = {caption: row for row, caption in enumerate(of_caption)}
    describing: dict[int, list[int]] = {}
    for caption, row in known.items():
        for number in of_caption[caption]:
            describing.setdefault(number, []).append(row)
    places = np.asarray([place for place, caption in enumerate(captions) if caption in known])
    embeddings = embed(list(known))
    embeddings = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    likeness = embeddings[[known[captions[place]] for place in places]] @ embeddings.T
    firsts = np.asarray([of_caption[captions[place]][0] for place in places])
    for row, first in zip(likeness, firsts, strict=True):
        row[describing[first]] = -np.inf  # Another caption of the same image is no second image.
    numbers = np.asarray([group[0] for group in of_caption.values()])
    found = np.isfinite(likeness.max(axis=1))
    images = np.stack([firsts, numbers[likeness.argmax(axis=1)]], axis=1)
    return Pairs(NEAREST, places[found], images[found]) if found.any() else None
