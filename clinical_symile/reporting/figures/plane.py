"""Draw values along two axes, each with an interval, as points that a line joins."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib as mpl
from matplotlib.ticker import FuncFormatter, MaxNLocator

from clinical_symile.reporting.figures._ticks import TICK_STEPS, label_y_axis, tick_label
from clinical_symile.reporting.figures.picture import (
    RULE,
    STYLE,
    Picture,
    canvas,
    margins,
    series_look,
)

_Ends = tuple[float, float]


@dataclass(frozen=True)
class PlanePath:
    """Points in the order in which a line joins them; the first is drawn larger.

    Attributes:
        family: decides colour and marker.
        x: positions along the first axis.
        y: positions along the second axis.
        x_ends: the interval of each x.
        y_ends: the interval of each y.
    """

    family: int
    x: Sequence[float]
    y: Sequence[float]
    x_ends: Sequence[_Ends]
    y_ends: Sequence[_Ends]


@mpl.rc_context(STYLE)
def paths(
    lines: Sequence[PlanePath],
    *,
    name: str,
    title: str,
    x_label: str,
    y_label: str,
    percent: bool = False,
) -> Picture:
    """Draw points with intervals along both axes.

    Args:
        lines: the points of each line.
        name: identifies the figure.
        title: describes the figure to readers who cannot see it.
        x_label: label below the axis.
        y_label: label above the y axis.
        percent: whether values are given in per cent.
    """
    figure, axes = canvas(280)
    axes.set_autoscale_on(True)
    margins(figure, axes, left=50, bottom=40, top=28)
    for line in lines:
        colour, marker = series_look(line.family)
        for x, y, across, up in zip(line.x, line.y, line.x_ends, line.y_ends, strict=True):
            axes.hlines(y, *across, color=colour, linewidth=0.7)
            axes.vlines(x, *up, color=colour, linewidth=0.7)
        axes.plot(line.x, line.y, color=colour, marker=marker, markersize=5, linewidth=1.6)
        axes.plot(line.x[:1], line.y[:1], color=colour, marker=marker, markersize=10)
    label_y_axis(axes, y_label)
    axes.set_xlabel(x_label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=TICK_STEPS))
        if percent:
            label = partial(tick_label, percent=True, signed=False)
            axis.set_major_formatter(FuncFormatter(label))
    axes.grid(color=RULE, linewidth=0.6)
    return Picture(name, title, figure, frozenset(line.family for line in lines))
