"""Draw results as figures that stand alone: PNG, SVG or PDF, with their own fonts and colours."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from clinical_symile.files import write_bytes
from clinical_symile.reporting.figures.picture import INK, MARKERS, MUTED, PALETTE, RULE
from clinical_symile.tracking.results import Comparison, Result

PLOT_FORMATS = ("png", "svg", "pdf")

# Text becomes outlines in SVG and an embedded TrueType font in PDF: no reader needs our font. The
# fixed salt makes equal figures equal bytes.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "clinical-symile",
    "pdf.fonttype": 42,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
_PANEL_WIDTH, _PANEL_HEIGHT, _ROW_HEIGHT, _DPI = 3.6, 2.6, 0.22, 200
_NO_DATE: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure that a notebook shows and that can be written to a file.

    Attributes:
        figure: the Matplotlib figure.
    """

    figure: Figure

    def save(self, path: str | Path) -> Path:
        """Write the figure; the suffix of the path is the format.

        Args:
            path: a file that ends in `.png`, `.svg` or `.pdf`.

        Returns:
            The path of the file.

        Raises:
            ValueError: the suffix is another.
        """
        path = Path(path)
        form = path.suffix.removeprefix(".").lower()
        if form not in PLOT_FORMATS:
            raise ValueError(f"{path}: '{path.suffix}' is no format; expected .png, .svg or .pdf.")
        write_bytes(path, self._bytes(form))
        return path

    def _bytes(self, form: str) -> bytes:
        buffer = io.BytesIO()
        with mpl.rc_context(_STYLE):
            self.figure.savefig(
                buffer, format=form, dpi=_DPI, bbox_inches="tight", metadata=_NO_DATE[form]
            )
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self._bytes("png")


def degradation_plot(rows: Sequence[Result]) -> Plot:
    """Draw each task's metric under each missingness pattern, one line per run.

    Bars are 95 % intervals. The dashed line is the chance level.

    Args:
        rows: one metric per task.

    Raises:
        ValueError: there are no rows.
    """
    tasks, runs = _names(rows)
    with mpl.rc_context(_STYLE):
        figure, panels = _panels(len(tasks))
        for panel, task in zip(panels, tasks, strict=True):
            inside = [row for row in rows if row.task == task]
            patterns = list(dict.fromkeys(row.missingness for row in inside))
            for number, run in enumerate(runs):
                own = {row.missingness: row for row in inside if row.run == run}
                places = [at for at, name in enumerate(patterns) if name in own]
                found = [own[patterns[at]] for at in places]
                shift = 0.12 * (number - (len(runs) - 1) / 2)
                _draw_points(panel, [at + shift for at in places], found, number, label=run)
            _draw_chance(panel, inside)
            panel.set_xticks(range(len(patterns)), patterns, rotation=35, ha="right")
            panel.set_ylabel(inside[0].metric)
            panel.set_title(task, loc="left", fontsize=9)
        _draw_legend(figure, panels[0])
    return Plot(figure)


def interval_plot(rows: Sequence[Result]) -> Plot:
    """Draw each run's value with its 95 % interval, one row for each task and pattern.

    Args:
        rows: one metric per task.

    Raises:
        ValueError: there are no rows.
    """
    _, runs = _names(rows)
    about = list(dict.fromkeys((row.task, row.missingness, row.metric) for row in rows))
    with mpl.rc_context(_STYLE):
        figure, panel = _rows_figure(len(about))
        for number, run in enumerate(runs):
            own = {(r.task, r.missingness, r.metric): r for r in rows if r.run == run}
            shift = 0.16 * (number - (len(runs) - 1) / 2)
            places = [at + shift for at, key in enumerate(about) if key in own]
            found = [own[key] for key in about if key in own]
            _draw_intervals(panel, places, _ends(found), number, label=run)
        labels = [f"{task} · {pattern} ({metric})" for task, pattern, metric in about]
        panel.set_yticks(range(len(about)), labels)
        panel.set_xlabel("value, 95 % interval by bootstrap over subjects")
        _draw_legend(figure, panel)
    return Plot(figure)


