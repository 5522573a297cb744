"""What a preset says of itself: as a model card that people and hubs read, and as a line in a list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keras_t2i.networks.image_inputs import IMAGE_INPUTS

__all__ = ["CARD_TEXTS", "model_card", "quality_of"]

CARD_TEXTS = {
    "description": "",
    "training_data": "Training data",
    "credit": "Credit",
    "command": "Training",
    "limits": "Limits",
    "license": "License",
}
"""Keys of a card whose values are text for people, and the headings above them in the model card, in their order."""

_QUALITY = "quality"

_USE = """```python
import keras_t2i

gan = keras_t2i.TextToImageGAN.from_preset("{name}")  # or the path of this directory
images = gan.generate(["{caption}"], num_images=4)  # uint8, (4, {image_size}, {image_size}, 3)
```

A generator trained with keras_t2i, {image_size} x {image_size} pixels ({generator}, {text_encoder}). Train on from it
with `keras-t2i finetune {name} DATA --output RUN`."""


def model_card(name: str, config: Mapping[str, Any]) -> str:
    """Writes the model card of a preset, in Markdown, with the header that hubs read.

    Args:
        name: The preset's name.
        config: Its `config.json`. Of its `card`, text under a key of `CARD_TEXTS` becomes a section, `quality` (a
            dictionary of what was measured) a table, `caption` the caption in the example, and all else a list.
    """
    card = config["card"]
    encoder = config["text_encoder"] or (
        "a text encoder of its own" if config["sequence_length"] else "no text encoder"
    )
    if config.get("caption_denoiser"):
        encoder += " and a caption denoiser"
    license = str(card.get("license", ""))
    lines = ["---", *([f"license: {json.dumps(license.lower())}"] if license else []), "library_name: keras"]
    lines += ["pipeline_tag: text-to-image", "tags: [keras, text-to-image, gan]", "---", "", f"# {name}", ""]
    if description := card.get("description"):
        lines += [str(description), ""]
    size, generator = config["generator"]["config"]["image_size"], config["generator"]["class_name"]
    caption = str(card.get("caption", "a caption")).replace('"', "'")
    lines += [_USE.format(name=name, caption=caption, image_size=size, generator=generator, text_encoder=encoder), ""]
    if image_input := config["generator"]["config"].get("image_input"):
        mask = " --mask mask.png" if IMAGE_INPUTS[image_input].has_hole else ""
        lines += [f'With a picture: `keras-t2i complete {name} picture.png "{caption}"{mask} --output drawn`.', ""]
    for key, heading in CARD_TEXTS.items():
        if heading and key in card:
            text = f"`{card[key]}`" if key == "command" else str(card[key])
            lines += [f"## {heading}", "", text, ""]
        if key == "command" and (quality := quality_of(card)):
            rows = [f"| {_cell(label)} | {_cell(value)} |" for label, value in quality.items()]
            lines += ["## Measured quality", "", "| what | value |", "|---|---|", *rows, ""]
    others = {key: value for key, value in card.items() if key not in (*CARD_TEXTS, _QUALITY, "caption")}
    if others:
        lines += ["## Settings", "", *(f"- {_cell(key)}: {_cell(value)}" for key, value in others.items()), ""]
    return "\n".join(lines)


def quality_of(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a card says was measured: labels and values."""
    quality = card.get(_QUALITY)
    return quality if isinstance(quality, Mapping) else {}


def _cell(value: Any) -> str:
    """A value in one line that no table or list breaks at."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.replace("|", r"\|").split())
