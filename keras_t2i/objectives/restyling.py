"""Restyling: what teaches a generator to draw again, in the style of a picture, what another one draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_t2i.objectives.style import StyleLoss

__all__ = ["Restyling"]


class Restyling:
    """A term that is all of the loss of a `StyledGenerator`: to draw what its source draws, in a style.

    No images are needed: both draw from the same noise and captions. Nobody else judges, for a discriminator that knows
    real images would ask for these.

    Args:
        style: How far drawings are from the style, and from what they are to show.
        draw: What draws without a style: a function of noise, and of a dictionary of what is read of captions.

    Call arguments:
        generated: Images in [-1, 1], float32, shape `(B, H, W, 3)`.
        batch: `"latents"`, and what the generators read of captions.

    Returns:
        A scalar.
    """

    is_alone = True

    def __init__(self, style: StyleLoss, draw: Callable[[Any, dict[str, Any]], Any]) -> None:
        self.style, self.draw_plain = style, draw

    def __call__(self, generated: Any, batch: dict[str, Any]) -> Any:
        shown = self.draw_plain(batch["latents"], batch)
        return self.style(generated, ops.stop_gradient(shown), training=True)[0]
