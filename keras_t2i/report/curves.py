"""The charts of a comparison: quality over training, and quality against what an image costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_t2i.report.charts import Line, Point, line_chart, scatter_chart
from keras_t2i.report.values import MISSING, finite, format_range, format_value, unit_suffix

__all__ = ["cost_chart", "headline_of", "resource_summary", "summary_of", "training_chart"]

_Curve = tuple[np.ndarray, np.ndarray]


def headline_of(columns: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The column marked as headline, else the first; `None` without columns."""
    return next((column for column in columns if column.get("headline")), columns[0] if columns else None)


def _cost_of(resources: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What an image costs: the headline, multiply-adds, milliseconds or the first resource, whichever there is."""
    for fits in (
        lambda resource: resource.get("headline"),
        lambda resource: "multiply_adds" in resource["key"],
        lambda resource: resource.get("unit") == "ms",
    ):
        found = next(filter(fits, resources), None)
        if found is not None:
            return found
    return next(iter(resources), None)


def summary_of(method: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What a row of a table says of a number, or `None` where it has none."""
    return (method.get("summary") or {}).get(key) or {}


def resource_summary(method: Mapping[str, Any], key: str) -> dict[str, float]:
    """Mean, lowest and highest of a resource over the runs that tell it."""
    values = [finite((run.get("resources") or {}).get(key)) for run in method.get("runs", ())]
    known = [value for value in values if value is not None]
    return {"mean": float(np.mean(known)), "low": min(known), "high": max(known)} if known else {}


def _curve(run: Mapping[str, Any], key: str, x_key: str) -> _Curve:
    points = [
        (finite(point.get(x_key)), finite((point.get("metrics") or {}).get(key))) for point in run.get("curve") or ()
    ]
    known = sorted((x, y) for x, y in points if x is not None and y is not None)
    return np.array([x for x, _ in known]), np.array([y for _, y in known])


def _mean_line(look: int, finished: list[_Curve], broken: list[_Curve]) -> Line:
    """The mean over seeds and their range, at the times of the run with the fewest points that all runs cover."""
    if not finished:
        return Line(look, np.empty(0), np.empty(0), broken=broken)
    first, last = max(x[0] for x, _ in finished), min(x[-1] for x, _ in finished)
    grid = min((x for x, _ in finished), key=len)
    grid = np.unique(np.clip(grid, first, max(first, last)))
    values = np.stack([np.interp(grid, x, y) for x, y in finished])
    low, high = (values.min(axis=0), values.max(axis=0)) if len(finished) > 1 else (None, None)
    return Line(look, grid, values.mean(axis=0), low, high, broken)


def training_chart(
    methods: Sequence[Mapping[str, Any]],
    looks: Mapping[str, int],
    headline: Mapping[str, Any],
    budget: Mapping[str, Any],
) -> dict[str, Any] | None:
    """The headline metric over training, and the table with the same data; `None` where no run has a curve."""
    x_key = "images_seen" if "images" in budget else "minutes"
    unit = headline.get("unit", "number")
    lines, rows, has_broken = [], [], False
    for method in methods:
        finished: list[_Curve] = []
        broken: list[_Curve] = []
        for run in method.get("runs", ()):
            x, y = _curve(run, headline["key"], x_key)
            if len(x):
                (finished if run.get("status", "finished") == "finished" else broken).append((x, y))
            rows += [
                [
                    method["label"],
                    str(run.get("seed", MISSING)),
                    format_value(point.get("minutes")),
                    format_value(point.get("images_seen"), "count"),
                    format_value((point.get("metrics") or {}).get(headline["key"]), unit),
                ]
                for point in run.get("curve") or ()
            ]
        if finished or broken:
            lines.append((_mean_line(looks[method["name"]], finished, broken), method["label"]))
            has_broken = has_broken or bool(broken)
    if not lines:
        return None
    x_label = "Images seen" if x_key == "images_seen" else "Minutes of training"
    return {
        "title": f"{headline['label']} against {x_label.lower()}",
        "chart": line_chart([line for line, _ in lines], "curves", x_label, unit),
        "legend": [{"look": line.look, "label": label} for line, label in lines],
        "has_broken": has_broken,
        "columns": ["Method", "Seed", "Minutes", "Images seen", headline["label"]],
        "rows": rows,
    }


def cost_chart(
    methods: Sequence[Mapping[str, Any]],
    looks: Mapping[str, int],
    headline: Mapping[str, Any],
    resources: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | None:
    """Quality against cost for the methods that have both; `None` where none has."""
    cost = _cost_of(resources)
    if cost is None:
        return None
    points, rows = [], []
    unit, x_unit = headline.get("unit", "number"), cost.get("unit", "number")
    for method in methods:
        summary = summary_of(method, headline["key"])
        y, x = finite(summary.get("mean")), finite(resource_summary(method, cost["key"]).get("mean"))
        if x is None or y is None:
            continue
        low, high = finite(summary.get("low")), finite(summary.get("high"))
        points.append(
            Point(
                looks[method["name"]],
                str(method["label"]),
                x,
                y,
                y if low is None else low,
                y if high is None else high,
            )
        )
        rows.append(
            [method["label"], format_value(x, x_unit), format_value(y, unit), format_range(low, high, unit) or MISSING]
        )
    if not points:
        return None
    x_label = str(cost["label"]) + unit_suffix(x_unit)
    return {
        "title": f"{headline['label']} against {_lower_first(str(cost['label']))}",
        "chart": scatter_chart(points, "scatter", x_label, unit, x_unit),
        "legend": [],  # names are beside the points
        "columns": ["Method", x_label, headline["label"], "Range over seeds"],
        "rows": rows,
    }


def _lower_first(text: str) -> str:
    """A label in the middle of a sentence; abbreviations stay."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
