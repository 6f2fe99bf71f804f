"""What all pictures share: sizes, colours as the page's variables, SVG that stands inside a page.

The same data give the same bytes. Colours are written as CSS variables, so that a page can have a
dark form; the palette is Okabe and Ito's, which colour-blind readers can tell apart.
"""

import html
import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7a5195")
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


def canvas(height: int) -> tuple[Figure, Axes]:
    """An empty picture of the width of all, and its one pair of axes."""
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
    """Margins in the picture's own pixels."""
    width, height = figure.get_size_inches() * 72
    axes.set_position(
        (left / width, bottom / height, (width - left - right) / width, 1 - (bottom + top) / height)
    )


def svg(figure: Figure, *, name: str, title: str) -> str:
    """The picture as an element of a page.

    Args:
        figure: drawn.
        name: of the picture, unique in a page; letters, digits and dashes.
        title: for who cannot see it.
    """
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
