"""The page of a single run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_t2i.report.charts import Line, line_chart, swatches
from keras_t2i.report.page import named_values, render_page, require_images
from keras_t2i.report.values import MISSING, finite, format_value, number, png_image

__all__ = ["RunPage", "render_run"]

POSITIONS = ("epoch", "step", "minutes")  # columns of the log that say when, not what
MAX_TABLE_ROWS = 500


@dataclass(frozen=True)
class RunPage:
    """What the page of a run shows. Only the title is required; sections without data are left out.

    Args:
        title: Heading of the page.
        created: When, as text.
        config: The run's settings.
        log: Rows of `log.csv`, numbers or text: `epoch`, `step`, `minutes`, and any losses and metrics; `val_x` is
            drawn together with `x`.
        metrics: The final evaluation: `key`, `label`, `better`, `unit`, `help`, `value`, and optionally `low`, `high`,
            `on_real` (the same for real images) and `headline`.
        measured_on: Whose captions that is of.
        resources: The same for time, memory and size.
        grids: Image grids over time: `(label, PNG bytes)`, oldest first.
        best_worst: For each caption `caption`, `best` and `worst` (uint8 `(N, H, W, 3)`), `best_scores` and
            `worst_scores` (N numbers each).
        nearest: Pairs of `caption`, `generated` and `training` (uint8 `(H, W, 3)`), and their `distance`.
        warnings: `level` ("warning" or "info") and `text`; shown first.
        num_skipped: Rows of the data that could not be used.
    """

    title: str
    created: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[Mapping[str, Any]] = ()
    metrics: Sequence[Mapping[str, Any]] = ()
    measured_on: str = "held-out captions"
    resources: Sequence[Mapping[str, Any]] = ()
    grids: Sequence[tuple[str, bytes]] = ()
    best_worst: Sequence[Mapping[str, Any]] = ()
    nearest: Sequence[Mapping[str, Any]] = ()
    warnings: Sequence[Mapping[str, str]] = ()
    num_skipped: int = 0


def render_run(run: RunPage) -> str:
    """A run as one HTML file that needs nothing else.

    Args:
        run: What to show.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        ValueError: If images are of another type or shape, or a grid is no PNG.
        ImportError: If Jinja or Matplotlib is not installed.
    """
    for position, item in enumerate(run.best_worst):
        for name in ("best", "worst"):
            require_images(f"best_worst[{position}][{name!r}]", item[name], 4)
    for position, item in enumerate(run.nearest):
        for name in ("generated", "training"):
            require_images(f"nearest[{position}][{name!r}]", item[name], 3)
    charts = _charts(run.log)
    sections = {
        "results": ("Results", run.metrics),
        "training": ("Training", charts),
        "grids": ("Pictures over time", run.grids),
        "best-worst": ("Best and worst by caption", run.best_worst),
        "nearest": ("Nearest training images", run.nearest),
        "resources": ("Resources", run.resources),
        "config": ("Settings", run.config),
    }
    return render_page(
        "run.html.j2",
        title=run.title,
        facts=_facts(run),
        sections={name: title for name, (title, content) in sections.items() if content},
        sprite=swatches(max([1, *(len(chart["legend"]) for chart in charts)])),
        warnings=sorted(_warnings(run), key=lambda warning: warning["level"] != "warning"),
        metrics=named_values(run.metrics),
        measured_on=run.measured_on,
        resources=named_values(run.resources),
        charts=charts,
        log=_log_table(run.log),
        grids=[{"label": label, **png_image(data)} for label, data in run.grids],
        best_worst=[
            {**item, **{f"{end}_scores": _scores(item.get(f"{end}_scores")) for end in ("best", "worst")}}
            for item in run.best_worst
        ],
        nearest=[{**item, "distance": format_value(item.get("distance"))} for item in run.nearest],
        config={str(key): _setting(value) for key, value in run.config.items()},
    )


def _facts(run: RunPage) -> list[str]:
    facts = []
    last = run.log[-1] if run.log else {}
    for key, word, unit in (("epoch", "epochs", "count"), ("step", "steps", "count"), ("minutes", "minutes", "number")):
        value = finite(last.get(key))
        if value is not None:
            facts.append(f"{format_value(value, unit)} {word.removesuffix('s') if value == 1 else word}")
    return [*facts, run.created] if run.created else facts


def _warnings(run: RunPage) -> list[dict[str, str]]:
    warnings = [{"level": item.get("level", "info"), "text": item["text"]} for item in run.warnings]
    if run.num_skipped:
        rows = "1 row of the data was" if run.num_skipped == 1 else f"{run.num_skipped:,} rows of the data were"
        warnings.append({"level": "info", "text": f"{rows} skipped."})
    return warnings


def _columns(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of what the log measures, in the order in which they first appear."""
    names = dict.fromkeys(str(name) for row in log for name in row)
    return [name for name in names if name not in POSITIONS]


def _words(column: str) -> str:
    held_out = column.startswith("val_")
    words = column.removeprefix("val_").replace("_", " ")
    return (words[:1].upper() + words[1:]) + (", held out" if held_out else "")


def _unit(column: str) -> str:
    return "share" if column.endswith(("accuracy", "precision", "recall", "coverage")) else "number"


def _charts(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One chart for all losses, and one for each other column; held-out values beside those of training."""
    groups: dict[str, list[str]] = {}
    for column in _columns(log):
        base = column.removeprefix("val_")
        groups.setdefault("Losses" if base.endswith("loss") else _words(base), []).append(column)
    x_key, x_label = "epoch", "Epoch"
    if any(finite(row.get("minutes")) is not None for row in log):
        x_key, x_label = "minutes", "Minutes of training"
    charts = []
    for title, columns in groups.items():
        lines = [_line(log, look, column, x_key) for look, column in enumerate(columns)]
        drawn = [(line, column) for line, column in zip(lines, columns, strict=True) if len(line.x)]
        if drawn:
            chart = line_chart([line for line, _ in drawn], title, x_label, _unit(columns[0]))
            legend = [{"look": line.look, "label": _words(column)} for line, column in drawn]
            charts.append({"title": title, "chart": chart, "legend": legend, "x_label": x_label})
    return charts


def _line(log: Sequence[Mapping[str, Any]], look: int, column: str, x_key: str) -> Line:
    points = [(finite(row.get(x_key)), finite(row.get(column))) for row in log]
    known = [(x, y) for x, y in points if x is not None and y is not None]
    return Line(look, np.array([x for x, _ in known]), np.array([y for _, y in known]))


def _log_table(log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The log as text; of a long one, evenly chosen rows."""
    chosen = sorted({round(position) for position in np.linspace(0, len(log) - 1, min(len(log), MAX_TABLE_ROWS))})
    positions = [name for name in POSITIONS if any(name in row for row in log)]
    columns = _columns(log)
    rows = [
        [
            *(format_value(log[index].get(name), "number" if name == "minutes" else "count") for name in positions),
            *(format_value(log[index].get(name), _unit(name)) for name in columns),
        ]
        for index in chosen
    ]
    return {
        "columns": [_words(name) for name in [*positions, *columns]],
        "rows": rows,
        "left_out": len(log) - len(chosen),
    }


def _scores(scores: Any) -> str:
    return ", ".join(format_value(score) for score in scores) if scores is not None else ""


def _setting(value: Any) -> str:
    """A setting as text; numbers as they were given."""
    if value is None:
        return MISSING
    if isinstance(value, float) and number(value) is not None and finite(value) is None:
        return "not finite"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_setting(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_setting(item) for item in value)
    return str(value)
