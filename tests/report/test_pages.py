"""The pages in a browser: accessible, self-contained, and readable on a phone, in light and in dark."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_t2i.report import RunPage, render_run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WINDOWS = {"phone": {"width": 360, "height": 800}, "desktop": {"width": 1280, "height": 900}}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, comparison_html: str, run_page: RunPage) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("pages")
    texts = {"comparison": comparison_html, "run": render_run(run_page)}
    for name, text in texts.items():
        (directory / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: directory / f"{name}.html" for name in texts}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", list(WINDOWS))
@pytest.mark.parametrize("name", ["comparison", "run"])
def test_page_is_accessible_and_alone(
    browser: Any, pages: dict[str, Path], name: str, window: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport=WINDOWS[window], color_scheme=scheme)
    try:
        page = context.new_page()
        requests: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(pages[name].as_uri())
        for details in page.query_selector_all("details"):
            details.evaluate("element => { element.open = true }")

        assert page.evaluate("document.documentElement.scrollWidth") <= WINDOWS[window]["width"]
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert {url for url in requests if not url.startswith("data:")} == {pages[name].as_uri()}
        assert complaints == []

        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = axe.run(page, options={"runOnly": {"type": "tag", "values": tags}}).response
        assert [(problem["id"], problem["nodes"][0]["html"]) for problem in found["violations"]] == []
        assert len(found["passes"]) > 20
    finally:
        context.close()


def test_policy_blocks_scripts_and_addresses_even_where_a_page_has_them(
    browser: Any, pages: dict[str, Path], tmp_path: Path
) -> None:
    planted = '<script>document.title = "ran"</script><img src="planted.png" alt="">'
    page_file = tmp_path / "planted.html"
    page_file.write_text(pages["run"].read_text(encoding="utf-8").replace("</main>", planted + "</main>"), "utf-8")
    (tmp_path / "planted.png").write_bytes(b"")
    page = browser.new_page()
    try:
        blocked: list[str] = []
        page.on("console", lambda message: blocked.append(message.text))
        page.goto(page_file.as_uri())
        assert page.title() != "ran"
        assert any("planted.png" in text for text in blocked)
    finally:
        page.close()


def test_keyboard_reaches_what_scrolls(browser: Any, pages: dict[str, Path]) -> None:
    page = browser.new_page(viewport=WINDOWS["phone"])
    try:
        page.goto(pages["comparison"].as_uri())
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        hidden = """[...document.querySelectorAll("*")].filter(element => element.tabIndex < 0
            && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0
            && ["auto", "scroll"].includes(getComputedStyle(element).overflowX)).length"""
        assert page.evaluate(hidden) == 0
    finally:
        page.close()
