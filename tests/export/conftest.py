"""Fixtures of exports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from guided_models import tiny_guided
from tiny_encoder import write_bert_preset
from web_page import CHROMIUM, served

from keras_t2i.models.gan import TextToImageGAN
from keras_t2i.serve import demo
from keras_t2i.text import TextEncoder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def guided_gan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextToImageGAN:
    """A model that is given of a picture what the module's `IMAGE_INPUT` says."""
    encoder = TextEncoder.from_preset(write_bert_preset(tmp_path_factory.mktemp("encoder") / "bert"))
    return tiny_guided(request.module.IMAGE_INPUT, encoder)


@pytest.fixture(scope="module")
def guided_site(tmp_path_factory: pytest.TempPathFactory, browser: Any, guided_gan: TextToImageGAN) -> Iterator[str]:
    """Where its page is."""
    bundle = tmp_path_factory.mktemp("site") / "bundle"
    guided_gan.export(bundle, format="litert")
    with served(bundle, demo.PAGE) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
