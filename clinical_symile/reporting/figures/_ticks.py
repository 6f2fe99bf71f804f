"""Format axis ticks and labels that several kinds of figure share."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from clinical_symile.reporting.figures.picture import MUTED

TICK_STEPS = (1, 2, 5, 10)  # steps between ticks, times a power of ten
THIN_MARKERS = "PX*"  # a pale edge would cover them


def axis_limits(values: Sequence[float], *, margin: float = 0.08) -> tuple[float, float]:
    """Return ends of an axis that holds all finite values, with a margin."""
    finite = [value for value in values if np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = margin * (high - low) or 0.05
    return low - room, high + room


def label_y_axis(axes: Axes, words: str) -> None:
    """Write the label of the y axis horizontally, above the axis."""
    if words:
        axes.set_title(words, loc="left", x=-0.08, pad=9, fontsize=10.5, color=MUTED)


def tick_label(
    value: float, position: object, *, percent: bool, signed: bool, integers: bool = False
) -> str:
    """Format one tick, with a true minus sign and 0 without a sign."""
    sign = "+" if signed else ""
    decimals = 0 if integers else 2 if abs(value - round(value, 2)) < 1e-9 else 3
    whole_percent = abs(100 * value - round(100 * value)) < 1e-9
    text = (
        f"{100 * value:{sign}.{0 if whole_percent else 1}f}"
        if percent
        else f"{value:{sign}.{decimals}f}"
    )
    is_zero = not text.strip("+-0.")
    text = text.lstrip("+-") if is_zero else text.replace("-", "\N{MINUS SIGN}")
    return text if signed or not percent else f"{text} %"
