"""Drawing captions: PNG files that say what drew them, and a grid of all."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from keras_t2i.text.reading import Reader

__all__ = ["Drawer", "check_captions", "drawer_of", "generate", "warn_of_losses"]


class Drawer(NamedTuple):
    """What draws captions.

    Args:
        fingerprint: Of the model.
        reader: What reads captions for it.
        draw: A function of captions, images of each, seed and truncation that returns images, uint8.
        asked: What else decides what it draws, by name, where it was not left to the model.
    """

    fingerprint: str
    reader: Reader | None
    draw: Callable[[Sequence[str], int, int, float], np.ndarray]
    asked: dict[str, Any]

    def facts(
        self, captions: Sequence[str], num_images: int, seed: int, truncation: float, record_prompts: bool
    ) -> list[dict[str, Any]]:
        """What is recorded of each image that it draws of these captions."""
        from keras_t2i.core.provenance import provenance

        said = {name: value for name, value in self.asked.items() if record_prompts or name != "negative_prompt"}
        recorded = [caption if record_prompts else None for caption in captions for _ in range(num_images)]
        return [
            provenance(self.fingerprint, caption, seed, number, truncation, asked=said)
            for number, caption in enumerate(recorded)
        ]


def generate(
    model: Path,
    captions: Sequence[str],
    output: Path,
    num_images: int = 4,
    seed: int = 0,
    truncation: float = 1.0,
    guidance: float | None = None,
    num_steps: int | None = None,
    negative_prompt: str | None = None,
    record_prompts: bool = True,
) -> dict[str, Any]:
    """Draws captions with a trained model, one PNG an image, and a grid of all; written all or none.

    Each file says what drew it, from what: see `keras_t2i.core.provenance`.

    Args:
        model: A run, a preset or its name, or a LiteRT bundle, which is drawn with by its own interpreter.
        captions: What to draw.
        output: The directory to write to.
        num_images: Images of each caption.
        seed: Seed of the noise.
        truncation: Factor on the noise.
        guidance: See the `generate` of the model's class; `None` for the model's own. Not with a bundle.
        num_steps: Likewise.
        negative_prompt: Likewise.
        record_prompts: Whether the files hold their captions.

    Returns:
        Where the `images`, in order, and the `grid` are.

    Raises:
        ValueError: for a text that is no caption, a factor that is no truncation, or if `model` is no model.
        OSError: if the files cannot be written.
    """
    from keras_t2i.core.files import write_files
    from keras_t2i.core.provenance import png, provenance
    from keras_t2i.training import draw_grid

    check_captions(captions)
    drawer = drawer_of(model, guidance, num_steps, negative_prompt)
    warn_of_losses(drawer.reader, [*captions, *([] if negative_prompt is None else [negative_prompt])])
    images = drawer.draw(captions, num_images, seed, truncation)
    facts = drawer.facts(captions, num_images, seed, truncation, record_prompts)
    names = [f"{row:02d}-{column:02d}.png" for row in range(len(captions)) for column in range(num_images)]
    pictures = {name: png(image, each) for name, image, each in zip(names, images, facts, strict=True)}
    grid = draw_grid(images.reshape(len(captions), num_images, *images.shape[1:]), captions)
    pictures["grid.png"] = png(grid, provenance(drawer.fingerprint, None, seed, 0, truncation, grid=names))
    write_files(output, pictures)
    return {"images": [str(output / name) for name in names], "grid": str(output / "grid.png")}


def drawer_of(model: Path, guidance: float | None, num_steps: int | None, negative_prompt: str | None) -> Drawer:
    """What draws with a run, a preset or its name, or a LiteRT bundle; what is `None` is left to the model.

    Raises:
        ValueError: if `model` is no model, or draws without such a thing.
    """
    from keras_t2i.export.litert_runner import BUNDLE, LiteRTBundle
    from keras_t2i.models import TextToImage

    given: dict[str, Any] = {"guidance": guidance, "num_steps": num_steps, "negative_prompt": negative_prompt}
    asked = {name: value for name, value in given.items() if value is not None}
    if (Path(model) / BUNDLE).is_file():
        if asked:
            raise ValueError(
                f"A LiteRT bundle knows no {' and no '.join(asked).replace('_', ' ')}; draw with the run or preset."
            )
        bundle = LiteRTBundle(model)
        return Drawer(bundle.fingerprint, bundle.wordpiece, bundle.generate, asked)
    gan = TextToImage.from_preset(model)
    if unknown := [name for name in asked if name not in inspect.signature(gan.generate).parameters]:
        raise ValueError(f"{type(gan).__name__} draws in one pass: leave {unknown[0]} out.")
    return Drawer(gan.fingerprint(), gan.text_encoder, partial(gan.generate, **asked), asked)


def check_captions(captions: Sequence[str]) -> None:
    """Raises `ValueError` for the first text that is no caption."""
    from keras_t2i.data.rows import caption_problem

    for number, caption in enumerate(captions, start=1):
        if problem := caption_problem(caption):
            raise ValueError(f"Caption {number} cannot be drawn: {problem}.")


def warn_of_losses(reader: Reader | None, captions: Sequence[str]) -> None:
    """Warns of captions with words that are unknown to what reads them, or too long for it."""
    from keras_t2i.text import reading_of

    reading = None if reader is None else reading_of(reader, captions)
    for line in () if reading is None else (reading.unknown_words(), reading.cut_captions()):
        if line is not None:
            warnings.warn(line, stacklevel=3)
