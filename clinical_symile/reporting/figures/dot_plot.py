"""Draw values with their intervals as points, one row for each pattern, run or group."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from clinical_symile.reporting.figures._ticks import THIN_MARKERS, TICK_STEPS, tick_label
from clinical_symile.reporting.figures.picture import (
    INK,
    MUTED,
    PAPER,
    RULE,
    STYLE,
    WIDTH,
    Picture,
    canvas,
    margins,
    series_look,
)

_INTEGERS = 3  # an axis that reaches further has ticks at integers
_STEP = 15  # between the marks of a row
_RIGHT = 20  # margin


@dataclass(frozen=True)
class Mark:
    """A value with its interval.

    Attributes:
        family: decides colour and marker; None is grey.
        value: the number.
        low: lower end of its interval; None if it has none.
        high: upper end.
        label: text beside it; may be empty.
    """

    family: int | None
    value: float
    low: float | None
    high: float | None
    label: str = ""

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends of the interval; the value itself where there is none."""
        if self.low is None or self.high is None:
            return self.value, self.value
        return self.low, self.high


@dataclass(frozen=True)
class DotRow:
    """One row of a dot plot.

    Attributes:
        label: text at its left.
        marks: drawn one above the other.
        best: the oracle's value, a solid line; None if unknown.
        chance: chance level or reference, a dotted line; None if there is none.
    """

    label: str
    marks: Sequence[Mark]
    best: float | None = None
    chance: float | None = None


@mpl.rc_context(STYLE)
def dots(
    rows: Sequence[DotRow],
    *,
    name: str,
    title: str,
    limits: tuple[float, float],
    percent: bool = False,
    sides: tuple[str, str] | None = None,
    x_label: str = "",
) -> Picture:
    """Draw values with their intervals, one row each.

    Args:
        rows: from top to bottom.
        name: identifies the figure.
        title: describes the figure to readers who cannot see it.
        limits: ends of the x axis.
        percent: whether the axis is in per cent.
        sides: for differences, the meaning of values left and right of zero.
        x_label: label below the axis.
    """
    labels = [textwrap.fill(row.label, 24) for row in rows]
    heights = [
        max(30, _STEP * len(row.marks) + 12, _STEP * len(label.splitlines()) + 6)
        for row, label in zip(rows, labels, strict=True)
    ]
    longest = max(len(line) for label in labels for line in label.splitlines())
    left = 6.7 * longest + 12
    # Labels of the two sides that do not fit beside each other are stacked.
    stacked = sides is not None and 5.8 * len("".join(sides)) + 36 > WIDTH - left - _RIGHT
    below = 46 if stacked else 32 if sides else 14  # room for the tick labels
    lowest = 16 if x_label else 0
    bottom = below + 14 + lowest
    figure, axes = canvas(sum(heights) + 6 + bottom)
    margins(figure, axes, left=left, bottom=bottom, top=6, right=_RIGHT)
    low, high = limits
    y = 0.0
    for row, height in zip(rows, heights, strict=True):
        if y:
            axes.axhline(y, color=RULE, linewidth=0.6)
        _draw_row(axes, row, middle=y + height / 2, height=height, limits=limits)
        y += height
    if sides:
        axes.axvline(0, color=INK, linewidth=1)
        _label_sides(figure, sides, left=left, lowest=lowest, stacked=stacked)
    if x_label:
        about = {"ha": "right", "fontsize": 10.5, "color": MUTED}
        figure.text(1 - _RIGHT / WIDTH, 6 / 72 / figure.get_size_inches()[1], x_label, **about)
    axes.set_xlim(low, high)
    axes.set_ylim(y, 0)
    middles = np.cumsum(heights) - np.array(heights) / 2
    axes.set_yticks(middles, labels)
    _format_x_axis(axes, percent=percent, signed=sides is not None, reach=high - low)
    families = frozenset(mark.family for row in rows for mark in row.marks)
    return Picture(name, title, figure, families)


def _draw_row(
    axes: Axes, row: DotRow, *, middle: float, height: int, limits: tuple[float, float]
) -> None:
    low, high = limits
    span = (middle - height / 2 + 4, middle + height / 2 - 4)
    if row.chance is not None:
        axes.plot([row.chance] * 2, span, color=MUTED, linewidth=1.4, linestyle=(0, (1, 1.5)))
    if row.best is not None:
        axes.plot([row.best] * 2, span, color=INK, linewidth=2)
    for place, mark in enumerate(row.marks):
        at = middle + _STEP * (place - (len(row.marks) - 1) / 2)
        colour, marker = MUTED, "o"
        if mark.family is not None:
            colour, marker = series_look(mark.family)
        start, end = mark.ends
        axes.plot([start, end], [at, at], color=colour, linewidth=2)
        edge, width = (colour, 0.2) if marker in THIN_MARKERS else (PAPER, 0.8)
        axes.plot([mark.value], [at], marker, color=colour, markersize=7, mec=edge, mew=width)
        if mark.label:
            gap = 0.02 * (high - low)
            x, side = (end + gap, "left")
            if start > low + 0.3 * (high - low):
                x, side = (start - gap, "right")
            axes.text(x, at, mark.label, ha=side, va="center", fontweight="bold")


def _label_sides(
    figure: Figure, sides: tuple[str, str], *, left: float, lowest: int, stacked: bool
) -> None:
    words = {"fontsize": 10.5, "color": MUTED}
    line = 1 / figure.get_size_inches()[1] / 72
    left_end, right_end = left / WIDTH, 1 - _RIGHT / WIDTH
    first, second = lowest + (22 if stacked else 8), lowest + 8
    figure.text(left_end, first * line, f"← {sides[0]}", ha="left", **words)
    figure.text(right_end, second * line, f"{sides[1]} →", ha="right", **words)


def _format_x_axis(axes: Axes, *, percent: bool, signed: bool, reach: float) -> None:
    integers = reach > _INTEGERS
    if percent and not signed and reach > 0.6:
        axes.xaxis.set_major_locator(MultipleLocator(0.25))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=TICK_STEPS, integer=integers))
    label = partial(tick_label, percent=percent, signed=signed, integers=integers)
    axes.xaxis.set_major_formatter(FuncFormatter(label))
    axes.grid(axis="x", color=RULE, linewidth=0.6)
