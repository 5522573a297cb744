"""The page of a model that draws from sketches: draw, type, and see what Python would have drawn of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
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

IMAGE_INPUT = "sketch"
CAPTION, OTHER = "a large red star", "the small blue circle on white"
PAPER = np.full((128, 128, 3), 255, np.uint8)


@pytest.fixture
def gan(guided_gan: TextToImageGAN) -> TextToImageGAN:
    return guided_gan


@pytest.fixture
def page(browser: Any, guided_site: str) -> Iterator[Any]:
    """The page with paper and a pen."""
    with visited(browser, guided_site) as page:
        write(page, CAPTION)
        page.get_by_label("Brush", exact=True).fill("6")
        drawn(page)
        yield page


def sheet(page: Any, picture: np.ndarray = PAPER) -> np.ndarray:
    """A picture with the ink on it."""
    return np.where(hole_of(page, picture)[..., None], 0, picture).astype(np.uint8)


def check_drawn(page: Any, gan: TextToImageGAN, sketch: np.ndarray, caption: str = CAPTION, seed: int = 0) -> None:
    (found,) = drawn(page)
    assert np.abs(image_of(found).astype(int) - gan.complete([sketch], None, caption, seed=seed)[0]).max() <= 1


def test_a_sketch_is_drawn_as_python_draws_it(page: Any, gan: TextToImageGAN) -> None:
    check_drawn(page, gan, PAPER)
    assert "dark lines are followed" in page.inner_text("#status")
    rub(page, (0.3, 0.4), (0.7, 0.4), (0.7, 0.6))
    sketch = sheet(page)
    assert (sketch[51, 40:88] == 0).all()  # Where the pen went.
    assert 0.01 < (sketch == 0).mean() < 0.1
    check_drawn(page, gan, sketch)
    assert np.abs(gan.complete([sketch], None, CAPTION).astype(int) - gan.complete([PAPER], None, CAPTION)).max() > 5
    write(page, OTHER)
    page.get_by_role("textbox", name="Seed").fill("-7")
    check_drawn(page, gan, sketch, OTHER, -7)
    image, facts, _ = download(page, COMPOSITE)
    np.testing.assert_array_equal(np.asarray(image), image_of(drawn(page)[0]))
    assert (facts["prompt"], facts["seed"], facts["image"]) == (OTHER, -7, "sketch")
    page.get_by_role("radio", name="One picture").check()
    (alone,) = drawn(page)
    assert np.abs(image_of(alone).astype(int) - gan.generate(OTHER, seed=-7)[0]).max() <= 1
    assert page.locator("#pad").is_hidden()
    page.get_by_role("radio", name="Sketch").check()
    check_drawn(page, gan, sketch, OTHER, -7)  # It is still on the paper.


def test_it_begins_with_the_pen_and_a_link_with_what_it_says(page: Any) -> None:
    for _ in range(2):
        assert page.get_by_role("radio", name="Sketch").is_checked()
        assert page.locator("#pad").is_visible()
        page.reload()
        page.evaluate("keras_t2i.ready")
        drawn(page)
    page.get_by_role("radio", name="9 variations").check()
    drawn(page)
    page.reload()
    page.evaluate("keras_t2i.ready")
    assert len(drawn(page)) == 9
    assert page.get_by_role("radio", name="9 variations").is_checked()


def test_what_is_drawn_follows_the_pen_the_eraser_and_the_keyboard(page: Any, gan: TextToImageGAN) -> None:
    page.mouse.move(*at(page, 0.2, 0.5))
    page.mouse.down()
    page.mouse.move(*at(page, 0.8, 0.5), steps=5)
    line = sheet(page)
    check_drawn(page, gan, line)  # The pen is still down.
    page.mouse.up()
    page.get_by_role("button", name="Eraser").click()
    page.get_by_label("Brush", exact=True).fill("12")
    rub(page, (0.5, 0.3), (0.5, 0.7))
    broken = sheet(page)
    assert (broken[64, 60:68] == 255).all()
    assert (broken[64, 30:50] == 0).all()
    check_drawn(page, gan, broken)
    page.get_by_role("button", name="Undo").click()
    check_drawn(page, gan, line)
    np.testing.assert_array_equal(sheet(page), line)
    page.get_by_role("button", name="Start over").click()
    check_drawn(page, gan, PAPER)
    page.locator("#brush").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    dot = sheet(page)
    assert 0 < (dot == 0).all(axis=-1).sum() < 200
    check_drawn(page, gan, dot)
    write(page, "")
    assert drawn(page) == []
    assert "Type a caption" in page.inner_text("#frame")


def test_a_drawing_of_the_readers_is_opened_and_drawn_on(page: Any, gan: TextToImageGAN) -> None:
    picture = np.full((90, 40, 3), 255, np.uint8)
    picture[30:60, 5:35] = [20, 60, 20]
    square = picture[25:65]
    opened(page, picture, num_pixels=40 * 40)
    check_drawn(page, gan, square)
    rub(page, (0.1, 0.1), (0.9, 0.1))
    sketch = sheet(page, square)
    assert (sketch[4, 8:32] == 0).all()
    check_drawn(page, gan, sketch)
    page.get_by_role("button", name="Start over").click()
    page.wait_for_function("() => keras_t2i.hole().length === 128 * 128")
    check_drawn(page, gan, PAPER)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_and_pen_are_accessible(page: Any, scheme: str) -> None:
    page.set_viewport_size(WINDOWS[scheme])
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for step in (lambda: None, lambda: rub(page, (0.4, 0.4), (0.6, 0.6))):
        step()
        drawn(page)
        check_accessible(page)
