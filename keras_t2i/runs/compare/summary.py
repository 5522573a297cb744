"""From the results of all runs to one table, one verdict and the sentences for both."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from keras_t2i.core.machine import processor
from keras_t2i.metrics.glossary import COSTS, TRAINING_CAPTIONS, on_real, terms
from keras_t2i.runs.compare.config import ComparisonConfig
from keras_t2i.runs.compare.methods import method

__all__ = ["markdown", "summarize"]

_NEAR = 0.9
"""A method that reaches this part of the best one's quality is good enough to be weighed by its cost."""

_SAME_COST = 0.05


def summarize(config: ComparisonConfig, results: Mapping[tuple[str, int], Mapping[str, Any]]) -> dict[str, Any]:
    """Puts a comparison together, as `comparison.json` has it and `keras_t2i.report.render_comparison` draws it.

    Args:
        config: What was compared.
        results: What each run's process wrote, by method and seed; runs that have not ended are left out.
    """
    finished = [result for result in results.values() if result["status"] == "finished"]
    metrics = [metric for metric in terms() if _present(metric["key"], "metrics", finished)]
    numbers = finished[0]["metrics"] if finished else {}
    metrics = [
        {**metric, "headline": place == 0, "on_real": on_real(metric["key"], numbers)}
        for place, metric in enumerate(metrics)
    ]
    resources = [row for row in COSTS if _present(row["key"], "resources", finished)]
    methods = []
    for name in config.methods:
        runs = [{"seed": seed, **result} for (found, seed), result in sorted(results.items()) if found == name]
        known = method(name)
        methods.append(
            {
                "name": name,
                "label": known.label,
                "description": known.description,
                "reference": known.reference,
                "command": config.command_of(name),
                "runs": runs,
                "summary": {
                    row["key"]: _spread(
                        run.get(group, {}).get(row["key"]) for run in runs if run["status"] == "finished"
                    )
                    for group, rows in (("metrics", metrics), ("resources", resources))
                    for row in rows
                },
            }
        )
    first: Mapping[str, Any] = finished[0] if finished else {}
    return {
        "title": f"{len(methods)} methods on {os.path.basename(config.base.data)}",
        "created": date.today().isoformat(),
        "data": {
            "name": os.path.basename(config.base.data),
            "num_train": first.get("num_train"),
            "num_held_out": first.get("num_held_out"),
            "image_size": config.base.image_size,
        },
        "budget": {"minutes": config.minutes} if config.minutes is not None else {"images": config.images},
        "seeds": list(range(config.num_seeds)),
        "machine": _machine(),
        "measured_on": first.get("metrics", {}).get("measured_on", "held-out captions"),
        "metrics": metrics,
        "resources": resources,
        "methods": methods,
        "verdict": _verdict(methods, metrics[0]) if metrics else [],
        "notes": _notes(config, first),
        "commands": [config.command],
    }


def markdown(comparison: Mapping[str, Any]) -> str:
    """The table and the verdict of a comparison in Markdown: means over seeds, with the lowest and the highest."""
    metrics = comparison["metrics"]
    headline = metrics[0]["key"] if metrics else None
    lines = [f"# {comparison['title']}", ""]
    lines += [f"- {verdict['question']}: {verdict['sentence']}" for verdict in comparison["verdict"]]
    lines += ["", "| method | " + " | ".join(metric["label"] for metric in metrics) + " | LiteRT ms | runs |"]
    lines.append("|---" * (len(metrics) + 3) + "|")
    for row in _ranked(comparison["methods"], metrics[0]) if headline else comparison["methods"]:
        cells = [_cell(row["summary"].get(metric["key"]), metric["unit"]) for metric in metrics]
        cells.append(_cell(row["summary"].get("litert_ms"), "ms"))
        lines.append(f"| {row['label']} | " + " | ".join([*cells, _states(row["runs"])]) + " |")
    lines += ["", *(f"{note}  " for note in comparison["notes"]), "", "```", *comparison["commands"], "```", ""]
    return "\n".join(lines)


def _present(key: str, group: str, results: Iterable[Mapping[str, Any]]) -> bool:
    return any(result.get(group, {}).get(key) is not None for result in results)


def _spread(values: Iterable[float | None]) -> dict[str, float] | None:
    found = [float(value) for value in values if value is not None]
    if not found:
        return None
    return {"mean": sum(found) / len(found), "low": min(found), "high": max(found), "num": len(found)}


