"""The page that compares methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_t2i.report.charts import swatches
from keras_t2i.report.curves import cost_chart, headline_of, resource_summary, summary_of, training_chart
from keras_t2i.report.page import cell, mark_best, render_page, require_images
from keras_t2i.report.values import MISSING, finite, format_value, unit_suffix

__all__ = ["render_comparison"]

MACHINE = {"memory_gib": "Memory (GiB)", "tensorflow": "TensorFlow"}
DIRECTIONS = {"higher": "higher is better", "lower": "lower is better"}


def render_comparison(
    comparison: Mapping[str, Any], samples: Mapping[str, np.ndarray], real: np.ndarray | None = None
) -> str:
    """A comparison of methods as one HTML file that needs nothing else.

    Args:
        comparison: The results. Required: `title` and `methods` (each with `name` and `label`); sections whose data is
            absent or empty are left out. Keys: `title`, `created`, `data` (`name`, `num_train`, `num_held_out`,
            `image_size`), `budget` (`minutes` or `images`), `seeds`, `machine`, `measured_on` (by default `"held-out
            captions"`), `metrics` and `resources` (columns: `key`, `label`, `better`: "higher", "lower" or None,
            `unit`: "share", "number", "ms", "MB" or "count", `headline`, `help`, and for metrics `on_real`, the value
            of real images), `captions`, `methods` (`name`, `label`, `description`, `reference`, `command`, `runs`,
            `summary`), `verdict` (`question`, `answer`, `sentence`), `notes` and `commands`. The headline metric
            (without a mark, the first) orders the methods and is drawn over training and over the headline resource
            (without a mark, multiply-adds, else milliseconds).
        samples: For methods by name, generated images, uint8 `(num_captions, num_images, H, W, 3)`, in the order of
            `comparison["captions"]`. Methods may be absent.
        real: Real images for the same captions, uint8 `(num_captions, num_images, H, W, 3)`.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        ValueError: If images are of another type or shape, or of a method that is not compared.
        ImportError: If Jinja or Matplotlib is not installed.
    """
    captions = list(comparison.get("captions", ()))
    methods = list(comparison["methods"])
    looks = {method["name"]: look for look, method in enumerate(methods)}
    unknown = sorted(set(samples) - set(looks))
    if unknown:
        raise ValueError(f"samples has images of {unknown[0]!r}, which is not among the methods {sorted(looks)}.")
    for name, images in {**samples, **({} if real is None else {"real": real})}.items():
        require_images(f"samples[{name!r}]" if name in samples else name, images, 5, first=len(captions))

    metrics = list(comparison.get("metrics", ()))
    resources = list(comparison.get("resources", ()))
    headline = headline_of(metrics)
    methods = _ordered(methods, headline)
    rows = [
        {"name": method["name"], "label": method["label"], "look": looks[method["name"]], "runs": _runs_line(method)}
        for method in methods
    ]
    curves = None if headline is None else training_chart(methods, looks, headline, comparison.get("budget") or {})
    scatter = None if headline is None else cost_chart(methods, looks, headline, resources)
    resource_cells = [_resource_cells(column, methods) for column in resources]
    pictures = _pictures(captions, rows, samples, real)
    sections = {
        "verdict": ("In short", comparison.get("verdict")),
        "results": ("Results", metrics and methods),
        "curves": ("Quality, time and cost", curves or scatter),
        "pictures": ("Pictures by caption", pictures),
        "resources": ("Resources", resources and methods),
        "methods": ("The methods", methods),
        "measured": ("How it was measured", metrics or comparison.get("machine")),
        "notes": ("Notes", comparison.get("notes")),
        "commands": ("How to reproduce", comparison.get("commands")),
    }
    return render_page(
        "comparison.html.j2",
        title=comparison["title"],
        facts=_facts(comparison, len(methods)),
        sections={name: title for name, (title, content) in sections.items() if content},
        sprite=swatches(max(len(methods), 1)),
        verdict=[_verdict(card, {row["name"]: row for row in rows}) for card in comparison.get("verdict", ())],
        measured_on=comparison.get("measured_on", "held-out captions"),
        metrics=[_column(metric) for metric in metrics],
        resources=[_column(resource) for resource in resources],
        rows=rows,
        metric_cells=_by_row([_metric_cells(metric, methods) for metric in metrics], len(rows)),
        resource_cells=_by_row(resource_cells, len(rows)),
        on_real=_on_real(metrics),
        num_seeds=len(comparison.get("seeds", ())),
        headline=None if headline is None else _column(headline),
        curves=curves,
        scatter=scatter,
        pictures=pictures,
        methods=[{**row, **_about(method)} for row, method in zip(rows, methods, strict=True)],
        machine={
            MACHINE.get(key, key.replace("_", " ").capitalize()): value
            for key, value in (comparison.get("machine") or {}).items()
        },
        notes=comparison.get("notes", ()),
        commands=comparison.get("commands", ()),
    )


def _ordered(methods: list[Any], headline: Mapping[str, Any] | None) -> list[Any]:
    """Best first; methods without the headline metric last, in the order given."""
    if headline is None:
        return methods
    sign = 1 if headline.get("better") == "lower" else -1

    def rank(method: Mapping[str, Any]) -> tuple[bool, float]:
        mean = finite(summary_of(method, headline["key"]).get("mean"))
        return (True, 0.0) if mean is None else (False, sign * mean)

    return sorted(methods, key=rank)


def _column(column: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "label": str(column["label"]) + unit_suffix(column.get("unit", "number")),
        "direction": DIRECTIONS.get(column.get("better") or "", ""),
        "help": column.get("help", ""),
    }


def _by_row(columns: Sequence[Sequence[Any]], num_rows: int) -> list[list[Any]]:
    return [[column[row] for column in columns] for row in range(num_rows)]


def _metric_cells(metric: Mapping[str, Any], methods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    cells = [cell(summary_of(method, metric["key"]), metric.get("unit", "number")) for method in methods]
    mark_best(cells, metric.get("better"))
    return cells


def _resource_cells(resource: Mapping[str, Any], methods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    cells = [cell(resource_summary(method, resource["key"]), resource.get("unit", "number")) for method in methods]
    mark_best(cells, resource.get("better"))
    return cells


def _on_real(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """The row of real images: what each metric, where it says so, gives for them."""
    if not any(finite(metric.get("on_real")) is not None for metric in metrics):
        return []
    return [format_value(metric.get("on_real"), metric.get("unit", "number")) for metric in metrics]


def _runs_line(method: Mapping[str, Any]) -> dict[str, Any]:
    """ "2 of 3 finished, 1 diverged", and whether that is good news."""
    runs = list(method.get("runs", ()))
    counts = Counter(str(run.get("status", "finished")) for run in runs)
    finished = counts.pop("finished", 0)
    others = ", ".join(f"{count} {status}" for status, count in counts.items())
    if not runs:
        return {"text": "no runs", "good": False}
    if set(counts) == {"unavailable"} and not finished:
        return {"text": "not available", "good": False}
    text = f"{finished} of {len(runs)} finished"
    return {"text": f"{text}, {others}" if others else text, "good": not others}


def _verdict(card: Mapping[str, Any], rows: Mapping[str, Any]) -> dict[str, Any]:
    answer = card.get("answer")
    row = rows.get(answer) if answer is not None else None
    label = row["label"] if row else answer
    return {"question": card["question"], "sentence": card.get("sentence", ""), "label": label, "row": row}


def _facts(comparison: Mapping[str, Any], num_methods: int) -> list[str]:
    """The line under the title, in parts."""
    data, budget, seeds = comparison.get("data") or {}, comparison.get("budget") or {}, comparison.get("seeds", ())
    facts = [f"{num_methods} methods" if num_methods != 1 else "1 method"]
    if seeds:
        facts.append(f"{len(seeds)} seeds each" if len(seeds) > 1 else f"one seed ({seeds[0]})")
    if "minutes" in budget:
        facts.append(f"{_round(budget['minutes'])} minutes of training each")
    elif "images" in budget:
        facts.append(f"{format_value(budget['images'], 'count')} training images each")
    if data:
        counts = [
            f"{format_value(data[key], 'count')} {words}"
            for key, words in (("num_train", "images to train on"), ("num_held_out", "held out"))
            if data.get(key) is not None
        ]
        size = (
            [f"{data['image_size']} \u00d7 {data['image_size']} pixels"] if data.get("image_size") is not None else []
        )
        facts.append(": ".join(part for part in (str(data.get("name", "")), ", ".join([*counts, *size])) if part))
    if comparison.get("created"):
        facts.append(str(comparison["created"]))
    return facts


def _round(value: Any) -> str:
    """A round figure of a budget: 2.0 as "2"."""
    converted = finite(value)
    return MISSING if converted is None else f"{converted:g}"


def _pictures(
    captions: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    samples: Mapping[str, np.ndarray],
    real: np.ndarray | None,
) -> list[dict[str, Any]]:
    """For each caption, what there is to show: real images first, then the methods, best first."""
    sources: list[dict[str, Any]] = [] if real is None else [{"label": "Real", "look": None, "images": real}]
    sources += [{**row, "images": samples[row["name"]]} for row in rows if row["name"] in samples]
    widest = max((int(np.ceil(np.sqrt(source["images"].shape[1]))) for source in sources), default=1)
    return [
        {
            "caption": caption,
            "figures": [
                {"label": source["label"], "look": source["look"], "images": source["images"][position]}
                for source in sources
            ],
            "columns": widest,
        }
        for position, caption in enumerate(captions)
        if sources
    ]


def _about(method: Mapping[str, Any]) -> dict[str, Any]:
    """What a method says of itself, and its runs that have something to tell."""
    runs = [
        {"seed": run.get("seed", MISSING), "status": run.get("status", "finished"), "message": run.get("message") or ""}
        for run in method.get("runs", ())
    ]
    return {
        "description": method.get("description") or "",
        "reference": method.get("reference") or "",
        "command": method.get("command") or "",
        "incidents": [run for run in runs if run["status"] != "finished" or run["message"]],
    }
