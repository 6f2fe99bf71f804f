"""Figures of a report: drawn once, shown inside a page as SVG or saved as a file of their own.

Inside a page, colours are CSS variables, so that the page can have a dark form. The palette is
Okabe and Ito's, which colour-blind readers can tell apart. The same data give the same bytes.
"""

import html
import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7a5195")
INK, MUTED, RULE, PAPER = "#1b1b1a", "#6b6b66", "#d8d8d2", "#fffffe"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_SYMBOLS: dict[str, str] = dict(zip(MARKERS, "●■▲◆▼✚✖★", strict=True))  # of legends in pages
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (4, 1.5, 1, 1.5)))
FILE_FORMATS = ("png", "svg", "pdf")
NO_DATE: dict[str, dict[str, Any]] = {  # so that equal figures are equal files
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
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
WIDTH = 380  # of every figure, in points; a page scales it

_VARIABLES = {colour: f"--series-{n}" for n, colour in enumerate(PALETTE)} | {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--paper",
}
RESOLUTION_DPI = 300
_TITLE_COLUMNS = 62


def series_look(family: int) -> tuple[str, str]:
    """Return the colour and the marker of a method; the first 64 methods have different pairs.

    >>> series_look(0), series_look(8)
    (('#0072b2', 'o'), ('#0072b2', 's'))
    """
    turn = family // len(PALETTE)
    return PALETTE[family % len(PALETTE)], MARKERS[(family + turn) % len(MARKERS)]


def series_symbol(family: int) -> str:
    """Return the character of a method's marker, for the legends of pages."""
    return _SYMBOLS[series_look(family)[1]]


def series_variable(family: int) -> str:
    """Return the name of a method's colour in the style sheet of pages."""
    return _VARIABLES[series_look(family)[0]]


@dataclass(frozen=True)
class Legend:
    """Explain the colours and lines of figures.

    Attributes:
        methods: family (colour and marker) and label of each method.
        best: label of the oracle's solid or dashed line; empty if it is not drawn.
        dotted: label of the dotted line; empty if it is not drawn.
        across: whether these lines run from left to right, not upwards.
    """

    methods: Sequence[tuple[int, str]] = ()
    best: str = ""
    dotted: str = ""
    across: bool = False


@dataclass(frozen=True)
class Picture:
    """One drawn figure.

    Attributes:
        name: identifies it in a page and among files; letters, digits, dashes and underscores.
        title: describes it to readers who cannot see it.
        figure: the matplotlib figure.
        families: those drawn in it, which the legend of a file explains; None for all.
    """

    name: str
    title: str
    figure: Figure = field(repr=False, compare=False)
    families: frozenset[int | None] | None = None

    def __html__(self) -> str:
        """Return the SVG element that a page holds."""
        return _inline_svg(self.figure, name=self.name, title=self.title)

    def write(
        self,
        buffer: io.BytesIO | PdfPages,
        file_format: str,
        *,
        heading: str = "",
        legend: Legend | None = None,
        dpi: int = RESOLUTION_DPI,
    ) -> None:
        """Write a file that needs nothing else: fonts and colours are in it.

        Args:
            buffer: the file, or a PDF file that gets a page.
            file_format: one of `FILE_FORMATS`.
            heading: written above the figure.
            legend: drawn below the figure.
            dpi: dots per inch of a PNG.
        """
        # Text becomes outlines in an SVG file, so that it looks the same on every machine.
        standalone: dict[Any, Any] = {"svg.hashsalt": self.name, "svg.fonttype": "path"}
        with mpl.rc_context({**STYLE, **standalone}):
            added = _heading(self.figure, heading)
            added += _legend(self.figure, legend, self.families)
            try:
                self.figure.patch.set_visible(True)
                self.figure.savefig(
                    buffer,  # pyright: ignore[reportArgumentType], stubs do not know PdfPages
                    format=file_format,
                    dpi=dpi,
                    facecolor="white",
                    bbox_inches="tight",
                    pad_inches=0.12,
                    metadata=NO_DATE[file_format],
                )
            finally:
                self.figure.patch.set_visible(False)
                for artist in added:
                    artist.remove()


def canvas(height: int) -> tuple[Figure, Axes]:
    """Return an empty figure of this height in points, and its axes."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.patch.set_visible(False)
    axes.set_autoscale_on(False)
    figure.patch.set_visible(False)
    return figure, axes


def margins(
    figure: Figure, axes: Axes, *, left: int | float, bottom: int, top: int, right: int = 20
) -> None:
    """Set the axes' margins, in points."""
    width, height = figure.get_size_inches() * 72
    axes.set_position(
        (left / width, bottom / height, (width - left - right) / width, 1 - (bottom + top) / height)
    )


def _heading(figure: Figure, text: str) -> list[Any]:
    if not text:
        return []
    lines = textwrap.fill(text, _TITLE_COLUMNS)
    above = 1 + 10 / (figure.get_size_inches()[1] * 72)
    return [figure.text(0.0, above, lines, ha="left", va="bottom", fontweight="bold")]


def _legend(
    figure: Figure, legend: Legend | None, families: frozenset[int | None] | None
) -> list[Any]:
    if legend is None:
        return []
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            color=colour,
            marker=marker,
            markersize=7,
            label=label,
        )
        for family, label in legend.methods
        for colour, marker in [series_look(family)]
        if families is None or family in families
    ]
    best = {"color": INK, "linewidth": 2, "linestyle": DASHES[1] if legend.across else "-"}
    dotted = {"color": MUTED, "linewidth": 1.4, "linestyle": DASHES[2]}
    for label, look in ((legend.best, best), (legend.dotted, dotted)):
        if label:
            handles.append(Line2D([], [], label=label, **look))
    if not handles:
        return []
    below = -6 / (figure.get_size_inches()[1] * 72)
    wide = max(len(str(handle.get_label())) for handle in handles) > 24
    return [
        figure.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0.0, below),
            ncols=1 if wide else 2,
            frameon=False,
            fontsize=10,
            borderaxespad=0.0,
        )
    ]


def _inline_svg(figure: Figure, *, name: str, title: str) -> str:
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font-family: [^;]*; |\stransform=\"rotate\(-0 [^\"]*\"", "", text)
    text = re.sub(r"<[^>]*>", _short_numbers, text)
    opening = f'<svg viewBox="0 0 {WIDTH} {figure.get_size_inches()[1] * 72:g}" role="img" '
    opening += f'aria-labelledby="{name}-title"><title id="{name}-title">'
    text = re.sub(r"<svg[^>]*>", lambda _: f"{opening}{html.escape(title)}</title>", text, count=1)
    return re.sub(r"\n\s*", "\n", text)


def _short_numbers(tag: re.Match[str]) -> str:
    """Return a tag whose coordinates have two decimals; text between tags stays as it is."""
    return re.sub(r"(\.\d\d)\d+", r"\1", tag[0])
