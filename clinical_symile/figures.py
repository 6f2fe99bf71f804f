"""Pictures as SVG to stand inside a page: text stays text, colours are the page's.

The same data give the same bytes. Colours are written as CSS variables, so that a page can have a
dark form; the palette is Okabe and Ito's, which colour-blind readers can tell apart.
"""

import base64
import html
import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7a5195")
ROUND = (1, 2, 5, 10)  # steps between ticks, times a power of ten
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)))
INK, MUTED, RULE, PAPER = "#1b1b1a", "#6b6b66", "#d8d8d2", "#fffffe"
VARIABLES = {colour: f"--series-{n}" for n, colour in enumerate(SERIES)} | {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--paper",
}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 11.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.edgecolor": RULE,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "butt",
}
WIDTH = 380
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ECG_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))


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
    """Values over epochs."""

    family: int
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


@mpl.rc_context(STYLE)
def dots(
    rows: Sequence[Row],
    *,
    name: str,
    title: str,
    limits: tuple[float, float],
    percent: bool = False,
    sides: tuple[str, str] | None = None,
) -> str:
    """Values with their intervals, one line for each row.

    Args:
        rows: from top to bottom.
        name: of the picture, unique in a page; letters, digits and dashes.
        title: for who cannot see it.
        limits: ends of the axis.
        percent: whether the axis is in per cent.
        sides: for differences, what it means to lie left and right of zero.
    """
    step = 15
    heights = [max(30, step * len(row.marks) + 12) for row in rows]
    labels = [textwrap.fill(row.label, 24) for row in rows]
    longest = max(len(line) for label in labels for line in label.splitlines())
    left = 6.7 * longest + 12
    # What does not fit beside each other under the axis stands one below the other.
    stacked = sides is not None and 5.8 * len("".join(sides)) + 36 > WIDTH - left - 20
    bottom = 60 if stacked else 46 if sides else 28
    figure, axes = _canvas(sum(heights) + 6 + bottom)
    _place(figure, axes, left=left, bottom=bottom, top=6)
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
            axes.plot([mark.value], [at], marker, color=colour, markersize=7, mec=PAPER, mew=0.8)
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
        figure.text(left_end, (22 if stacked else 8) * line, f"← {sides[0]}", ha="left", **words)
        figure.text(right_end, 8 * line, f"{sides[1]} →", ha="right", **words)
    axes.set_xlim(low, high)
    axes.set_ylim(y, 0)
    middles = np.cumsum(heights) - np.array(heights) / 2
    axes.set_yticks(middles, labels)
    _axis(axes, percent=percent, signed=sides is not None)
    return _svg(figure, name=name, title=title)


@mpl.rc_context(STYLE)
def curves(
    lines: Sequence[Line],
    *,
    name: str,
    title: str,
    x_label: str,
    truth: float | None = None,
    identity: bool = False,
) -> str:
    """Values over epochs, a line for each run.

    Args:
        lines: one for each run.
        name: of the picture, unique in a page.
        title: for who cannot see it.
        x_label: below the axis.
        truth: the true value, where it is known: a line across.
        identity: whether to draw where both axes are equal.
    """
    figure, axes = _canvas(220)
    axes.set_autoscale_on(True)
    _place(figure, axes, left=44, bottom=40, top=8)
    for line in lines:
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
        ends = [end for line in lines for end in (*line.x, *line.y)]
        axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=INK, linewidth=1)
    axes.set_xlabel(x_label)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(color=RULE, linewidth=0.6)
    return _svg(figure, name=name, title=title)


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
def bands(
    lines: Sequence[Band], *, name: str, title: str, x_label: str, chance: float | None
) -> str:
    """Values with their intervals over shares in per cent, a line for each run."""
    figure, axes = _canvas(260)
    axes.set_autoscale_on(True)
    _place(figure, axes, left=44, bottom=40, top=8)
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
        axes.plot(x, line.y, color=colour, marker=marker, markersize=5, linewidth=1.6)
    if chance is not None:
        axes.axhline(chance, color=MUTED, linewidth=1.4, linestyle=(0, (1, 1.5)))
    axes.set_xlabel(x_label)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color=RULE, linewidth=0.6)
    return _svg(figure, name=name, title=title)


@mpl.rc_context(STYLE)
def heat(
    values: Sequence[Sequence[float | None]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]],
    name: str,
    title: str,
) -> str:
    """A table whose cells are darker the higher their value; what is not known is blank."""
    labels = [textwrap.fill(row, 24) for row in rows]
    top = int(4.4 * max(len(column) for column in columns)) + 14
    figure, axes = _canvas(28 * len(rows) + top + 6)
    left = 6.4 * max(len(line) for label in labels for line in label.splitlines()) + 10
    _place(figure, axes, left=left, bottom=6, top=top, right=34)
    known = [value for row in values for value in row if value is not None and np.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if value is None or not np.isfinite(value):
                continue
            share = (value - low) / (high - low) if high > low else 0.5
            shade = {"color": SERIES[0], "alpha": 0.08 + 0.5 * share, "linewidth": 0}
            axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, **shade))
            axes.text(x, y, texts[y][x], ha="center", va="center", fontsize=9.5)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), labels, fontsize=10)
    axes.xaxis.tick_top()
    turned = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(columns)), columns, fontsize=9.5, **turned)
    axes.tick_params(length=0)
    axes.spines["bottom"].set_visible(False)
    return _svg(figure, name=name, title=title)