def _ranked(methods: list[dict[str, Any]], metric: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Methods by the mean of a metric, the best first, those without one last."""
    sign = -1.0 if metric["better"] == "higher" else 1.0

    def place(row: dict[str, Any]) -> tuple[bool, float]:
        spread = row["summary"].get(metric["key"])
        return (spread is None, 0.0 if spread is None else sign * spread["mean"])

    return sorted(methods, key=place)


def _verdict(methods: list[dict[str, Any]], metric: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Best quality, best for the money, smallest and fastest, each with how sure that is."""
    ranked = [row for row in _ranked(methods, metric) if row["summary"].get(metric["key"])]
    if not ranked:
        return []
    best = ranked[0]
    spread = best["summary"][metric["key"]]
    sentence = f"{best['label']}: {_within_a_sentence(metric['label'])} {_cell(spread, metric['unit'])}."
    if len(ranked) > 1:
        second, other = ranked[1], ranked[1]["summary"][metric["key"]]
        overlap = spread["low"] <= other["high"] and other["low"] <= spread["high"]
        comparison = f"{second['label']} ({_cell(other, metric['unit'])})"
        if min(spread["num"], other["num"]) < 2:
            sentence += f" Next is {comparison}; with one seed each, the difference may be chance."
        elif overlap:
            sentence += f" Not clearly ahead of {comparison}: their seeds overlap."
        else:
            sentence += f" Ahead of {comparison} with every seed."
    verdict = [{"question": "Best quality", "answer": best["name"], "sentence": sentence}]
    good = [row for row in ranked if _is_near(row["summary"][metric["key"]]["mean"], spread["mean"], metric["better"])]
    margin = f"at least {_NEAR:.0%} as good" if metric["better"] == "higher" else f"within 1/{_NEAR:g} of the best"
    for question, pool, key, unit, what in (
        ("Best for the money", good, "generator_multiply_adds", "count", f"fewest multiply-adds of those {margin}"),
        ("Smallest", ranked, "litert_megabytes", "MB", "smallest on disk"),
        ("Fastest", ranked, "litert_ms", "ms", "least time for an image by LiteRT"),
    ):
        priced = [row for row in pool if row["summary"].get(key)]
        if priced:
            # Costs this close are the same: then quality decides.
            limit = (1 + _SAME_COST) * min(row["summary"][key]["mean"] for row in priced)
            winner = next(row for row in priced if row["summary"][key]["mean"] <= limit)
            quality = f"{_within_a_sentence(metric['label'])} {_cell(winner['summary'][metric['key']], metric['unit'])}"
            cost = _cell(winner["summary"][key], unit)
            verdict.append(
                {
                    "question": question,
                    "answer": winner["name"],
                    "sentence": f"{winner['label']}: {what} ({cost}), with {quality}.",
                }
            )
    return verdict


def _is_near(value: float, best: float, better: str) -> bool:
    return value >= _NEAR * best if better == "higher" else value <= best / _NEAR


def _cell(spread: Mapping[str, float] | None, unit: str) -> str:
    if spread is None:
        return "-"
    mean = _number(spread["mean"], unit)
    if spread["num"] < 2 or spread["low"] == spread["high"]:
        return mean
    return f"{mean} ({_number(spread['low'], unit)} to {_number(spread['high'], unit)})"


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return f"{value:.1%}".replace("%", " %")
    if unit == "count":
        return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value:,.0f}"
    return f"{value:.3g} {unit}" if unit in ("ms", "MB") else f"{value:.3g}"


def _within_a_sentence(label: str) -> str:
    return label[:1].lower() + label[1:]


def _seeds(config: ComparisonConfig) -> str:
    return "one seed" if config.num_seeds == 1 else f"{config.num_seeds} seeds"


def _states(runs: list[dict[str, Any]]) -> str:
    states = [run["status"] for run in runs]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "not yet run"


def _notes(config: ComparisonConfig, first: Mapping[str, Any]) -> list[str]:
    notes = []
    numbers = first.get("metrics", {})
    real = "real training images" if numbers.get("measured_on") == TRAINING_CAPTIONS else "real held-out images"
    budget = f"{config.minutes:g} minutes" if config.minutes is not None else f"{config.images:,} images"
    notes.append(
        f"{budget} of training each, pictures and validation included; {_seeds(config)}, one run after the other, each "
        "in its own process. Means, with the lowest and the highest seed."
    )
    if "features" in numbers:
        notes.append(
            f"Distances are in features of {numbers['features']}, between {numbers['num_images']} generated and "
            f"{numbers['num_real']} {real}."
        )
    if "judge" in numbers:
        notes.append(
            f"R-precision is judged by {numbers['judge']}, which finds the right caption of {real} in "
            f"{numbers['r_precision_on_real']:.1%} of cases; chance is {numbers['r_precision_chance']:.1%}."
        )
    if "judge_on_real" in numbers:
        notes.append(f"The classifier of attributes is right on {numbers['judge_on_real']:.1%} of {real}.")
    if "color_accuracy_on_real" in numbers:
        notes.append(f"Color obeyed is {numbers['color_accuracy_on_real']:.1%} on {real}.")
    if config.source is not None:
        source = os.path.basename(config.source)
        notes.append(f"Methods that start from a trained model start from {source}, whose training is not counted.")
    before = {method(name).first for name in config.methods}
    if "source" in before:
        notes.append("Pretraining on another domain comes on top of a method's own budget, and is as long again.")
    if "teacher" in before:
        notes.append("A teacher's training, as long again, and its drawing come on top of its student's own budget.")
    return notes


def _machine() -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras")}
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30) or None,
        "python": platform.python_version(),
        **versions,
    }
