"""Draw values along an axis as lines, with or without intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from clinical_symile.reporting.figures._ticks import (
    THIN_MARKERS,
    TICK_STEPS,
    label_y_axis,
    tick_label,
)
from clinical_symile.reporting.figures.picture import (
    DASHES,
    INK,
    MUTED,
    PALETTE,
    RULE,
    STYLE,
    Picture,
    canvas,
    margins,
    series_look,
)

_SHARED = 0.6  # of the gap between two rates, which the lines of one rate share at most
_MOST_MARKERS = 30  # of a curve whose every point has one


@dataclass(frozen=True)
class Line:
    """Values along an axis.

    Attributes:
        family: decides colour and marker; None is the oracle.
        style: decides how it is dashed.
        x: positions.
        y: the values.
    """

    family: int | None
    style: int
    x: Sequence[int | float]
    y: Sequence[int | float]


@dataclass(frozen=True)
class Band:
    """Values with intervals along an axis.

    Attributes:
        family: decides colour and marker; None is the oracle.
        x: positions.
        y: the values.
        low: lower ends.
        high: upper ends.
    """

    family: int | None
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@mpl.rc_context(STYLE)
def curves(
    lines: Sequence[Line],
    *,
    name: str,
    title: str,
    x_label: str,
    y_label: str = "",
    truth: float | None = None,
    identity: bool = False,
    beside: Line | None = None,
    ends: tuple[float, float] | None = None,
) -> Picture:
    """Draw values along an axis, one line for each run.

    Args:
        lines: one for each run.
        name: identifies the figure.
        title: describes the figure to readers who cannot see it.
        x_label: label below the axis.
        y_label: label above the y axis.
        truth: the true value, drawn as a horizontal line; None if unknown.
        identity: whether to draw the diagonal where both axes are equal.
        beside: a reference line, dotted.
        ends: of the y axis, where it need not hold all values.
    """
    figure, axes = canvas(240 if y_label else 220)
    axes.set_autoscale_on(True)
    margins(figure, axes, left=44, bottom=40, top=28 if y_label else 8)
    for line in lines:
        if line.family is None:
            axes.plot(line.x, line.y, color=INK, linewidth=2, linestyle=DASHES[1])
            continue
        colour, marker = series_look(line.family)
        is_long, is_repeated = len(line.x) > _MOST_MARKERS, line.family >= len(PALETTE)
        axes.plot(
            line.x,
            line.y,
            color=colour,
            linestyle=DASHES[line.style % len(DASHES)],
            marker=marker,
            markersize=0 if is_long and not is_repeated else 4,
            markevery=len(line.x) // 6 if is_long else None,
            linewidth=1.8,
        )
    if truth is not None:
        axes.axhline(truth, color=INK, linewidth=2)
    if identity:
        values = [end for line in lines for end in (*line.x, *line.y)]
        diagonal = [min(values), max(values)]
        axes.plot(diagonal, diagonal, color=INK, linewidth=1)
    if beside is not None:
        axes.plot(beside.x, beside.y, color=MUTED, linewidth=1.6, linestyle=DASHES[2])
    if ends is not None:
        axes.set_ylim(*ends)
        axes.axhline(0, color=INK, linewidth=0.8)
    label_y_axis(axes, y_label)
    axes.set_xlabel(x_label)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(color=RULE, linewidth=0.6)
    return Picture(name, title, figure, frozenset(line.family for line in lines))


@mpl.rc_context(STYLE)
def bands(
    lines: Sequence[Band],
    *,
    name: str,
    title: str,
    x_label: str,
    y_label: str,
    percent: bool = False,
    reference: float | None = None,
) -> Picture:
    """Draw values with their intervals over rates in per cent, one line for each run.

    Args:
        lines: one for each run.
        name: identifies the figure.
        title: describes the figure to readers who cannot see it.
        x_label: label below the axis.
        y_label: label above the y axis.
        percent: whether values are given in per cent.
        reference: chance level or target value, dotted; None if there is none.
    """
    figure, axes = canvas(280)
    axes.set_autoscale_on(True)
    margins(figure, axes, left=50, bottom=40, top=28)
    rates = sorted({x for line in lines for x in line.x})
    step = _step(rates, len(lines))
    for place, line in enumerate(lines):
        if line.family is None:
            axes.plot(line.x, line.y, color=INK, linewidth=2, linestyle=DASHES[1])
            continue
        colour, marker = series_look(line.family)
        # Intervals of several runs are shifted so that they do not hide each other.
        x = np.asarray(line.x) + step * (place - (len(lines) - 1) / 2)
        axes.vlines(x, line.low, line.high, color=colour, linewidth=1.2)
        size = 6 if marker in THIN_MARKERS else 5
        axes.plot(x, line.y, color=colour, marker=marker, markersize=size, linewidth=1.6)
    if reference is not None:
        axes.axhline(reference, color=MUTED, linewidth=1.4, linestyle=DASHES[2])
    label_y_axis(axes, y_label)
    axes.set_xlabel(x_label)
    axes.set_xticks(rates)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=TICK_STEPS))
    if percent:
        label = partial(tick_label, percent=True, signed=False)
        axes.yaxis.set_major_formatter(FuncFormatter(label))
    axes.grid(color=RULE, linewidth=0.6)
    return Picture(name, title, figure, frozenset(line.family for line in lines))


def _step(rates: Sequence[float], lines: int) -> float:
    """Return how far apart lines are drawn at a rate: all of them nearer to it than to the next."""
    step = max(rates, default=1) / 120
    gaps = np.diff(rates)
    return min(step, _SHARED * gaps.min() / max(lines - 1, 1)) if len(gaps) else step
