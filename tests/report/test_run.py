"""The page of a run shows its log as it is, with warnings first."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from keras_t2i.report import RunPage, render_run


def headings(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]*)", page)


def test_warnings_come_first_and_the_worst_of_them_before_notes(run_page: RunPage) -> None:
    main = render_run(run_page).split("<main", 1)[1]
    places = [main.index(text) for text in ("The discriminator tells", "Training stopped", "3 rows of the data", "<h2")]
    assert places == sorted(places)


def test_sections_without_data_are_left_out(run_page: RunPage) -> None:
    assert headings(render_run(RunPage(title="Bare"))) == []
    assert "Training" not in headings(render_run(replace(run_page, log=())))
    assert headings(render_run(RunPage(title="T", config={"seed": 1}))) == ["Settings"]


def test_log_is_drawn_by_what_belongs_together(run_page: RunPage) -> None:
    page = render_run(run_page)
    charts = re.findall(r'role="img" aria-label="([^".]*)', page)
    assert charts == ["Losses", "Penalty", "Caption accuracy", "Gradient norm"]
    assert "Caption accuracy, held out" in page


def test_log_table_has_text_numbers_gaps_and_what_is_not_finite(run_page: RunPage) -> None:
    table = render_run(run_page).split('id="log-table"')[1].split("</table>")[0]
    rows = [re.findall(r"<t[hd][^>]*>(?:<bdi>)?([^<]*)", row) for row in table.split("<tr>")[2:]]
    assert len(rows) == len(run_page.log)
    assert rows[2][0] == "3"
    assert rows[2][5] == "not finite"
    assert rows[0][7] == "\u2013"


def test_log_without_minutes_is_drawn_over_epochs() -> None:
    page = render_run(
        RunPage(title="T", log=[{"epoch": 1, "generator_loss": 1.0}, {"epoch": 2, "generator_loss": 0.5}])
    )
    assert "Over epoch" in page


def test_log_with_nothing_finite_has_no_chart() -> None:
    page = render_run(RunPage(title="T", log=[{"epoch": 1, "generator_loss": "nan"}]))
    assert headings(page) == []


def test_long_log_is_thinned_evenly_and_says_so() -> None:
    log = [{"epoch": epoch, "generator_loss": 1 / epoch} for epoch in range(1, 2002)]
    page = render_run(RunPage(title="T", log=log))
    assert "1501 rows left out" in page
    assert ">2,001<" in page


def test_strangers_texts_stay_texts(run_page: RunPage) -> None:
    hostile = '</style></script><img src=x onerror="alert(1)">\x00\udc80'
    page = render_run(
        replace(
            run_page,
            title=hostile,
            created=hostile,
            config={hostile: [hostile, {hostile: hostile}]},
            log=[{"epoch": 1, hostile: 1.0, "x_loss": 2.0}],
            grids=[(hostile, run_page.grids[0][1])],
        )
    )
    assert "<script" not in page
    assert 'onerror="' not in page
    assert page.count("</style>") == 1
    page.encode("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grids": [("epoch 1", b"GIF89a")]}, "the bytes of a PNG file; got 6 bytes"),
        ({"nearest": [{"caption": "c", "generated": np.zeros((8, 8), np.uint8), "training": None}]}, r"\(H, W, 3\)"),
        (
            {"best_worst": [{"caption": "c", "best": np.zeros((4, 8, 8, 3)), "worst": None}]},
            r"best_worst\[0\]\['best'\]",
        ),
    ],
)
def test_wrong_images_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_run(RunPage(title="T", **change))
