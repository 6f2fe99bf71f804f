"""Measurements and who has which as pictures: dots and bars, an ECG as it is printed, an image."""

import base64
import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.image import imsave

from clinical_symile.reporting.figures._svg import (
    INK,
    MUTED,
    PAPER,
    RULE,
    SERIES,
    STYLE,
    canvas,
    margins,
    svg,
)

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
ECG_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))


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
    figure, axes = canvas(24 * len(rows) + 34)
    margins(figure, axes, left=6, bottom=4, top=28)
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
    return svg(figure, name=name, title=title)


@mpl.rc_context(STYLE)
def electrocardiogram(
    leads_mv: Float[np.ndarray, "12 time"], *, sampling_rate_hz: float, name: str, title: str
) -> str:
    """A 12-lead ECG as it is printed: four columns of 2.5 s, paper of 0.2 s and 0.5 mV."""
    per_column = int(2.5 * sampling_rate_hz)
    every = max(1, int(sampling_rate_hz // 125))
    figure, axes = canvas(224)
    margins(figure, axes, left=0, bottom=0, top=0, right=0)
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
    return svg(figure, name=name, title=title)


def image(pixels: UInt8[np.ndarray, "h w"], *, size_px: int = 160) -> str:
    """A picture as a `data:` address, made smaller."""
    every = max(1, min(pixels.shape) // size_px)
    file = io.BytesIO()
    small = np.ascontiguousarray(pixels[::every, ::every])
    imsave(file, small, cmap="gray", vmin=0, vmax=255, format="png", metadata={"Software": ""})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
