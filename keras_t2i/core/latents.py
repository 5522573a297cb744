"""Noise that follows from a seed and a number alone: the same in every language that a generator is shipped to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["LATENTS_RULE", "example_latents", "latents_for"]

LATENTS_RULE = (
    "Image i of seed s: key and upper counter are Philox4x32-10 of the counter (s, i) under the key "
    "0x02461E293EC8F720; under them block b of the counter gives four words; Box-Muller turns the lower 23 bits of "
    "each pair into two normal numbers, sine first. It is tf.random.stateless_normal((Z,), (s, i), alg='philox'). Then "
    "multiply by the truncation."
)
"""In words, for whoever writes it in another language."""


_KEY = (0x3EC8F720, 0x02461E29)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORD = 0xFFFFFFFF


def latents_for(seed: int, num_images: int, shape: int | tuple[int, ...], truncation: float = 1.0) -> np.ndarray:
    """Returns the noise of images 0, 1, ... of a seed, float32, shape `(num_images, *shape)`.

    Row `i` follows from `(seed, i)` alone. It is what `tf.random.stateless_normal(shape, (seed, i),
    alg="philox")` gives, up to the last bit of a float, times `truncation`: a block cipher turns a counter into
    uniform words, and the method of Box and Muller turns two of them into two normal numbers.

    Reference:
        Parallel Random Numbers: As Easy as 1, 2, 3 (Salmon et al., 2011), Philox4x32-10. As in TensorFlow, the key
        and the upper half of the counter are themselves the cipher of the seed.

    Args:
        seed: A 64-bit integer, negative ones included.
        num_images: Rows.
        shape: Of the noise of one image, or its length.
        truncation: Standard deviation.

    Raises:
        ValueError: if `truncation` is negative or not finite, or `seed` has more than 64 bits.
    """
    if not 0 <= truncation < float("inf"):
        raise ValueError(f"`truncation` must be a number of at least 0; got {truncation}.")
    if not -(2**63) <= seed < 2**63:
        raise ValueError(f"`seed` must be an integer of 64 bits, from -2**63 to 2**63 - 1; got {seed}.")
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    length = math.prod(shape)
    seed = int(seed) % 2**64
    images = np.arange(num_images, dtype=np.uint64)
    start = (np.full_like(images, seed & _WORD), np.full_like(images, seed >> 32), images & _WORD, images >> 32)
    mixed = _philox(start, (np.full_like(images, _KEY[0]), np.full_like(images, _KEY[1])))
    blocks = np.broadcast_to(np.arange(-(-length // 4), dtype=np.uint64), (num_images, -(-length // 4)))
    key_0, key_1, upper_0, upper_1 = (np.broadcast_to(word[:, None], blocks.shape) for word in mixed)
    words = _philox((blocks, np.zeros_like(blocks), upper_0, upper_1), (key_0, key_1))
    normal = np.stack([*_box_muller(*words[:2]), *_box_muller(*words[2:])], axis=-1).reshape(num_images, -1)
    return normal[:, :length].reshape(num_images, *shape) * np.float32(truncation)


def example_latents(latent_dim: int) -> list[dict[str, Any]]:
    """Noise of some seeds, negative and large ones among them, to test other programs against.

    Returns:
        `seed`, as text, because JavaScript would round large ones; `index`; and `latents`.
    """
    pairs = ((0, 0), (3, 0), (3, 1), (-1, 0), (2**40 + 5, 2), (2**63 - 1, 8))
    rows = [(seed, index, latents_for(seed, index + 1, latent_dim)[index]) for seed, index in pairs]
    return [
        {"seed": str(seed), "index": index, "latents": [float(f"{x:.9g}") for x in row]} for seed, index, row in rows
    ]


def _philox(counter: tuple[np.ndarray, ...], key: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Four 32-bit words, in arrays of uint64, from four words of counter and two of key."""
    (a, b, c, d), (key_0, key_1) = counter, key
    for _ in range(_ROUNDS):
        first, second = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (second >> 32) ^ b ^ key_0, second & _WORD, (first >> 32) ^ d ^ key_1, first & _WORD
        key_0, key_1 = (key_0 + _KEY_STEPS[0]) & _WORD, (key_1 + _KEY_STEPS[1]) & _WORD
    return a, b, c, d


def _box_muller(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    radius = np.sqrt(-2.0 * np.log(np.maximum(_uniform(first), 1e-7)))
    angle = 2.0 * np.pi * _uniform(second)
    return (radius * np.sin(angle)).astype(np.float32), (radius * np.cos(angle)).astype(np.float32)


def _uniform(words: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1, without 1, from the lower 23 bits of each word."""
    return (words & np.uint64(2**23 - 1)).astype(np.float64) / 2**23
