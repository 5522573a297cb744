"""What the pages share: the templates, the one style sheet, and parts of their data."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_t2i.report.values import MISSING, finite, format_range, format_value, image_uri, montage, number, unit_suffix

__all__ = ["EXTRA", "cell", "mark_best", "named_values", "render_page", "require_images", "require_report_packages"]

EXTRA = "Pages need Jinja and Matplotlib, which are not installed. Run: pip install 'keras-t2i[report]'"


def render_page(template: str, **context: Any) -> str:
    """A page from a template of this room; every value that is not `Markup` is escaped.

    Raises:
        ImportError: If Jinja is not installed; names the extra.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(EXTRA) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_t2i.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(format_value=format_value, image_uri=image_uri, montage=montage)
    page = environment.get_template(template).render(**context)
    return page.encode("utf-8", "replace").decode()  # lone surrogates, which no file can hold


def require_report_packages() -> None:
    """Refuses to go on where no page could be made, before hours of work for it.

    Raises:
        ImportError: If Jinja or Matplotlib is not installed; names the extra.
    """
    missing = [name for name in ("jinja2", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(EXTRA)


def cell(summary: Mapping[str, Any] | None, unit: str) -> dict[str, Any]:
    """What a table shows of a mean over seeds: `text`, `range`, `value`, and `best`, not yet set."""
    summary = summary or {}
    value = number(summary.get("mean"))
    span = format_range(summary.get("low"), summary.get("high"), unit)
    return {"text": format_value(value, unit), "range": span, "value": value, "best": False}


def mark_best(cells: Sequence[dict[str, Any]], better: str | None) -> None:
    """Sets `best` in the best cells of a column: all that read like the best, unless all read alike."""
    values = [(item["value"], item["text"]) for item in cells if item["text"] not in (MISSING, "not finite")]
    if better not in ("higher", "lower") or len({text for _, text in values}) < 2:
        return
    _, best = (max if better == "higher" else min)(values)
    for item in cells:
        item["best"] = item["text"] == best


def named_values(columns: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Metrics or resources with their `value`, as text, for the page of one run."""
    shown = []
    for column in columns:
        unit, on_real = column.get("unit", "number"), finite(column.get("on_real"))
        shown.append(
            {
                "label": str(column["label"]) + unit_suffix(unit),
                "text": format_value(column.get("value"), unit),
                "range": format_range(column.get("low"), column.get("high"), unit),
                "on_real": "" if on_real is None else format_value(on_real, unit),
                "better": column.get("better"),
                "help": column.get("help", ""),
                "headline": bool(column.get("headline")),
            }
        )
    return shown


def require_images(name: str, images: Any, num_dims: int, first: int | None = None) -> None:
    """Refuses what is no uint8 array of RGB images of that many dimensions (and of that first size).

    Raises:
        ValueError: If it is not.
    """
    shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
    right = shape is not None and len(shape) == num_dims and shape[-1] == 3 and 0 not in shape and dtype == "uint8"
    if not right or (first is not None and shape is not None and shape[0] != first):
        sizes = ["H", "W", "3"]
        leading = {3: [], 4: ["N"], 5: ["num_captions", "num_images"]}[num_dims]
        if first is not None:
            leading[0] = str(first)
        expected = ", ".join([*leading, *sizes])
        raise ValueError(f"{name} must be uint8 of shape ({expected}); got {dtype} of shape {shape}.")
