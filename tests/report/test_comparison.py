"""The page of a comparison says what the results say, whatever texts and numbers they have."""

from __future__ import annotations

import re
from copy import deepcopy
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from keras_t2i.report import render_comparison


class Outline(HTMLParser):
    """Tags, attributes that name addresses or handlers, rows of tables, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def row(self, start: str) -> list[str]:
        rows = [[" ".join(text.split()) for text in row] for row in self.rows]
        return next(row for row in rows if row and row[0].startswith(start))


def test_strangers_texts_stay_texts(comparison_html: str) -> None:
    outline = Outline(comparison_html)
    assert "script" not in outline.tags
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    addresses = [value for name, value in outline.attributes if name in ("src", "href", "xlink:href")]
    assert [value[:40] for value in addresses if not re.match(r"data:image/(png|webp);base64,|data:,$|#", value)] == []
    ids = [value for name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_table_is_ordered_by_the_headline_and_names_what_is_best(comparison: dict[str, Any]) -> None:
    outline = Outline(render_comparison(comparison, {}))
    table = [" ".join(row[0].split()) for row in outline.rows[:11]]
    assert table[0] == "Method"
    assert table[1] == "Nearest training image"
    assert table[2] == "DF-GAN"
    assert table[9].startswith("StackGAN")
    assert table[10] == "Real images"
    assert [text.endswith("best") for text in outline.row("DF-GAN")[1:]] == [False] * 4
    best = outline.row("Nearest training image")
    assert " best" in best[1]
    assert " best" in best[2]
    assert best[4] == "not finite"
    assert outline.row("StackGAN")[0].endswith("0 of 3 finished, 3 diverged")
    assert outline.row("DM-GAN")[0].endswith("2 of 3 finished, 1 diverged")


def test_lower_is_better_where_the_column_says_so(comparison: dict[str, Any]) -> None:
    changed = deepcopy(comparison)
    for metric in changed["metrics"]:
        metric["headline"] = metric["key"] == "kernel_distance"
        metric["better"] = "lower" if metric["key"] == "coverage" else metric["better"]
    outline = Outline(render_comparison(changed, {}))
    assert outline.rows[1][0].strip() == "Nearest training image"
    assert "best" in outline.row("Fully connected")[3]


def test_pictures_survive_to_the_pixel(comparison: dict[str, Any], samples: dict[str, np.ndarray]) -> None:
    import base64
    import io

    from PIL import Image

    outline = Outline(render_comparison(comparison, {"df_gan": samples["df_gan"]}))
    sheets = [value for name, value in outline.attributes if name == "src"]
    assert len(sheets) == len(comparison["captions"])
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheets[2].split(",")[1]))))
    np.testing.assert_array_equal(sheet[:64, :64, :3], samples["df_gan"][2, 0])
    np.testing.assert_array_equal(sheet[-64:, -64:, :3], samples["df_gan"][2, 3])


def test_page_of_nine_methods_is_small(comparison_html: str) -> None:
    assert len(comparison_html.encode()) < 3_000_000


def test_same_results_give_the_same_page(comparison: dict[str, Any]) -> None:
    assert render_comparison(comparison, {}) == render_comparison(comparison, {})


def test_bare_results_make_a_page() -> None:
    page = render_comparison({"title": "Nothing yet", "methods": []}, {})
    assert "Nothing yet" in page
    assert "<h2" not in page
    page = render_comparison({"title": "One", "methods": [{"name": "a", "label": "A"}]}, {})
    assert re.findall(r"<h2[^>]*>([^<]*)", page) == ["The methods"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_values_that_are_not_finite_are_said_and_not_drawn(comparison: dict[str, Any], value: float | None) -> None:
    changed = deepcopy(comparison)
    for method in changed["methods"]:
        method["summary"]["r_precision"] = None if value is None else {"mean": value, "low": value, "high": value}
        for run in method["runs"]:
            run["resources"] = dict.fromkeys(run["resources"], value)
            for point in run["curve"]:
                point["metrics"]["r_precision"] = value
    page = render_comparison(changed, {})
    assert "Quality, time and cost" not in page
    assert Outline(page).row("DF-GAN")[1] == ("\u2013" if value is None else "not finite")


def test_twelve_methods_look_different(comparison: dict[str, Any]) -> None:
    methods = [{"name": f"m{number}", "label": f"M {number}"} for number in range(12)]
    page = render_comparison({"title": "T", "methods": methods}, {})
    symbols = re.findall(r'<symbol id="look-\d+".*?</symbol>', page)
    shapes = {re.sub(r'(id="|#|var\(--)[\w-]+', "", symbol) for symbol in symbols}
    assert len(shapes) == 12  # without the colors


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"nobody": np.zeros((6, 1, 8, 8, 3), np.uint8)}, "'nobody', which is not among the methods"),
        ({"mlp": np.zeros((5, 1, 8, 8, 3), np.uint8)}, r"must be uint8 of shape \(6, num_images, H, W, 3\); got uint8"),
        ({"mlp": np.zeros((6, 1, 8, 8, 3), np.float32)}, "got float32"),
        ({"mlp": np.zeros((6, 0, 8, 8, 3), np.uint8)}, r"of shape \(6, 0, 8, 8, 3\)"),
    ],
)
def test_wrong_images_are_refused(comparison: dict[str, Any], images: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_comparison(comparison, images)
