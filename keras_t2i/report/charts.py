"""Charts as inline SVG in one style: colors come from the page, so that they follow light and dark."""

from __future__ import annotations

import io
import math
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_t2i.report.page import EXTRA
from keras_t2i.report.values import format_value

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Line", "Point", "line_chart", "scatter_chart", "swatches"]

# Colors that stand for the page's own: replaced in the finished SVG.
INK, GRID, PAPER = "#0000fe", "#0000fd", "#0000fc"
NUM_COLORS = 6
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", "h", ">", "*")
MARKER_SCALE = {"P": 1.25, "X": 1.2, "p": 1.2, "h": 1.1, "*": 1.7}  # shapes that look smaller than a disc
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1.2, 1.6)), (0, (6, 2, 1.2, 2)))
WIDTH, HEIGHT, FONT_SIZE, MARKER_SIZE = 380, 260, 12, 6.5  # points; a phone shows them at nine tenths
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "font.size": FONT_SIZE,
    "lines.linewidth": 1.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
}


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a chart.

    Args:
        look: Which color, marker and dashes: the number of the method or column.
        x: Positions, shape `(N,)`, ascending.
        y: Values, shape `(N,)`.
        low: Lower end of the band around it, or `None`.
        high: Upper end.
        broken: Runs that did not finish: `(x, y)` each, drawn thin with a cross at the end.
    """

    look: int
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    broken: Sequence[tuple[np.ndarray, np.ndarray]] = field(default=())


@dataclass(frozen=True)
class Point:
    """A labelled point of a scatter chart; `low` and `high` are the ends of its range in y."""

    look: int
    label: str
    x: float
    y: float
    low: float
    high: float


def line_chart(lines: Sequence[Line], name: str, x_label: str, unit: str = "number") -> Markup:
    """Lines over a common axis.

    Args:
        lines: What to draw.
        name: Tells this chart from others of the page; not shown.
        x_label: What the positions are.
        unit: Of the values, as in `format_value`.

    Returns:
        An `<svg>` element, hidden from assistive technology: the page says what it is and gives the data.
    """
    with _figure(name, unit) as (figure, axes):
        for line in lines:
            style = _look(line.look)
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=style["color"], alpha=0.13, linewidth=0)
            for x, y in line.broken:
                axes.plot(x, y, color=style["color"], linestyle=style["linestyle"], linewidth=1.0)
                axes.plot(x[-1:], y[-1:], color=style["color"], marker="x", markersize=8, markeredgewidth=2)
            if len(line.x):
                axes.plot(line.x, line.y, markevery=max(1, math.ceil(len(line.x) / 12)), **style)
        axes.set_xlim(left=0)
        axes.set_xlabel(_plain(x_label, 60))
        return _svg(figure)


def scatter_chart(points: Sequence[Point], name: str, x_label: str, unit: str, x_unit: str) -> Markup:
    """Points with their names beside them. The x-axis is logarithmic where costs differ more than twentyfold."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    with _figure(name, unit) as (figure, axes):
        for point in points:
            style = _look(point.look)
            axes.plot([point.x] * 2, [point.low, point.high], color=style["color"], linewidth=1.2, zorder=2)
            axes.plot(point.x, point.y, **{**style, "markersize": 1.35 * style["markersize"], "zorder": 3})
        smallest, largest = min(point.x for point in points), max(point.x for point in points)
        if smallest > 0 and largest > 20 * smallest:
            axes.set_xscale("log")
            axes.set_xlim(smallest / 1.8, largest * 1.8)
            decades = math.log10(largest / smallest)
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if decades < 2.5 else (1.0,), numticks=8))
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.set_xlim(0, largest * 1.18 or 1.0)
            axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, x_unit)))
        axes.margins(y=0.16)
        axes.set_xlabel(_plain(x_label, 60))
        figure.draw_without_rendering()  # settles the limits and the layout that the labels are placed in
        figure.set_layout_engine("none")
        _place_labels(axes, points)
        return _svg(figure)


def swatches(count: int) -> Markup:
    """A hidden `<svg>` of symbols `look-0`, `look-1`, ...: line and marker, for legends and tables."""
    markup = _markup()
    symbols = []
    for look in range(count):
        with _style(f"look {look}"):
            from matplotlib.figure import Figure

            figure = Figure(figsize=(30 / 72, 14 / 72), dpi=72)
            axes = figure.add_axes((0, 0, 1, 1), frameon=False)
            axes.set_axis_off()
            axes.plot(
                [0, 1, 2],
                [0, 0, 0],
                markevery=[1],
                **{**_look(look), "markersize": 8 * _look(look)["markersize"] / MARKER_SIZE},
            )
            axes.set_xlim(-0.1, 2.1)
            drawing = str(_svg(figure))
        symbols.append(drawing.replace("<svg ", f'<symbol id="look-{look}" ').replace("</svg>", "</symbol>"))
    return markup(f'<svg class="sprite" aria-hidden="true" width="0" height="0">{"".join(symbols)}</svg>')