def difference_plot(rows: Sequence[Comparison]) -> Plot:
    """Draw paired differences with their 95 % intervals; the vertical line is no difference.

    Args:
        rows: the comparisons.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("there are no comparisons to plot; expected at least one.")
    with mpl.rc_context(_STYLE):
        figure, panel = _rows_figure(len(rows))
        ends = [_with_ends(row.difference, row.low, row.high) for row in rows]
        _draw_intervals(panel, [float(at) for at in range(len(rows))], ends, 0, label="")
        panel.axvline(0, color=MUTED, linewidth=0.8)
        panel.set_yticks(range(len(rows)), [_difference_label(row) for row in rows])
        panel.set_xlabel("difference, 95 % interval by paired bootstrap over subjects")
    return Plot(figure)


RESULT_PLOTS = {"degradation": degradation_plot, "intervals": interval_plot}


def _names(rows: Sequence[Result]) -> tuple[list[str], list[str]]:
    if not rows:
        raise ValueError("there are no results to plot; expected at least one.")
    tasks, runs = (
        list(dict.fromkeys(getattr(row, key) for row in rows)) for key in ("task", "run")
    )
    return tasks, runs


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, 3)
    lines = -(-count // columns)
    figure = Figure(figsize=(_PANEL_WIDTH * columns, _PANEL_HEIGHT * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(lines, columns, place + 1) for place in range(count)]
    for panel in panels:
        panel.grid(axis="y", color=RULE, linewidth=0.6)
    return figure, panels


def _rows_figure(count: int) -> tuple[Figure, Axes]:
    height = 0.9 + _ROW_HEIGHT * max(count, 2)
    figure = Figure(figsize=(2 * _PANEL_WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.add_subplot()
    panel.invert_yaxis()
    panel.grid(axis="x", color=RULE, linewidth=0.6)
    return figure, panel


def _with_ends(value: float, low: float | None, high: float | None) -> tuple[float, float, float]:
    """Return a value with the ends of its interval; the value itself where it has none."""
    return (value, value, value) if low is None or high is None else (value, low, high)


def _ends(rows: Sequence[Result]) -> list[tuple[float, float, float]]:
    return [_with_ends(row.value, row.low, row.high) for row in rows]


def _draw_points(
    panel: Axes, places: Sequence[float], rows: Sequence[Result], number: int, *, label: str
) -> None:
    style = _series_style(number)
    values = [row.value for row in rows]
    ends = _ends(rows)
    panel.vlines(places, [e[1] for e in ends], [e[2] for e in ends], color=style["color"])
    panel.plot(places, values, **style, linewidth=1, markersize=4, label=label)


def _draw_intervals(
    panel: Axes,
    places: Sequence[float],
    ends: Sequence[tuple[float, float, float]],
    number: int,
    *,
    label: str,
) -> None:
    style = _series_style(number)
    values, lows, highs = ([end[at] for end in ends] for at in range(3))
    panel.hlines(places, lows, highs, color=style["color"], linewidth=1.2)
    panel.plot(values, places, **style, linestyle="none", markersize=4, label=label)


def _draw_chance(panel: Axes, rows: Sequence[Result]) -> None:
    known = {row.chance for row in rows if row.chance is not None}
    if len(known) == 1:
        panel.axhline(known.pop(), color=MUTED, linewidth=0.8, linestyle="--")


def _draw_legend(figure: Figure, panel: Axes) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(labels), 4), frameon=False
    )


def _series_style(number: int) -> Mapping[str, Any]:
    return {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % len(MARKERS)]}


def _difference_label(row: Comparison) -> str:
    pair = f"{row.run} - {row.baseline}" if row.against is None else f"{row.run} - {row.against}"
    return f"{row.task} · {row.missingness}: {pair} ({row.metric})"
