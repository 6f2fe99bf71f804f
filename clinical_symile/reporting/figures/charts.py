"""Values with their intervals as pictures: points, lines, bands and tables of shades."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from clinical_symile.reporting.figures._svg import (
    INK,
    MUTED,
    PAPER,
    RULE,
    SERIES,
    STYLE,
    WIDTH,
    canvas,
    margins,
    svg,
)

ROUND = (1, 2, 5, 10)  # steps between ticks, times a power of ten
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
WHOLE = 3  # an axis that reaches further has ticks at whole numbers
THIN = "PX*"  # markers of which a pale edge would leave nothing
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)))


@dataclass(frozen=True)
class Mark:
    """A value with its interval.

    Attributes:
        family: decides colour and marker; None is grey.
        value: the number.
        low: lower end of its interval.
        high: upper end.
        label: to write beside it; may be empty.
    """

    family: int | None
    value: float
    low: float
    high: float
    label: str = ""


@dataclass(frozen=True)
class Line:
    """Values along an axis.

    Attributes:
        family: decides colour and marker; None is what is possible at most.
        style: decides how it is dashed.
        x: where.
        y: the values.
    """

    family: int | None
    style: int
    x: Sequence[int | float]
    y: Sequence[int | float]


@dataclass(frozen=True)
class Row:
    """One line of `dots`.

    Attributes:
        label: at its left.
        marks: one above the other.
        best: what is possible at most.
        chance: what a guess scores.
    """

    label: str
    marks: Sequence[Mark]
    best: float | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Band:
    """Values with intervals along an axis.

    Attributes:
        family: decides colour and marker; None is what is possible at most.
        x: where.
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
def dots(
    rows: Sequence[Row],
    *,
    name: str,
    title: str,
    limits: tuple[float, float],
    percent: bool = False,
    sides: tuple[str, str] | None = None,
    x_label: str = "",
) -> str:
    """Values with their intervals, one line for each row.

    Args:
        rows: from top to bottom.
        name: of the picture, unique in a page; letters, digits and dashes.
        title: for who cannot see it.
        limits: ends of the axis.
        percent: whether the axis is in per cent.
        sides: for differences, what it means to lie left and right of zero.
        x_label: what is measured, below the axis.
    """
    step = 15
    labels = [textwrap.fill(row.label, 24) for row in rows]
    heights = [
        max(30, step * len(row.marks) + 12, step * len(label.splitlines()) + 6)
        for row, label in zip(rows, labels, strict=True)
    ]
    longest = max(len(line) for label in labels for line in label.splitlines())
    left = 6.7 * longest + 12
    # What does not fit beside each other under the axis stands one below the other.
    stacked = sides is not None and 5.8 * len("".join(sides)) + 36 > WIDTH - left - 20
    below = 46 if stacked else 32 if sides else 14  # where the numbers of the axis stand
    lowest = 16 if x_label else 0
    bottom = below + 14 + lowest
    figure, axes = canvas(sum(heights) + 6 + bottom)
    margins(figure, axes, left=left, bottom=bottom, top=6)
    low, high = limits
    y = 0.0
    for row, height in zip(rows, heights, strict=True):
        middle = y + height / 2
        if y:
            axes.axhline(y, color=RULE, linewidth=0.6)
        span = (middle - height / 2 + 4, middle + height / 2 - 4)
        if row.chance is not None:
            axes.plot([row.chance] * 2, span, color=MUTED, linewidth=1.4, linestyle=(0, (1, 1.5)))
        if row.best is not None:
            axes.plot([row.best] * 2, span, color=INK, linewidth=2)
        for place, mark in enumerate(row.marks):
            at = middle + step * (place - (len(row.marks) - 1) / 2)
            colour, marker = MUTED, "o"
            if mark.family is not None:
                colour = SERIES[mark.family % len(SERIES)]
                marker = MARKERS[mark.family % len(MARKERS)]
            axes.plot([mark.low, mark.high], [at, at], color=colour, linewidth=2)
            _mark(axes, mark.value, at, marker, colour)
            if mark.label:
                gap = 0.02 * (high - low)
                x, side = (mark.high + gap, "left")
                if mark.low > low + 0.3 * (high - low):
                    x, side = (mark.low - gap, "right")
                axes.text(x, at, mark.label, ha=side, va="center", fontweight="bold")
        y += height
    if sides:
        axes.axvline(0, color=INK, linewidth=1)
        words = {"fontsize": 10.5, "color": MUTED}
        line = 1 / figure.get_size_inches()[1] / 72
        left_end, right_end = left / WIDTH, 1 - 20 / WIDTH
        first, second = lowest + (22 if stacked else 8), lowest + 8
        figure.text(left_end, first * line, f"← {sides[0]}", ha="left", **words)
        figure.text(right_end, second * line, f"{sides[1]} →", ha="right", **words)
    if x_label:
        about = {"ha": "right", "fontsize": 10.5, "color": MUTED}
        figure.text(1 - 20 / WIDTH, 6 / 72 / figure.get_size_inches()[1], x_label, **about)
    axes.set_xlim(low, high)
    axes.set_ylim(y, 0)
    middles = np.cumsum(heights) - np.array(heights) / 2
    axes.set_yticks(middles, labels)
    _axis(axes, percent=percent, signed=sides is not None, reach=high - low)
    return svg(figure, name=name, title=title)


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
) -> str:
    """Values along an axis, a line for each run.

    Args:
        lines: one for each run.
        name: of the picture, unique in a page.
        title: for who cannot see it.
        x_label: below the axis.
        y_label: above the other one.
        truth: the true value, where it is known: a line across.
        identity: whether to draw where both axes are equal.
        beside: what to hold the lines against; dotted.
        ends: of the axis of values, where it is not to hold all of them.
    """
    figure, axes = canvas(240 if y_label else 220)
    axes.set_autoscale_on(True)
    margins(figure, axes, left=44, bottom=40, top=28 if y_label else 8)
    for line in lines:
        if line.family is None:
            axes.plot(line.x, line.y, color=INK, linewidth=2, linestyle=DASHES[1])
            continue
        axes.plot(
            line.x,
            line.y,
            color=SERIES[line.family % len(SERIES)],
            linestyle=DASHES[line.style % len(DASHES)],
            marker=MARKERS[line.family % len(MARKERS)],
            markersize=4 if len(line.x) <= 30 else 0,
            linewidth=1.8,
        )
    if truth is not None:
        axes.axhline(truth, color=INK, linewidth=2)
    if identity:
        hidden_rate = [end for line in lines for end in (*line.x, *line.y)]
        diagonal = [min(hidden_rate), max(hidden_rate)]
        axes.plot(diagonal, diagonal, color=INK, linewidth=1)
    if beside is not None:
        dotted = {"color": MUTED, "linewidth": 1.6, "linestyle": DASHES[2]}
        axes.plot(beside.x, beside.y, **dotted)
    if ends is not None:
        axes.set_ylim(*ends)
        axes.axhline(0, color=INK, linewidth=0.8)
    _y_label(axes, y_label)
    axes.set_xlabel(x_label)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(color=RULE, linewidth=0.6)
    return svg(figure, name=name, title=title)


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
) -> str:
    """Values with their intervals over shares in per cent, a line for each run.

    Args:
        lines: one for each run.
        name: of the picture, unique in a page.
        title: for who cannot see it.
        x_label: below the axis.
        y_label: above the other one.
        percent: whether values are told in per cent.
        reference: what a guess scores, or what the value should be: dotted.
    """
    figure, axes = canvas(280)
    axes.set_autoscale_on(True)
    margins(figure, axes, left=50, bottom=40, top=28)
    width = max((x for line in lines for x in line.x), default=1) / 60
    for place, line in enumerate(lines):
        if line.family is None:
            axes.plot(line.x, line.y, color=INK, linewidth=2, linestyle=(0, (4, 2)))
            continue
        colour = SERIES[line.family % len(SERIES)]
        # Intervals stand side by side, or they would hide each other.
        x = np.asarray(line.x) + width * (place - (len(lines) - 1) / 2) / 2
        axes.vlines(x, line.low, line.high, color=colour, linewidth=1.2)
        marker = MARKERS[line.family % len(MARKERS)]
        size = 6 if marker in THIN else 5
        axes.plot(x, line.y, color=colour, marker=marker, markersize=size, linewidth=1.6)
    if reference is not None:
        axes.axhline(reference, color=MUTED, linewidth=1.4, linestyle=(0, (1, 1.5)))
    _y_label(axes, y_label)
    axes.set_xlabel(x_label)
    axes.set_xticks(sorted({x for line in lines for x in line.x}))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
    if percent:
        written = partial(_written, percent=True, signed=False)
        axes.yaxis.set_major_formatter(FuncFormatter(written))
    axes.grid(color=RULE, linewidth=0.6)
    return svg(figure, name=name, title=title)


