"""What decoded images look like: in one color, too long for a square, deep, or like one another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from keras_t2i.data.images import Reading, window

__all__ = ["found_intensities", "is_cut", "is_one_color", "look_of", "near_copies", "notices"]

_ONE_COLOR = 16
_KEPT = 0.66  # A photograph of 3:2, cropped, loses a third to the rounding of its sides.
_WHOLE = (0.0, 65_535.0)  # As 16 bits are meant, of which there is nothing to say.
_MARGIN = 2
_BANDS, _MOST_BITS = 4, 10
_BLOCKS, _MOST_DIFFERENT, _CHUNK = 16, 32, 2048


def look_of(pixels: np.ndarray) -> tuple[int, np.ndarray]:
    """What is kept of a decoded image to compare it by.

    Args:
        pixels: uint8, shape `(S, S, 3)`.

    Returns:
        How far its darkest and its brightest pixels lie apart in the channel where they do most, 0 to 255, but for one
        in a hundred at each end; and its difference hash and that of its mirror image, uint64, shape `(2,)`: whether it
        gets brighter from one of 9 columns to the next, in 8 rows.
    """
    image = Image.fromarray(pixels)
    counts = np.reshape(image.histogram(), (3, 256)).cumsum(axis=1)
    share = counts / counts[:, -1:]
    spread = (share >= 0.99).argmax(axis=1) - (share > 0.01).argmax(axis=1)
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    steps = np.diff(small, axis=1)
    bits = np.stack([steps > _MARGIN, -steps[:, ::-1] > _MARGIN])
    return int(spread.max()), np.packbits(bits.reshape(2, 64), axis=1).view("<u8")[:, 0]


def is_one_color(records: np.ndarray) -> np.ndarray:
    """Which of these decoded images are nearly one color, a boolean each."""
    return records["spread"] < _ONE_COLOR


def is_cut(records: np.ndarray) -> np.ndarray:
    """Which of these images lose more than a third where they are cropped to their central square, a boolean each."""
    return records["size"].min(axis=1) < _KEPT * records["size"].max(axis=1)


def found_intensities(records: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The lowest and the highest value of those of these images with more than 8 bits a channel, shape `(N, 2)`."""
    found = records["intensities"][numbers]
    return found[~np.isnan(found[:, 0])]


def notices(records: np.ndarray, numbers: np.ndarray, reading: Reading) -> tuple[str, ...]:
    """What to say of how images are read where much is left to chance, a line each.

    Args:
        records: Decoded images.
        numbers: Positions of those that are used.
        reading: How they were read.
    """
    told = []
    if reading.fit == "crop" and (count := int(is_cut(records)[numbers].sum())):
        told.append(
            f"{count} of {len(numbers)} images are so wide or high that the central square leaves out over a third "
            "of them: fit 'pad' keeps all on white, 'stretch' distorts."
        )
    found = found_intensities(records, numbers)
    between = window(found)
    if between not in (None, _WHOLE) and reading.intensity_range is None:
        assert between is not None
        told.append(
            f"{len(found)} of {len(numbers)} images have more than 8 bits a channel, with values from "
            f"{found[:, 0].min():g} to {found[:, 1].max():g}: in all of them {between[0]:g} becomes black and "
            f"{between[1]:g} white. Name the intensity range that is meant, and nothing more is said."
        )
    return tuple(told)


def near_copies(records: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Pairs of images that show the same, though they were resized, compressed anew or mirrored.

    Candidates agree in a quarter of their hashes' bits and in nearly all others; of those, the pixels are compared.

    Args:
        records: Decoded images.
        numbers: Positions of those to compare, shape `(N,)`: each a different image.

    Returns:
        Places in `numbers` of pairs, int64, shape `(M, 2)`, the smaller first, in order.
    """
    entries = records["hash"][numbers].T.reshape(-1)  # First all as they are, then all mirrored.
    found = np.concatenate([np.zeros((0, 2), np.int64), *_alike(entries, len(numbers))])
    pairs = np.unique(np.sort(found % max(1, len(numbers)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    needed, places = np.unique(pairs, return_inverse=True)
    blocks = _blocks(records["pixels"], numbers[needed])
    chunks = [places.reshape(-1, 2)[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    return pairs[np.concatenate([np.zeros(0, bool), *(_look_the_same(*blocks[chunk.T]) for chunk in chunks)])]


def _alike(entries: np.ndarray, num_plain: int) -> Iterator[np.ndarray]:
    """Pairs of hashes, one of them not mirrored, that share a band of bits and differ in few."""
    bits = np.unpackbits(np.ascontiguousarray(entries).view(np.uint8).reshape(-1, 8), axis=1)
    for band in range(_BANDS):
        # Every so many bits: those of one row alone would be the same wherever there is sky.
        keys = np.packbits(bits[:, band::_BANDS], axis=1).view(np.uint16)[:, 0]
        order = np.argsort(keys, kind="stable")
        order = order[keys[order] != 0]  # Nothing is to be seen there.
        keys, sorted_entries = keys[order], entries[order]
        first = np.arange(len(order))
        for offset in range(1, len(order)):
            first = first[first + offset < len(order)]
            first = first[keys[first] == keys[first + offset]]
            if not first.size:
                break
            close = np.bitwise_count(sorted_entries[first] ^ sorted_entries[first + offset]) <= _MOST_BITS
            pairs = np.stack([order[first[close]], order[first[close] + offset]], axis=1)
            yield pairs[pairs.min(axis=1) < num_plain]


def _look_the_same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether both of each pair have nearly the same color in each block, as they are or one mirrored."""
    differences = [np.abs(one - each).max(axis=(1, 2, 3)) for each in (other, other[:, :, ::-1])]
    return np.minimum(*differences) <= _MOST_DIFFERENT


def _blocks(pixels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Mean colors of blocks of the images of these numbers, int16, shape `(N, B, B, 3)`."""
    side = min(_BLOCKS, pixels.shape[1])
    blocks = np.empty((len(numbers), side, side, 3), np.int16)
    for place, number in enumerate(numbers):
        small = Image.fromarray(np.array(pixels[number])).resize((side, side), Image.Resampling.BOX)
        blocks[place] = np.asarray(small)
    return blocks
