"""Show the geometry of each run's embeddings after its last epoch."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from clinical_symile.formatting import DASH, format_seconds
from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section

_HEALTH = {
    "modality_gap": "modality gap",
    "uniformity": "uniformity",
    "effective_rank": "effective rank",
}


def draw_geometry(
    *, histories: Mapping[str, Sequence[Mapping[str, int | float]]], series: Sequence[Series]
) -> Content | None:
    """Draw a table of the epochs and the geometry of each trained run."""
    shown = [(one, list(histories[one.run])) for one in series if histories.get(one.run)]
    body = [
        [
            one.label,
            str(len(epochs)),
            _time(epochs),
            *(_mean(epochs[-1], f"health/{key}/") for key in _HEALTH),
        ]
        for one, epochs in shown
    ]
    if not body:
        return None
    head = ["run", "epochs", "time of an epoch", *_HEALTH.values()]
    return Content(
        heading="How do the embeddings lie?",
        text="The geometry is that of the tuning samples after the last epoch. The modality gap is "
        "the distance between the centres of two modalities, averaged over pairs. Uniformity is "
        "averaged over modalities: lower is more even. The effective rank counts the directions "
        "that are used. The time of an epoch is the median, with the metrics on tuning samples.",
        panels=[ReportPanel("Epochs and geometry", None, head, body)],
    )


GEOMETRY = Section(
    "geometry",
    ("histories", "series"),
    draw_geometry,
    display_name="geometry of embeddings",
    description="Shows the geometry of the embeddings and the time of an epoch.",
)


def _time(epochs: Sequence[Mapping[str, int | float]]) -> str:
    """Return the median time of an epoch; runs of other programs may have none."""
    seconds = [epoch["seconds"] for epoch in epochs if "seconds" in epoch]
    if not seconds:
        return DASH
    return format_seconds(median(seconds))


def _mean(epoch: Mapping[str, int | float], prefix: str) -> str:
    values = [value for key, value in epoch.items() if key.startswith(prefix)]
    return f"{fmean(values):.2f}" if values else DASH
