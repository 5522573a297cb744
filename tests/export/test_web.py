"""The page in a real browser: it draws Python's pixels, says what they are, and can be used by anyone."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from hard_captions import hard_captions
from PIL import Image
from web_page import WINDOWS, download, drawn, served

from keras_t2i import TextToImageGAN
from keras_t2i.models.sampling import prompt_embeddings
from keras_t2i.serve import demo

WEB = Path(__file__).parents[2] / "export" / "web"
CAPTION = "a large red star in the center on a white background"
SECOND = "a small blue circle at the top left on a black background"

CAPTIONS = [
    *(
        CAPTION,
        "",
        "   ",
        "A LARGE Red star, (in the center) - 50% off!",
        "don't [CLS] [MASK] ##s #hash __init__ $1 `x`",
    ),
    *("a café, naïve Ångström, ñandú", "e\u0301te\u0301 in combining accents", "Straße and STRASSE, ŉ, ﬁre"),
    *(
        "ΟΔΟΣ οδός σς",
        "İstanbul \u0131stanbul",
        "a red 心 and 漢字かな, カタカナ",
        "\uff52\uff45\uff44\u3000\uff33tar\uff01",
        "가을 각설탕",
        "㍻ ① ㎏ ½ …",
    ),
    *(
        "a 🎈 and 👩‍👩‍👧 flag 🇫🇷",
        "نجمة حمراء كبيرة",
        "שמש ארץ \u200fעץ",
        "हिन्दी ไทย",
        "a\u00a0no-break space",
        "soft\u00adhyphen",
    ),
    *(
        "nul\0inside",
        "tab\tand\nnew\r\nline \x07bell \x85",
        "\ufeffmark \u200b zero \u2028 line",
        "\ufffd \ue000 \ud800",
    ),
    *("word" * 30, "many " * 60, "x" * 101, "a" + "\u0301" * 40),
]


def test_the_lock_file_pins_contents_and_names_no_registry() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all("integrity" in package for package in packages.values())
    assert not [name for name, package in packages.items() if "resolved" in package]
    wanted = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert packages[f"node_modules/{name}"]["version"] == version


def test_the_packaged_page_is_the_one_of_its_sources() -> None:
    written = (demo.PAGE / "SOURCES.sha256").read_text(encoding="utf-8").splitlines()
    built = {file: digest for digest, file in (line.split("  ") for line in written)}
    files = [file for file in WEB.iterdir() if file.name != "README.md" and not file.name.startswith(".")]
    files += [file for folder in ("public", "src") for file in (WEB / folder).rglob("*")]
    sources = {
        file.relative_to(WEB).as_posix(): hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
        for file in files
        if file.is_file()
    }
    assert built == sources, "run `npm ci && npm run build` in export/web, and commit keras_t2i/serve/page"


def test_the_packaged_page_is_whole_and_names_whose_software_it_contains() -> None:
    html = (demo.PAGE / "index.html").read_text(encoding="utf-8")
    wanted = re.findall(r'(?:src|href)="\./([^"]+)"', html)
    assert len(wanted) == 3
    assert all((demo.PAGE / file).is_file() for file in wanted)
    notices = (demo.PAGE / "THIRD_PARTY.txt").read_text(encoding="utf-8")
    for name, version in json.loads((WEB / "package.json").read_text(encoding="utf-8"))["dependencies"].items():
        assert f"{name} {version}" in notices


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    bundle, page = tmp_path / "bundle", tmp_path / "page"
    for name, content in {
        "secret.txt": "secret",
        "bundle/bundle.json": "{}",
        "bundle/generator.tflite": "weights",
        "page/index.html": "<title>page</title>",
        "page/assets/main.js": "main",
        "page/wasm/litert.wasm": "wasm",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (bundle / "link.txt").symlink_to(tmp_path / "secret.txt")
    return bundle, page


def test_the_server_gives_out_two_folders_and_nothing_else(folders: tuple[Path, Path]) -> None:
    def get(path: str) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.getheader("X-Content-Type-Options") == "nosniff"
        return response.status, response.getheader("Content-Type", ""), response.read()

    with served(*folders) as server:
        html, script = "text/html; charset=utf-8", "text/javascript; charset=utf-8"
        assert get("/") == (200, html, b"<title>page</title>")
        assert get("/index.html?bundle=x#y")[:2] == (200, html)
        assert get("/assets/main.js") == (200, script, b"main")
        assert get("/wasm/litert.wasm")[:2] == (200, "application/wasm")
        assert get("/bundle/generator.tflite") == (200, "application/octet-stream", b"weights")
        assert get("/bundle/bundle.json")[:2] == (200, "application/json")
        outside = ["/../secret.txt", "/bundle/../../secret.txt", "/bundle/%2e%2e/%2e%2e/secret.txt", "/..%2fsecret.txt"]
        outside += ["/bundle/..%5c..%5csecret.txt", "//secret.txt", f"/{folders[0].parent}/secret.txt", "/%00"]
        for path in [*outside, "/bundle/link.txt", "/bundle/", "/bundle", "/assets/", "/assets", "/no", "/%ff"]:
            status, _, content = get(path)
            assert status == 404, path
            assert b"secret" not in content
        with pytest.raises(ValueError, match=r"port \d+: it is in use"):
            demo.make_server(*folders, port=server.server_address[1])
        server.shutdown()
    with pytest.raises(ValueError, match="No LiteRT bundle at"):
        demo.make_server(folders[1], folders[1])
    with pytest.raises(ValueError, match=r"No built page at .*: it has no index\.html; install the package again"):
        demo.make_server(folders[0], folders[0])


@pytest.fixture(scope="module")
def gan() -> TextToImageGAN:
    return TextToImageGAN.from_preset("shapes_64")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, browser: Any, gan: TextToImageGAN) -> Iterator[str]:
    bundle = tmp_path_factory.mktemp("site") / "bundle"
    gan.export(bundle, format="litert")
    broken = bundle / "broken"  # another bundle on the same site
    shutil.copytree(bundle, broken)
    (broken / "generator.tflite").write_bytes((bundle / "generator.tflite").read_bytes()[:-1] + b"?")
    with served(bundle, demo.PAGE) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def opened(browser: Any, site: str) -> Iterator[Any]:
    """The page once, with what it asked for and what it complained of."""
    context = browser.new_context(viewport=WINDOWS["light"], color_scheme="light")
    page = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(site)
    page.evaluate("keras_t2i.ready")
    yield SimpleNamespace(page=page, requests=requests, complaints=complaints)
    context.close()


@pytest.fixture
def page(opened: Any) -> Iterator[Any]:
    """The page as it is when it is opened, and afterwards a look at what it did meanwhile."""
    show(opened.page, prompt="")
    yield opened.page
    site = "/".join(opened.page.url.split("/")[:3])
    assert [url for url in opened.requests if not url.startswith((site, f"blob:{site}"))] == []
    assert opened.complaints == []


def show(page: Any, **state: Any) -> list[dict[str, Any]]:
    """Goes to the address of a state, and returns what is drawn."""
    page.evaluate("hash => { location.hash = hash }", "#" + urlencode(state))
    # The address is a message to the page, which comes after this one.
    page.wait_for_function("prompt => document.getElementById('prompt').value === prompt", arg=state["prompt"])
    return drawn(page)


def assert_same(pictures: list[dict[str, Any]], expected: np.ndarray) -> None:
    levels = [np.asarray(picture["rgb"], np.int64).reshape(expected.shape[1:]) for picture in pictures]
    assert len(levels) == len(expected)
    assert np.abs(np.stack(levels) - expected).max() <= 1
    assert expected.std() > 10


def test_what_is_typed_is_drawn_and_saved_as_python_draws_it(page: Any, gan: TextToImageGAN, site: str) -> None:
    page.get_by_role("textbox", name="Seed").fill("12")
    page.get_by_role("textbox", name="Caption", exact=True).press_sequentially(CAPTION)
    assert_same(drawn(page), gan.generate(CAPTION, seed=12))
    assert "AI-generated" in page.inner_text("footer")
    assert page.get_by_text("Rub out", exact=True).is_hidden()  # This model draws from captions alone.
    assert "under Apache-2.0" in page.inner_text("footer")
    assert re.search(r"\d+ ms per image", page.inner_text("figcaption"))
    assert re.search(r"\d+\.\d MB downloaded", page.inner_text("footer"))

    image, facts, kinds = download(page)
    assert np.abs(np.asarray(image, np.int64) - gan.generate(CAPTION, seed=12)[0]).max() <= 1
    assert kinds == ["IHDR", "iTXt", "iTXt", "IDAT", "IEND"]
    assert image.mode == "RGB"
    description = http_json(site + "bundle/bundle.json")
    assert facts == {
        "prompt": CAPTION,
        "seed": 12,
        "index": 0,
        "truncation": 1,
        "model": description["model"],
        "generator": f"keras_t2i {description['versions']['keras_t2i']}",
    }
    page.get_by_label("Write the prompt into the file").uncheck()
    assert "prompt" not in download(page)[1]
    page.get_by_label("Write the prompt into the file").check()


def http_json(address: str) -> Any:
    from urllib.request import urlopen

    with urlopen(address) as response:
        return json.load(response)


def test_seeds_variations_and_truncation_are_pythons(page: Any, gan: TextToImageGAN) -> None:
    seed = 2**62 + 3
    pictures = show(page, prompt=CAPTION, seed=seed, view="grid", index=7, truncation=0.5)
    assert_same(pictures, gan.generate(CAPTION, num_images=9, seed=seed, truncation=0.5))
    facts = download(page)[1]
    assert (facts["seed"], facts["index"], facts["truncation"]) == (seed, 7, 0.5)
    assert_same(show(page, prompt=SECOND, seed=-5), gan.generate(SECOND, seed=-5))


def test_pictures_in_between_follow_the_mixed_embeddings(page: Any, gan: TextToImageGAN) -> None:
    assert gan.text_encoder is not None
    first, second = prompt_embeddings(gan, [CAPTION, SECOND])
    mixed = 0.7 * first + 0.3 * second
    length = 0.7 * np.linalg.norm(first) + 0.3 * np.linalg.norm(second)
    expected = gan.generate_from_embeddings((mixed * length / np.linalg.norm(mixed))[None], seed=3)
    pictures = show(page, prompt=CAPTION, second=SECOND, mix=0.3, view="between", seed=3)
    assert_same(pictures, expected)
    facts = download(page)[1]
    assert (facts["prompt"], facts["second_prompt"], facts["mix"]) == (CAPTION, SECOND, 0.3)
    page.get_by_role("button", name="100 % of the second caption").click()
    assert_same(drawn(page), gan.generate(SECOND, seed=3))


def test_token_numbers_are_those_of_the_model(page: Any, gan: TextToImageGAN) -> None:
    assert gan.text_encoder is not None
    captions = [*CAPTIONS, *hard_captions()]
    expected = gan.text_encoder.token_ids(captions).numpy().tolist()
    # A half surrogate pair cannot be sent as text: it is written out in JSON, and read in the page.
    found = page.evaluate("json => JSON.parse(json).map(keras_t2i.tokenIds)", json.dumps(captions))
    for caption, ids, right in zip(captions, found, expected, strict=True):
        assert ids == right, repr(caption)


def test_hints_are_told_and_a_link_draws_the_same_again(page: Any) -> None:
    assert drawn(page) == []
    assert "Type a caption" in page.inner_text("#placeholder")
    assert page.get_by_role("button", name="Download PNG").is_disabled()
    show(page, prompt="many " * 60)
    assert "Only the first 30 tokens" in page.inner_text("#status")
    page.get_by_role("textbox", name="Seed").fill("seven")
    page.evaluate("keras_t2i.idle()")
    assert "A seed is a whole number" in page.inner_text("#status")

    show(page, prompt=CAPTION, seed=5)
    page.get_by_role("button", name="New seed").click()
    pictures = drawn(page)
    link = page.url.split("#")[1]
    show(page, prompt="")
    page.evaluate("hash => { location.hash = hash }", link)
    page.wait_for_function("() => document.getElementById('prompt').value !== ''")
    assert drawn(page) == pictures
    assert pictures[0]["seed"] in link
    show(page, prompt=CAPTION, model="0123456789ab")
    assert "another model" in page.inner_text("#status")


def test_everything_works_from_the_keyboard(page: Any) -> None:
    page.locator("h1").click()  # the top of the page
    focused = """() => {
        const element = document.activeElement;
        return [element.id || element.value, getComputedStyle(element).outlineStyle];
    }"""
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == ["prompt", "solid"]
    page.keyboard.type(CAPTION)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert len(drawn(page)) == 9
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    pressed = page.locator("#grid button[aria-pressed=true]")
    assert pressed.get_attribute("aria-label") == "Variation 3 of 9"
    visited = []
    for _ in range(14):
        page.keyboard.press("Tab")
        visited.append(page.evaluate(focused)[0])
        if visited[-1] == "truncation":
            page.keyboard.press("ArrowLeft")
            drawn(page)
        if visited[-1] == "download":
            break
    assert visited[-6:] == ["seed", "new-seed", "truncation", "crisp", "write-prompt", "download"]
    with page.expect_download() as waiting:
        page.keyboard.press("Enter")
    facts = json.loads(Image.open(waiting.value.path()).text["keras_t2i"])  # type: ignore[attr-defined]
    assert (facts["index"], facts["truncation"]) == (2, 0.95)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible(page: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size(WINDOWS[scheme])
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    for view in ("grid", "between"):
        show(page, prompt=CAPTION, second="many " * 60, view=view)
        found = axe.run(page, options={"runOnly": {"type": "tag", "values": tags}}).response
        assert [(problem["id"], problem["nodes"][0]["html"]) for problem in found["violations"]] == []
        assert len(found["passes"]) > 20
        assert page.evaluate("document.documentElement.scrollWidth") <= WINDOWS[scheme]["width"]
    page.set_viewport_size(WINDOWS["light"])
    page.emulate_media(color_scheme="light")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?bundle=./none/", "bundle.json could not be loaded from /none/bundle.json: the host answered 404."),
        ("?bundle=bundle/broken", "generator.tflite is not the file that bundle.json describes: its SHA-256 differs."),
        ("?bundle=https://example.com/", "The bundle must be on this page's own site"),
    ],
)
def test_what_stops_the_page_is_one_clear_line(browser: Any, site: str, query: str, sentence: str) -> None:
    page = browser.new_page()
    try:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(site + query)
        page.evaluate("keras_t2i.ready")
        assert page.get_by_role("alert").inner_text().startswith(sentence)
        assert page.get_by_role("button", name="Download PNG").is_disabled()
        assert all(url.startswith(site) for url in requests)
    finally:
        page.close()


def test_the_policy_lets_nothing_else_be_loaded_or_run(opened: Any) -> None:
    blocked = """() => new Promise(resolve => {
        const found = [];
        document.addEventListener("securitypolicyviolation", event => {
            found.push(event.effectiveDirective);
            if (found.length === 3) resolve(found.sort());
        });
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        new Image().src = "https://example.com/a.png";
        fetch("https://example.com/").catch(() => {});
    })"""
    assert opened.page.evaluate(blocked) == ["connect-src", "img-src", "script-src-elem"]
    assert opened.page.evaluate("window.ran === undefined")