@mpl.rc_context(STYLE)
def presence(
    rows: Sequence[tuple[Sequence[bool], int, str]],
    *,
    modalities: Sequence[str],
    name: str,
    title: str,
) -> str:
    """How many samples have which modalities: full and empty dots, a bar and its count.

    Args:
        rows: for each combination, what is present, how many, and how that is written; a count
            that may not be shown is 0 here.
        modalities: above the columns of dots.
        name: of the picture, unique in a page.
        title: for who cannot see it.
    """
    figure, axes = _canvas(24 * len(rows) + 34)
    _place(figure, axes, left=6, bottom=4, top=28)
    most = max((n for _, n, _ in rows), default=0) or 1
    column = 0.21
    for at, (present, n, text) in enumerate(rows):
        for place, there in enumerate(present):
            face = INK if there else PAPER
            axes.plot([column * place + 0.1], [at], "o", color=face, mec=INK, mew=1.2, markersize=8)
        start = column * len(present) + 0.06
        axes.barh(at, n / most, left=start, height=0.62, color=SERIES[5])
        axes.text(start + n / most + 0.02, at, text, ha="left", va="center")
    for place, modality in enumerate(modalities):
        axes.text(column * place + 0.1, -0.85, modality, ha="center", va="bottom", color=MUTED)
    axes.set_xlim(0, column * len(modalities) + 1.36)
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.set_axis_off()
    return _svg(figure, name=name, title=title)


@mpl.rc_context(STYLE)
def electrocardiogram(
    leads_mv: Float[np.ndarray, "12 time"], *, sampling_rate_hz: float, name: str, title: str
) -> str:
    """A 12-lead ECG as it is printed: four columns of 2.5 s, paper of 0.2 s and 0.5 mV."""
    per_column = int(2.5 * sampling_rate_hz)
    every = max(1, int(sampling_rate_hz // 125))
    figure, axes = _canvas(224)
    _place(figure, axes, left=0, bottom=0, top=0, right=0)
    axes.set_axis_off()
    axes.vlines(np.arange(0, 10.01, 0.2), -1.5, 7.5, color=RULE, linewidth=0.4)
    axes.hlines(np.arange(-1.5, 7.51, 0.5), 0, 10, color=RULE, linewidth=0.4)
    for column, leads in enumerate(ECG_COLUMNS):
        window = slice(column * per_column, (column + 1) * per_column, every)
        for row, lead in enumerate(leads):
            signal = leads_mv[LEADS.index(lead), window]
            times = 2.5 * column + np.arange(len(signal)) * every / sampling_rate_hz
            base = 2.5 * (2 - row) + 0.5
            axes.plot(times, np.clip(signal, -1.2, 1.6) + base, color=INK, linewidth=0.7)
            axes.text(2.5 * column + 0.06, base + 1.25, lead, va="top", fontsize=9, color=MUTED)
    axes.set_xlim(0, 10)
    axes.set_ylim(-0.75, 7.25)
    return _svg(figure, name=name, title=title)


def image(pixels: UInt8[np.ndarray, "h w"], *, size_px: int = 160) -> str:
    """A picture as a `data:` address, made smaller."""
    every = max(1, min(pixels.shape) // size_px)
    file = io.BytesIO()
    small = np.ascontiguousarray(pixels[::every, ::every])
    imsave(file, small, cmap="gray", vmin=0, vmax=255, format="png", metadata={"Software": ""})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def limits(values: Sequence[float], *, margin: float = 0.08) -> tuple[float, float]:
    """Ends of an axis that holds all finite values."""
    finite = [value for value in values if np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = margin * (high - low) or 0.05
    return low - room, high + room


def _canvas(height: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.patch.set_visible(False)
    axes.set_autoscale_on(False)
    figure.patch.set_visible(False)
    return figure, axes


def _place(
    figure: Figure, axes: Axes, *, left: int | float, bottom: int, top: int, right: int = 20
) -> None:
    """Margins in the picture's own pixels."""
    width, height = figure.get_size_inches() * 72
    axes.set_position(
        (left / width, bottom / height, (width - left - right) / width, 1 - (bottom + top) / height)
    )


def _axis(axes: Axes, *, percent: bool, signed: bool) -> None:
    if percent and not signed:
        axes.xaxis.set_major_locator(MultipleLocator(0.25))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=ROUND))
    written = partial(_written, percent=percent, signed=signed)
    axes.xaxis.set_major_formatter(FuncFormatter(written))
    axes.grid(axis="x", color=RULE, linewidth=0.6)


def _written(value: float, position: object, *, percent: bool, signed: bool) -> str:
    """What stands at a tick."""
    sign = "+" if signed else ""
    decimals = 2 if abs(value - round(value, 2)) < 1e-9 else 3
    text = f"{100 * value:{sign}.0f}" if percent else f"{value:{sign}.{decimals}f}"
    zero = not text.strip("+-0.")
    text = text.lstrip("+-") if zero else text.replace("-", "\N{MINUS SIGN}")
    return text if signed or not percent else f"{text} %"


def _svg(figure: Figure, *, name: str, title: str) -> str:
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font-family: [^;]*; |\stransform=\"rotate\(-0 [^\"]*\"", "", text)
    text = re.sub(r"<[^>]*>", _short_numbers, text)
    opening = f'<svg viewBox="0 0 {WIDTH} {figure.get_size_inches()[1] * 72:g}" role="img" '
    opening += f'aria-labelledby="{name}-title"><title id="{name}-title">'
    text = re.sub(r"<svg[^>]*>", lambda _: f"{opening}{html.escape(title)}</title>", text, count=1)
    return re.sub(r"\n\s*", "\n", text)


def _short_numbers(tag: re.Match[str]) -> str:
    """A tag with two decimals in its coordinates; what stands between tags is for the reader."""
    return re.sub(r"(\.\d\d)\d+", r"\1", tag[0])
