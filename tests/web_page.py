"""What tests of the page share: a server, and what is on the page."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from keras_t2i.serve import demo

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WINDOWS = {"light": {"width": 1280, "height": 800}, "dark": {"width": 390, "height": 844}}
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = SOURCE.replace("trained", "compositeWithTrained")


def served(bundle: Path, page: Path) -> Any:
    server = demo.make_server(bundle, page, port=0)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def drawn(page: Any) -> list[dict[str, Any]]:
    page.evaluate("keras_t2i.idle()")
    return page.evaluate("keras_t2i.pictures()")


def download(page: Any, source: str = SOURCE) -> tuple[Image.Image, dict[str, Any], list[str]]:
    """A saved picture, what it records, and the kinds of its chunks."""
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download PNG").click()
    content = Path(waiting.value.path()).read_bytes()
    image = Image.open(io.BytesIO(content))
    image.load()
    kinds = re.findall(b"IHDR|iTXt|IDAT|IEND|iCCP|gAMA|sRGB", content)
    assert image.text["XML:com.adobe.xmp"].count(source) == 1  # type: ignore[attr-defined]
    return image, json.loads(image.text["keras_t2i"]), [kind.decode() for kind in kinds]  # type: ignore[attr-defined]


@contextmanager
def visited(browser: Any, site: str) -> Iterator[Any]:
    """The page, loaded, of which nothing may complain."""
    context = browser.new_context(viewport=WINDOWS["light"], color_scheme="light", has_touch=True)
    page = context.new_page()
    page.set_default_timeout(8000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(site)
    page.evaluate("keras_t2i.ready")
    yield page
    assert complaints == []
    context.close()


def write(page: Any, caption: str) -> None:
    page.get_by_role("textbox", name="Caption", exact=True).fill(caption)


def at(page: Any, x: float, y: float) -> tuple[float, float]:
    """A place of the picture, in shares of its width and height, on the screen."""
    page.locator("#brush").scroll_into_view_if_needed()
    box = page.locator("#brush").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def rub(page: Any, *places: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*at(page, *place), steps=3)
    page.mouse.up()


def opened(page: Any, picture: np.ndarray, num_pixels: int | None = None) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": buffer.getvalue()})
    height, width = picture.shape[:2]
    page.wait_for_function("length => keras_t2i.hole().length === length", arg=num_pixels or height * width)
    drawn(page)


def image_of(picture: dict[str, Any]) -> np.ndarray:
    return np.asarray(picture["rgb"], np.uint8).reshape(*picture["size"], 3)


def hole_of(page: Any, picture: np.ndarray) -> np.ndarray:
    return np.asarray(page.evaluate("keras_t2i.hole()"), bool).reshape(picture.shape[:2])


def check_accessible(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = axe.run(page, options={"runOnly": {"type": "tag", "values": tags}}).response
    assert [(problem["id"], problem["nodes"][0]["html"]) for problem in found["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