def _markup() -> type[Markup]:
    try:
        from markupsafe import Markup
    except ImportError as error:
        raise ImportError(EXTRA) from error
    return Markup


@contextmanager
def _style(salt: str) -> Iterator[None]:
    """The style, whatever a user's own Matplotlib settings are."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(EXTRA) from error
    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore", UserWarning)  # letters that the measuring font lacks; the reader's has them
        matplotlib.rcdefaults()
        settings: dict[Any, Any] = {**STYLE, "svg.hashsalt": ascii(salt)}
        matplotlib.rcParams.update(settings)
        yield


@contextmanager
def _figure(name: str, unit: str) -> Iterator[tuple[Any, Any]]:
    with _style(name):
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72, layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, unit)))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, "number")))
        yield figure, axes


def _look(number: int) -> dict[str, Any]:
    """Color, marker and dashes: 12 markers by 6 colors; dashes change with each round of colors."""
    return {
        "color": f"#0001{number % NUM_COLORS:02x}",
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": MARKER_SIZE * MARKER_SCALE.get(MARKERS[number % len(MARKERS)], 1.0),
        "linestyle": DASHES[(number // NUM_COLORS) % len(DASHES)],
        "markeredgecolor": PAPER,
        "markeredgewidth": 0.8,
    }


def _tick(value: float, unit: str) -> str:
    """A round number in as few letters as it takes."""
    if unit == "share":
        return f"{100 * value:.4g}%".replace("-", "\u2212")
    if unit == "count" or abs(value) >= 10_000:
        return format_value(value, "count")
    return f"{value:.4g}".replace("-", "\u2212")


def _plain(text: str, length: int) -> str:
    """Text for a chart: one line, no control characters, cut where there is no room."""
    text = " ".join("".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in text).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _place_labels(axes: Any, points: Sequence[Point]) -> None:
    """Writes each name beside its point, where it covers the least of points and names already there."""
    left, bottom, right, top = axes.bbox.extents
    centers = [axes.transData.transform((point.x, point.y)) for point in points]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in centers]
    for point, (x, _) in zip(points, centers, strict=True):
        low, high = (axes.transData.transform((point.x, end))[1] for end in (point.low, point.high))
        taken.append((x - 1, low, x + 1, high))
    for number in sorted(range(len(points)), key=lambda number: -centers[number][1]):
        x, y = centers[number]
        label = _plain(points[number].label, 22)
        width = FONT_SIZE * sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.56 for letter in label)
        best: tuple[float, tuple[Any, ...]] = (math.inf, ())
        for distance in (8, 16, 28, 42):
            for angle in range(0, 360, 30):
                dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                anchor_x, anchor_y = x + dx * distance, y + dy * (distance + 2)
                side = "left" if dx > 0.3 else "right" if dx < -0.3 else "center"
                start = anchor_x - {"left": 0.0, "center": width / 2, "right": width}[side]
                box = (start, anchor_y - 6.5, start + width, anchor_y + 6.5)
                outside = max(0, left - box[0]) + max(0, box[2] - right - 4)
                outside += max(0, bottom - box[1]) + max(0, box[3] - top)
                cost = sum(_overlap(box, other) for other in taken) + 100 * outside + distance * 1.5 + abs(dy)
                if distance > 16:  # a leader, which should cross no name
                    steps = [(x + (anchor_x - x) * part / 9, y + (anchor_y - y) * part / 9) for part in range(3, 9)]
                    cost += 80 * sum(_inside(step, other) for step in steps for other in taken)
                best = min(best, (cost, (box, distance, anchor_x, anchor_y, side)))
        box, distance, anchor_x, anchor_y, side = best[1]
        taken.append(box)
        leader = {"arrowstyle": "-", "color": INK, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 5}
        axes.annotate(
            label,
            xy=(x, y),
            xycoords="figure pixels",
            xytext=(anchor_x, anchor_y),
            textcoords="figure pixels",
            ha=side,
            va="center_baseline",
            arrowprops=leader if distance > 16 else None,
            annotation_clip=False,
        )


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _inside(place: tuple[float, float], box: tuple[float, ...]) -> bool:
    return box[0] <= place[0] <= box[2] and box[1] <= place[1] <= box[3]


def _svg(figure: Any) -> Markup:
    """The figure as an element for the body of a page: no fonts, sizes, styles or names of its own."""
    markup = _markup()
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=nothing, transparent=True)
    svg = file.getvalue()
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', svg, count=1
    )
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    svg = re.sub(r'xlink:href="#', 'href="#', svg)
    svg = re.sub(r"(?<=: )#0001(0[0-9a-f])", lambda found: f"var(--look-{int(found[1], 16)})", svg)
    for color, name in ((INK, "currentColor"), (GRID, "var(--line)"), (PAPER, "var(--paper)")):
        svg = svg.replace(f": {color}", f": {name}")
    return markup(re.sub(r"\s*\n\s*", " ", svg))
