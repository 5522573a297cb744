"""Following a velocity from noise to an image: what networks that draw in steps have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

__all__ = ["follow", "shifted"]


def shifted(times: Any, shift: float) -> Any:
    """Times from 0 to 1, of which more lie near noise, at 1, the greater the shift; 1 leaves them.

    Reference:
        Scaling Rectified Flow Transformers for High-Resolution Image Synthesis (Esser et al., 2024), arXiv:2403.03206,
        section 5.3.2.
    """
    return shift * times / (1.0 + (shift - 1.0) * times)


def follow(
    velocity: Callable[..., Any],
    noisy: Any,
    text: Any,
    times: Callable[[Any], Any],
    num_steps: Any,
    guidance: Any = None,
    instead: Any = None,
) -> Any:
    """What noise becomes in so many steps of Euler's method.

    Reference:
        Classifier-Free Diffusion Guidance (Ho and Salimans, 2022), arXiv:2207.12598.

    Args:
        velocity: A function of what is noisy, the share of noise in each, and `text`: noise less image.
        noisy: Noise, float32, shape `(B, H, W, C)`.
        text: What is read of captions, shape `(B, D)`.
        times: A function of the number of a step, from 0, a scalar, to the share of noise before it, shape `(B,)`.
            Where that of the next step is the same, an image stays as it is.
        num_steps: An integer, or a scalar tensor of integers.
        guidance: How far to go from `instead` to `text`, a number or a scalar tensor; `None` for `text` alone, at half
            the time.
        instead: What to go away from, shape `(D,)` or `(B, D)`.

    Returns:
        float32, shape of `noisy`.
    """
    if guidance is not None:
        text = ops.concatenate([text, ops.broadcast_to(instead, ops.shape(text))], axis=0)

    def step(number: Any, noisy: Any) -> Any:
        number = ops.cast(number, "float32")
        before, after = times(number), times(number + 1.0)
        if guidance is None:
            found = velocity(noisy, before, text)
        else:
            twice, moments = (ops.concatenate([each, each], axis=0) for each in (noisy, before))
            with_caption, without = ops.split(velocity(twice, moments, text), 2, axis=0)
            found = without + guidance * (with_caption - without)
        return noisy + (after - before)[:, None, None, None] * found

    if not isinstance(num_steps, int):
        return ops.fori_loop(0, ops.cast(num_steps, "int32"), step, noisy)
    for number in range(num_steps):  # Without a loop, what it costs can be counted, and phones run it.
        noisy = step(number, noisy)
    return noisy
