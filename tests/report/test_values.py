"""Numbers read as people write them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from keras_t2i.report.charts import Line, Point, line_chart, scatter_chart
from keras_t2i.report.values import format_range, format_value


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.7123, "share", "71.2%"),
        (0.01234, "number", "0.0123"),
        (0, "number", "0"),
        (-3.14159, "number", "-3.14"),
        (12345.6, "number", "12,346"),
        (1.234e-7, "number", "1.23e-07"),
        (6.218, "ms", "6.22"),
        (9999, "count", "9,999"),
        (2.345e9, "count", "2.35 G"),
        (25_557_032, "count", "25.6 M"),
        (999_999_999, "count", "1 G"),
        ("0.25", "number", "0.250"),
        ("", "number", "\u2013"),
        (None, "share", "\u2013"),
        (True, "number", "\u2013"),
        (float("nan"), "share", "not finite"),
        ("-inf", "count", "not finite"),
        (np.float32(0.5), "share", "50.0%"),
    ],
)
def test_values_read_well(value: object, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_ranges_are_written_once_and_only_where_there_is_one() -> None:
    assert format_range(0.581, 0.66, "share") == "58.1\u201366.0%"
    assert format_range(0.5, 0.5, "share") == ""
    assert format_range(None, 0.5) == ""
    assert format_range(float("nan"), 0.5) == ""


def test_charts_take_their_colors_from_the_page() -> None:
    x = np.array([0.0, 1.0, 2.0])
    lines = [Line(look, x, x * look, x * look - 1, x * look + 1, [(x, x)]) for look in range(7)]
    points = [Point(look, f"$M_{look}$ \U0001f33b <b>", 10.0**look, look, look - 1, look + 1) for look in range(7)]
    for chart in (line_chart(lines, "a", "Minutes", "share"), scatter_chart(points, "b", "Cost", "number", "count")):
        assert "#" not in "".join(part for part in chart.split('"') if "stroke" in part or "fill" in part)
        assert {f"var(--look-{look})" in chart for look in range(6)} == {True}
        assert "font-family" not in chart
        assert "<style" not in chart
    assert "$M_3$ \U0001f33b &lt;b&gt;" in chart


def test_a_single_point_can_be_drawn() -> None:
    one = np.array([1.0])
    assert "<svg" in line_chart([Line(0, one, one)], "a", "Minutes")
    assert "<svg" in scatter_chart([Point(0, "A", 0.0, 0.0, 0.0, 0.0)], "b", "Cost", "number", "count")


def test_room_loads_without_its_packages_and_names_the_extra() -> None:
    code = """if True:
        import sys
        sys.modules["jinja2"] = sys.modules["matplotlib"] = sys.modules["markupsafe"] = None
        from keras_t2i.report import RunPage, render_run
        try:
            render_run(RunPage(title="T"))
        except ImportError as error:
            print(error)
    """
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'keras-t2i[report]'" in result.stdout
