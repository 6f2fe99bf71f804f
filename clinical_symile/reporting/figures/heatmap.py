"""Draw a table whose cells are darker the higher their value."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.patches import Rectangle

from clinical_symile.reporting.figures.picture import PALETTE, STYLE, Picture, canvas, margins


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
) -> Picture:
    """Draw a table of shades; a missing or non-finite value leaves its cell blank.

    Args:
        values: row by row.
        rows: labels of the rows.
        columns: labels of the columns, written upwards.
        texts: the text in each cell.
        bold: whether the text is bold.
        name: identifies the figure.
        title: describes the figure to readers who cannot see it.
    """
    # A row has room for two lines of text.
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
            shade = {"color": PALETTE[0], "alpha": 0.08 + 0.5 * share, "linewidth": 0}
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
    return Picture(name, title, figure)
