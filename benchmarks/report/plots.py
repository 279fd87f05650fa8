"""Plots as SVG that belongs into a page: its colours are the page's, its text is text.

matplotlib draws with colours that stand for CSS variables (`var(--ink)`), and these are
put in afterwards; so one plot is right on a light and on a dark page. The same data
give the same text, and no two plots of a page share an ID. Called by page.py.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks.quantity import suited_unit
from benchmarks.results import Curve, Figure, summary

SERIES = 6  # colours that a page must have: --series-0 and so on; then from the first

_MARKERS = "osD^vP"
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
_NAMES = ("ink", "muted", "grid", "bound", *(f"series-{i}" for i in range(SERIES)))
_COLOURS = {name: f"#0f1e{number:02x}" for number, name in enumerate(_NAMES)}
_INK, _MUTED, _GRID, _BOUND = (_COLOURS[name] for name in _NAMES[:4])
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "text.parse_math": False,  # a dollar is a dollar
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}


def strip(figure: Figure) -> str:
    """What each pair says, the first at the top, with the bound as a line.

    A figure that is judged by itself shows its own samples.
    """
    values, ratio = figure.judged, figure.compared_by == "ratio"
    unit = figure.unit
    if figure.judged is not figure.ours and ratio:
        unit = "x"
    equal = _equal(figure)
    bound = figure.reach.bound
    shown = [*values, *(line for line in (equal, bound) if line is not None)]
    factor, suited = suited_unit(max(map(abs, shown)), unit)
    with mpl.rc_context({**_STYLE, "svg.hashsalt": figure.name}):
        canvas = Canvas(figsize=(4.2, 1.15), layout="constrained")
        axes = canvas.subplots()
        order = range(len(values), 0, -1)
        of = summary(values)
        axes.axvspan(of.lower * factor, of.upper * factor, color=_GRID, linewidth=0)
        axes.axvline(of.median * factor, color=_COLOURS["series-0"], linewidth=2)
        axes.plot(
            [value * factor for value in values],
            list(order),
            "o",
            color=_COLOURS["series-0"],
            markersize=4,
        )
        if equal is not None:
            axes.axvline(equal * factor, color=_MUTED, linewidth=1, linestyle=":")
        if bound is not None:
            axes.axvline(bound * factor, color=_BOUND, linewidth=1.5, linestyle="--")
            axes.text(
                bound * factor,
                1.02,
                figure.reach.words(figure.unit),
                transform=axes.get_xaxis_transform(),  # across the data, up the plot
                ha="center",
                va="bottom",
                color=_BOUND,
            )
        axes.set_ylim(0, len(values) + 1)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _tick(v)))
        axes.set_xlabel(_strip_label(figure, suited))
        return _svg(canvas, figure.name, figure.title)


def curve(data: Curve) -> str:
    """Medians as points on a line, from low to high as a bar."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": data.name}):
        canvas = Canvas(figsize=(6.4, 3.6), layout="constrained")
        axes = canvas.subplots()
        for number, (title, points) in enumerate(data.series.items()):
            if not points:
                continue
            x, median, low, high = zip(*sorted(points), strict=True)
            below = [m - each for m, each in zip(median, low, strict=True)]
            above = [each - m for m, each in zip(median, high, strict=True)]
            axes.errorbar(
                x,
                median,
                yerr=[below, above],
                label=title,
                color=_COLOURS[f"series-{number % SERIES}"],
                marker=_MARKERS[number % len(_MARKERS)],
                linestyle=_LINES[number % len(_LINES)],
                markersize=4.5,
                linewidth=1.5,
                elinewidth=1,
                capsize=2,
            )
        points = [point for each in data.series.values() for point in each]
        _scale_axis(axes, "x", data.log_x, [point[0] for point in points])
        _scale_axis(axes, "y", data.log_y, [y for point in points for y in point[1:]])
        axes.set_xlabel(data.x_title)
        axes.set_ylabel(data.y_title)
        axes.grid(True)
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend(frameon=False)
        return _svg(canvas, data.name, data.title)


def _equal(figure: Figure) -> float | None:
    """Where both would be the same."""
    if figure.judged is figure.ours:
        return None
    return 1.0 if figure.compared_by == "ratio" else 0.0


def _strip_label(figure: Figure, unit: str) -> str:
    if figure.judged is figure.ours:
        return unit
    if figure.compared_by == "ratio":
        return f"ours / {figure.reference_title}"
    return f"ours - {figure.reference_title}" + (f" ({unit})" if unit else "")


def _scale_axis(axes: Axes, name: str, log: bool, values: list[float]) -> None:
    axis: Axis = getattr(axes, f"{name}axis")
    change = axes.set_xscale if name == "x" else axes.set_yscale
    positive = [value for value in values if value > 0]
    if log and len(positive) < len(values):
        # A logarithm has no place for nought; this scale is linear around it.
        change("symlog", linthresh=min(positive, default=1.0))
    elif log:
        change("log")
    elif values and name == "y":
        axes.set_ylim(bottom=min(0, *values))
    span = max(positive, default=1.0) / min(positive, default=1.0)
    if axis.get_scale() == "log" and span < 100:  # powers of ten alone are too few
        subs = (1.0, 2.0, 5.0) if span > 10 else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
        axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axis.set_minor_formatter(NullFormatter())


def _tick(value: float) -> str:
    """Short: 100k, 2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):g}{letter}"
    return f"{value:.6g}"


def _svg(canvas: Canvas, name: str, title: str) -> str:
    """Without what only a file needs, with names of its own."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Its style is for `*`: for all of the page.
    text = re.sub(r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL)
    own = re.sub(r"\W", "-", name)
    text = re.sub(r'\bid="', f'id="{own}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{own}-", text)
    for colour, css in _COLOURS.items():
        text = text.replace(css, f"var(--{colour})")
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None, "matplotlib writes one"
    head = f'<svg {box[0]} class="plot" role="img" aria-label="{escape(title)}"'
    head += ' xmlns="http://www.w3.org/2000/svg"'
    head += ' xmlns:xlink="http://www.w3.org/1999/xlink">'
    return head + text[text.index(">") + 1 :]
