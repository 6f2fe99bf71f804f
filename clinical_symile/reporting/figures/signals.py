"""Draw measurements and their availability: an ECG on paper, an image, counts per combination."""

import base64
import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.image import imsave

from clinical_symile.reporting.figures.picture import (
    INK,
    MUTED,
    PALETTE,
    PAPER,
    RULE,
    STYLE,
    Picture,
    canvas,
    margins,
)

_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_ECG_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))


@mpl.rc_context(STYLE)
def presence(
    rows: Sequence[tuple[Sequence[bool], int, str]],
    *,
    modalities: Sequence[str],
    name: str,
    title: str,
) -> Picture:
    """Draw how many samples have which modalities: filled or empty dots, a bar and its count.

    Args:
        rows: for each combination, which modalities are present, the number of samples, and its
            text; a count that is withheld is 0 here.
        modalities: labels above the columns of dots.
        name: identifies the figure.
        title: describes the figure to readers who cannot see it.
    """
    figure, axes = canvas(24 * len(rows) + 34)
    margins(figure, axes, left=6, bottom=4, top=28)
    most = max((n for _, n, _ in rows), default=0) or 1
    column = 0.21
    for at, (present, n, text) in enumerate(rows):
        for place, is_present in enumerate(present):
            face = INK if is_present else PAPER
            axes.plot([column * place + 0.1], [at], "o", color=face, mec=INK, mew=1.2, markersize=8)
        start = column * len(present) + 0.06
        axes.barh(at, n / most, left=start, height=0.62, color=PALETTE[5])
        axes.text(start + n / most + 0.02, at, text, ha="left", va="center")
    for place, modality in enumerate(modalities):
        axes.text(column * place + 0.1, -0.85, modality, ha="center", va="bottom", color=MUTED)
    axes.set_xlim(0, column * len(modalities) + 1.36)
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.set_axis_off()
    return Picture(name, title, figure)


@mpl.rc_context(STYLE)
def electrocardiogram(
    leads_mv: Float[np.ndarray, "12 time"], *, sampling_rate_hz: float, name: str, title: str
) -> Picture:
    """Draw a 12-lead ECG as it is printed: four columns of 2.5 s on 0.2 s and 0.5 mV paper."""
    per_column = int(2.5 * sampling_rate_hz)
    every = max(1, int(sampling_rate_hz // 125))
    figure, axes = canvas(224)
    margins(figure, axes, left=0, bottom=0, top=0, right=0)
    axes.set_axis_off()
    axes.vlines(np.arange(0, 10.01, 0.2), -1.5, 7.5, color=RULE, linewidth=0.4)
    axes.hlines(np.arange(-1.5, 7.51, 0.5), 0, 10, color=RULE, linewidth=0.4)
    for column, leads in enumerate(_ECG_COLUMNS):
        window = slice(column * per_column, (column + 1) * per_column, every)
        for row, lead in enumerate(leads):
            signal = leads_mv[_LEADS.index(lead), window]
            times = 2.5 * column + np.arange(len(signal)) * every / sampling_rate_hz
            base = 2.5 * (2 - row) + 0.5
            axes.plot(times, np.clip(signal, -1.2, 1.6) + base, color=INK, linewidth=0.7)
            axes.text(2.5 * column + 0.06, base + 1.25, lead, va="top", fontsize=9, color=MUTED)
    axes.set_xlim(0, 10)
    axes.set_ylim(-0.75, 7.25)
    return Picture(name, title, figure)


def image_address(pixels: UInt8[np.ndarray, "h w"], *, size_px: int = 160) -> str:
    """Return a smaller version of an image as a `data:` address."""
    every = max(1, min(pixels.shape) // size_px)
    file = io.BytesIO()
    small = np.ascontiguousarray(pixels[::every, ::every])
    imsave(file, small, cmap="gray", vmin=0, vmax=255, format="png", metadata={"Software": ""})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
