"""Captions that are longer than what an encoder takes at once, read in windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

__all__ = ["FRAMING", "WINDOW", "split", "summed"]

WINDOW = 32
"""Tokens of a window, the special ones included: of those tried, what tells most of reports
(`examples/results/reports.md`)."""
FRAMING = 2
"""Tokens that frame a caption, and each window: start and end."""


def split(token_ids: Any, padding_mask: Any, end: int, window: int) -> tuple[Any, Any, Any]:
    """Splits framed captions into windows with as many tokens each, framed likewise.

    A caption that fits into one window is read as it is. In `keras.ops` alone, with static sizes.

    Args:
        token_ids: Token numbers, start and end included, int32, shape `(B, T)`.
        padding_mask: Bool or int32, shape `(B, T)`, true at real tokens.
        end: Number of the token that ends a caption.
        window: Tokens of a window, W, the special ones included.

    Returns:
        Token numbers, int32, shape `(B * K, W)`, where `K` windows hold `T` tokens; bool, of the same shape, true at
        real tokens; and how many tokens of each caption are in each window, float32, shape `(B, K)`: 0 where none is
        left, 1 in the first window of an empty caption.
    """
    room = window - FRAMING
    count = -(-(token_ids.shape[1] - FRAMING) // room)
    # The last real token is the end: another token is followed by a real one.
    inside = _cut(ops.cast(padding_mask, "int32")[:, FRAMING:], count, room)
    sizes = ops.sum(inside, axis=2, keepdims=True)
    tokens = ops.pad(_cut(token_ids[:, 1:-1], count, room), ((0, 0), (0, 0), (0, 1)))
    places = np.arange(room + 1, dtype="int32").reshape(1, 1, room + 1)
    tokens = ops.where(ops.equal(sizes, places), end, tokens)
    start = ops.expand_dims(ops.repeat(token_ids[:, :1], count, axis=1), 2)
    real = ops.concatenate([ops.ones_like(start), ops.cast(ops.greater_equal(sizes, places), "int32")], axis=2)
    weights = ops.cast(sizes[:, :, 0], "float32")
    return (
        ops.reshape(ops.concatenate([start, tokens], axis=2), (-1, window)),
        ops.reshape(real, (-1, window)) > 0,
        ops.concatenate([ops.maximum(weights[:, :1], 1.0), weights[:, 1:]], axis=1),
    )


def summed(embeddings: Any, weights: Any) -> Any:
    """Embeddings of captions, shape `(B, D)`, not normalized, from those of their windows, shape `(B * K, D)`.

    Args:
        embeddings: Of unit root mean square, so that each window counts for as much as it holds.
        weights: How many tokens of each caption are in each window, shape `(B, K)`.
    """
    grouped = ops.reshape(embeddings, (-1, weights.shape[1], embeddings.shape[-1]))
    return ops.sum(grouped * ops.expand_dims(weights, 2), axis=1)


def _cut(rows: Any, count: int, room: int) -> Any:
    """Rows of shape `(B, N)` with zeros behind them, as `(B, count, room)`."""
    return ops.reshape(ops.pad(rows, ((0, 0), (0, count * room - rows.shape[1]))), (-1, count, room))
