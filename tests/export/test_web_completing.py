"""The page of a model that completes: rub out, type, and see what Python would have drawn there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from guided_models import assert_completed, random_pictures
from web_page import (
    COMPOSITE,
    WINDOWS,
    at,
    check_accessible,
    download,
    drawn,
    hole_of,
    image_of,
    opened,
    rub,
    visited,
    write,
)

from keras_t2i.models.gan import TextToImageGAN

IMAGE_INPUT = "complete"
CAPTION, OTHER = "a large red star", "the small blue circle on white"


@pytest.fixture
def gan(guided_gan: TextToImageGAN) -> TextToImageGAN:
    return guided_gan


@pytest.fixture
def page(browser: Any, guided_site: str) -> Iterator[Any]:
    """The page with a picture drawn and the brush at hand."""
    with visited(browser, guided_site) as page:
        write(page, CAPTION)
        drawn(page)
        yield page


def take_brush(page: Any) -> None:
    page.get_by_role("radio", name="Rub out").check()
    assert drawn(page) == []


def test_what_was_drawn_is_rubbed_out_and_filled_as_python_fills_it(page: Any, gan: TextToImageGAN) -> None:
    (base,) = (image_of(picture) for picture in drawn(page))
    assert np.abs(base.astype(int) - gan.generate(CAPTION)[0]).max() <= 1
    take_brush(page)
    assert "Rub out what is to be drawn anew" in page.inner_text("#status")
    rub(page, (0.3, 0.4), (0.7, 0.4), (0.7, 0.6))
    write(page, OTHER)
    page.get_by_role("textbox", name="Seed").fill("-7")
    (filled,) = drawn(page)
    hole = hole_of(page, base)
    assert 0.05 < hole.mean() < 0.5
    assert hole[13, 10:22].all()  # Where the brush went.
    assert_completed([image_of(filled)], gan.complete([base], [hole], OTHER, seed=-7), [base], [hole])

    image, facts, _ = download(page, COMPOSITE)
    np.testing.assert_array_equal(np.asarray(image), image_of(filled))
    assert (facts["prompt"], facts["seed"], facts["image"]) == (OTHER, -7, "complete")
    page.get_by_role("button", name="Keep it").click()
    assert drawn(page) == []
    assert not hole_of(page, base).any()
    rub(page, (0.1, 0.1), (0.2, 0.1))
    hole = hole_of(page, base)
    kept = image_of(filled)
    assert_completed([image_of(drawn(page)[0])], gan.complete([kept], [hole], OTHER, seed=-7), [kept], [hole])
    assert page.get_by_role("button", name="Copy link").is_hidden()  # What was rubbed out is in no address.


def test_pictures_of_the_readers_are_filled_at_any_size(page: Any, gan: TextToImageGAN) -> None:
    take_brush(page)
    page.get_by_label("Brush", exact=True).fill("12")
    for number, picture in enumerate(random_pictures()[0][1:]):
        opened(page, picture)
        assert page.get_by_text("AI-generated", exact=True).is_hidden()  # It is the reader's.
        rub(page, (0.2, 0.3), (0.25, 0.9 if number == 2 else 0.4))  # The third is then cut wider than it is.
        hole = hole_of(page, picture)
        (filled,) = drawn(page)
        assert_completed([image_of(filled)], gan.complete([picture], [hole], CAPTION), [picture], [hole])
        assert "Partly AI-generated" in page.inner_text("figcaption")
    page.get_by_role("button", name="Keep it").click()
    assert drawn(page) == []
    assert "Partly AI-generated" in page.inner_text("figcaption")  # It is no picture of the reader's alone any more.
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_function("() => document.getElementById('status').textContent.includes('no picture')")
    assert "“a.png” is no picture that this browser can read." in page.inner_text("#status")


def test_the_keyboard_and_a_finger_rub_out_too(page: Any, gan: TextToImageGAN) -> None:
    (base,) = (image_of(picture) for picture in drawn(page))
    page.locator("input[name=view]:checked").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    drawn(page)
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "brush":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    def press(*keys: str) -> np.ndarray:
        for key in keys:
            page.keyboard.press(key)
        return hole_of(page, base)

    first = press("Space")
    assert first[16, 16]
    assert first.sum() > 10
    moved = press("ArrowLeft", "Shift+ArrowUp")
    np.testing.assert_array_equal(moved, first)
    assert "Column 15 of 32, row 16 of 32" in page.locator("#status").text_content()
    wider = press("Space")
    assert wider.sum() > first.sum()
    np.testing.assert_array_equal(press("Control+z"), first)
    fewer = press("Backspace")
    assert 0 < fewer.sum() < first.sum()
    write(page, OTHER)
    (filled,) = drawn(page)
    assert_completed([image_of(filled)], gan.complete([base], [fewer], OTHER), [base], [fewer])
    page.get_by_role("button", name="Start over").press("Enter")
    assert not hole_of(page, base).any()
    page.touchscreen.tap(*at(page, 0.25, 0.75))
    (filled,) = drawn(page)
    hole = hole_of(page, base)
    assert hole[24, 8]
    assert_completed([image_of(filled)], gan.complete([base], [hole], OTHER), [base], [hole])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_brush_is_accessible(page: Any, scheme: str) -> None:
    page.set_viewport_size(WINDOWS[scheme])
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    take_brush(page)
    for step in (lambda: None, lambda: rub(page, (0.4, 0.4), (0.6, 0.6))):
        step()
        drawn(page)
        check_accessible(page)
