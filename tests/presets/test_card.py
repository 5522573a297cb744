"""Model cards: everything in the card is there, and nothing in it breaks the page."""

from __future__ import annotations

from typing import Any

import pytest

from keras_t2i.presets.card import model_card

CARD = {
    "description": "Draws shapes.",
    "caption": 'a "red" star',
    "training_data": "Rendered shapes.",
    "credit": "Nobody else.",
    "command": "keras-t2i train shapes --output run",
    "quality": {"All attributes right": "98.4%", "of real | images": "100.0%"},
    "limits": "Shapes only.",
    "license": "Apache-2.0",
    "family": "compact",
    "training": {"images": 12},
}


def card_of(card: dict[str, Any], **changes: Any) -> str:
    generator = {"class_name": "CompactGenerator", "config": {"image_size": 64}}
    config = {"generator": generator, "text_encoder": "caption_mini_en", "sequence_length": 32, "card": card}
    return model_card("shapes_64", {**config, **changes})


def test_a_full_card_reads_from_top_to_bottom() -> None:
    page = card_of(CARD)
    assert page.startswith('---\nlicense: "apache-2.0"\nlibrary_name: keras\n')
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == [
        "# shapes_64",
        "## Training data",
        "## Credit",
        "## Training",
        "## Measured quality",
        "## Limits",
        "## License",
        "## Settings",
    ]
    assert "`keras-t2i train shapes --output run`" in page
    assert "| All attributes right | 98.4% |" in page
    assert r"| of real \| images | 100.0% |" in page
    assert '- family: compact\n- training: {"images": 12}\n' in page
    assert 'from_preset("shapes_64")' in page
    assert "64 x 64 pixels (CompactGenerator, caption_mini_en)" in page
    assert "gan.generate([\"a 'red' star\"]" in page
    assert "(CompactGenerator, caption_mini_en and a caption denoiser)" in card_of(CARD, caption_denoiser={"steps": 8})


@pytest.mark.parametrize("card", [{}, {"second": True}, {"quality": "good", "license": None}])
def test_a_card_may_say_little_or_something_else(card: dict[str, Any]) -> None:
    page = card_of(card, text_encoder=None, sequence_length=None)
    assert page.startswith("---\n")
    assert "no text encoder" in page
    assert "## Measured quality" not in page


@pytest.mark.parametrize(("image_input", "mask"), [("sketch", ""), ("complete", " --mask mask.png")])
def test_a_card_tells_how_a_picture_is_given(image_input: str, mask: str) -> None:
    generator = {"class_name": "GuidedGenerator", "config": {"image_size": 64, "image_input": image_input}}
    command = f"keras-t2i complete shapes_64 picture.png \"a 'red' star\"{mask} --output drawn"
    assert command in card_of(CARD, generator=generator)
    assert "keras-t2i complete" not in card_of(CARD)
