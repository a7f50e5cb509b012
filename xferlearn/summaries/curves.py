"""Draws curves of shares, such as accuracies, with their intervals."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from xferlearn.summaries.charts import LIGHT, TEXT_SIZE, Chart, Theme, unit
from xferlearn.summaries.fonts import chart_font

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How a curve is drawn: its points alone, with lines between them, as lines alone.
Style = Literal["points", "joined", "dashes"]

_LEFT, _RIGHT, _BOTTOM = 46, 16, 40  # px
_LINE_HEIGHT = 18  # px
_ROW = 30  # px between the points of a ranking
_INSET = 0.03  # share of an axis that stays free at its ends


@dataclasses.dataclass(frozen=True)
class Curve:
    """Shares, 0 to 1, by something.

    Attributes:
        name: what the legend calls it; "" leaves it out there.
        x: where, ascending.
        y: the share at each.
        intervals: low and high end at each point; empty for none. A point whose ends are NaN has no
            mark.
        style: how it is drawn.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    intervals: Sequence[tuple[float, float]] = ()
    style: Style = "joined"


@dataclasses.dataclass(frozen=True)
class Axis:
    """The horizontal axis.

    Attributes:
        name: what is along it.
        ticks: where it is labelled.
        labels: with what.
        log: whether equal steps are equal factors.
    """

    name: str
    ticks: Sequence[float]
    labels: Sequence[str]
    log: bool = False


def draw_curves(
    lines: Sequence[str],
    curves: Sequence[Curve],
    axis: Axis,
    *,
    size: tuple[int, int],
    theme: Theme = LIGHT,
) -> Image.Image:
    """Returns a picture of curves, with a legend below their heading.

    The second curve is dashed and has squares for points, so that nobody needs its colour.

    Args:
        lines: heading.
        curves: one or two.
        axis: what is along the horizontal axis.
        size: width of the picture and height of what is inside its axes, px.
        theme: its colours.
    """
    width, height = size
    named = [curve for curve in curves if curve.name]
    top = _LINE_HEIGHT * (len(lines) + len(named)) + 16
    chart = Chart(width, top + height + _BOTTOM, theme)
    for number, line in enumerate(lines):
        chart.text(4, 12 + _LINE_HEIGHT * number, line, width=width - 8)
    axes = chart.axes(_LEFT, top, width - _LEFT - _RIGHT, height)
    for number, curve in enumerate(curves):
        _draw(axes, curve, theme, second=number > 0)
    if axis.log:
        axes.set_xscale("log")
    ends = [end for curve in curves for pair in curve.intervals for end in pair]
    low = np.nanmin([1.0, *(share for curve in curves for share in curve.y), *ends])
    ticks = share_ticks(float(low), most=6 if height > 200 else 5)
    axes.set_ylim(_widened(ticks[0], 1))
    if not axis.log:
        axes.set_xlim(_widened(axis.ticks[0], axis.ticks[-1]))
    axes.set_yticks(ticks, [f"{tick:.0%}" for tick in ticks])
    axes.set_xticks(axis.ticks, axis.labels)
    axes.minorticks_off()
    frame(axes, theme)
    place = (_LEFT + (width - _LEFT - _RIGHT) / 2, top + height + _BOTTOM - 10)
    chart.text(*place, axis.name, across="center", colour=theme.faint)
    if named:
        _legend(chart, axes, _LINE_HEIGHT * len(lines) + 7)
    return chart.image()


def draw_ranking(
    title: str,
    rows: Sequence[tuple[str, tuple[float, float, float] | None]],
    *,
    theme: Theme = LIGHT,
) -> Image.Image:
    """Returns a picture of shares below each other, each with its interval and its name.

    The largest has a square instead of a circle.

    Args:
        title: heading.
        rows: name, and share with low and high end of its interval; None where not measured.
        theme: its colours.
    """
    left, width, top = 300, 760, 34
    height = _ROW * max(len(rows), 1)
    chart = Chart(width, top + height + 30, theme)
    chart.text(4, 12, title, width=width - 8)
    axes = chart.axes(left, top, width - left - 70, height)
    shares = [found for _, found in rows if found]
    ticks = share_ticks(min((low for _, low, _ in shares), default=0.0), most=6)
    best = max((share for share, _, _ in shares), default=None)
    for number, (name, found) in enumerate(rows):
        middle = top + _ROW * (number + 0.5)
        chart.text(left - 8, middle, name, across="right", width=left - 16)
        if found is None:
            chart.text(left + 8, middle, "not measured", colour=theme.faint)
            continue
        share, low, high = found
        curve = Curve("", [share], [number + 0.5])
        colour = unit(theme.second if share == best else theme.first)
        axes.hlines(number + 0.5, low, high, colors=colour, linewidth=2)
        marker = "s" if share == best else "o"
        axes.plot(curve.x, curve.y, marker=marker, color=colour, markersize=6)
        chart.text(width - 62, middle, f"{share:.1%}")
    axes.set_xlim(_widened(ticks[0], 1))
    axes.set_ylim(max(len(rows), 1), 0)
    axes.set_xticks(ticks, [f"{tick:.0%}" for tick in ticks])
    frame(axes, theme)
    return chart.image()


def frame(axes: "Axes", theme: Theme) -> None:
    """Gives axes their frame, grid, and the looks of their ticks."""
    axes.grid(color=unit(theme.line), linewidth=0.7, linestyle="-")
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set(visible=True, color=unit(theme.faint), linewidth=0.8)
    _, font = chart_font("", TEXT_SIZE)
    axes.tick_params(length=0, pad=4, labelcolor=unit(theme.ink), labelsize=font.get_size())
    axes.tick_params(labelfontfamily=font.get_family())


def share_ticks(low: float, most: int) -> list[float]:
    """Returns round shares from below `low` up to 1, in steps of 1, 2, 5, 10 or 20 percent."""
    low = min(low, 0.99)
    for step in (1, 2, 5, 10, 20):
        first = step * math.floor(100 * low / step + 1e-9)
        if (100 - first) % step == 0 and (100 - first) / step < most:
            break
    return [percent / 100 for percent in range(max(first, 0), 101, step)]


def _widened(low: float, high: float) -> tuple[float, float]:
    return low - _INSET * (high - low), high + _INSET * (high - low)


def _draw(axes: "Axes", curve: Curve, theme: Theme, *, second: bool) -> None:
    colour = unit(theme.second if second else theme.first)
    x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
    marked = [True] * len(x)
    if curve.intervals:
        marked = [bool(np.isfinite(ends).all()) for ends in curve.intervals]
        low, high = np.asarray(curve.intervals, float).T
        axes.vlines(x, low, high, colors=colour, linewidth=1.2)
        if curve.style == "joined":
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(
        *(x, y),
        color=colour,
        marker=("s" if second else "o") if curve.style != "dashes" else "",
        markevery=marked,
        markersize=5,
        markeredgewidth=0,
        zorder=1.8 if curve.style == "dashes" else 2,
        linestyle={"points": "", "joined": "--" if second else "-", "dashes": "--"}[curve.style],
        linewidth=1.5,
        label=curve.name or "_",  # matplotlib leaves out what begins so
    )


def _legend(chart: Chart, axes: "Axes", top: float) -> None:
    _, font = chart_font("", TEXT_SIZE)
    legend = axes.legend(
        loc="upper left",
        bbox_to_anchor=(4 / chart.width, 1 - top / chart.height),
        bbox_transform=chart.figure.transFigure,
        borderaxespad=0,
        borderpad=0,
        labelspacing=0.4,
        frameon=False,
        prop=font,
        labelcolor=unit(chart.theme.ink),
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