@mpl.rc_context(STYLE)
def heat(
    values: Sequence[Sequence[float | None]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]],
    bold: Sequence[Sequence[bool]],
    name: str,
    title: str,
) -> str:
    """A table whose cells are darker the higher their value; what is not known is blank.

    Args:
        values: row by row.
        rows: their words.
        columns: their words, turned upwards.
        texts: what is written in each cell.
        bold: whether it stands out.
        name: of the picture, unique in a page.
        title: for who cannot see it.
    """
    # A row has room for two lines.
    wide = any(len(textwrap.wrap(row, 20)) > 2 for row in rows)
    labels = [textwrap.fill(row, 30 if wide else 20) for row in rows]
    heads = [textwrap.fill(column, 20) for column in columns]
    top = int(5.6 * max(len(line) for head in heads for line in head.splitlines())) + 14
    figure, axes = canvas(28 * len(rows) + top + 6)
    left = 5.6 * max(len(line) for label in labels for line in label.splitlines()) + 10
    margins(figure, axes, left=left, bottom=6, top=top, right=4)
    known = [value for row in values for value in row if value is not None and np.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if value is None or not np.isfinite(value):
                continue
            share = (value - low) / (high - low) if high > low else 0.5
            shade = {"color": SERIES[0], "alpha": 0.08 + 0.5 * share, "linewidth": 0}
            axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, **shade))
            weight = "bold" if bold[y][x] else "normal"
            words = {"ha": "center", "va": "center", "fontsize": 9.5, "fontweight": weight}
            axes.text(x, y, texts[y][x], **words)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), labels, fontsize=10)
    axes.xaxis.tick_top()
    turned = {"rotation": 90, "ha": "center", "va": "bottom", "linespacing": 1.1}
    axes.set_xticks(range(len(columns)), heads, fontsize=9.5, **turned)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    return svg(figure, name=name, title=title)


