"""What tests of the page share: a server, and what is on the page."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
from pathlib import Path
from typing import Any

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