def limits(values: Sequence[float], *, margin: float = 0.08) -> tuple[float, float]:
    """Ends of an axis that holds all finite values."""
    finite = [value for value in values if np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = margin * (high - low) or 0.05
    return low - room, high + room


def _mark(axes: Axes, x: float, y: float, marker: str, colour: str) -> None:
    edge, width = (colour, 0.2) if marker in THIN else (PAPER, 0.8)
    axes.plot([x], [y], marker, color=colour, markersize=7, mec=edge, mew=width)


def _y_label(axes: Axes, words: str) -> None:
    """What is measured, read from left to right, above the axis."""
    if words:
        axes.set_title(words, loc="left", x=-0.08, pad=9, fontsize=10.5, color=MUTED)


def _axis(axes: Axes, *, percent: bool, signed: bool, reach: float) -> None:
    if percent and not signed and reach > 0.6:
        axes.xaxis.set_major_locator(MultipleLocator(0.25))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=ROUND, integer=reach > WHOLE))
    written = partial(_written, percent=percent, signed=signed, whole=reach > WHOLE)
    axes.xaxis.set_major_formatter(FuncFormatter(written))
    axes.grid(axis="x", color=RULE, linewidth=0.6)


def _written(
    value: float, position: object, *, percent: bool, signed: bool, whole: bool = False
) -> str:
    """What stands at a tick."""
    sign = "+" if signed else ""
    decimals = 0 if whole else 2 if abs(value - round(value, 2)) < 1e-9 else 3
    whole = abs(100 * value - round(100 * value)) < 1e-9
    text = (
        f"{100 * value:{sign}.{0 if whole else 1}f}" if percent else f"{value:{sign}.{decimals}f}"
    )
    zero = not text.strip("+-0.")
    text = text.lstrip("+-") if zero else text.replace("-", "\N{MINUS SIGN}")
    return text if signed or not percent else f"{text} %"
