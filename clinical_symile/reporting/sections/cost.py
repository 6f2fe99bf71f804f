"""Show what each run's training cost, and the geometry of its embeddings."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from clinical_symile.formatting import DASH, format_duration
from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section

_HEALTH = {
    "modality_gap": "modality gap",
    "uniformity": "uniformity",
    "effective_rank": "effective rank",
}


def draw_cost(
    *, histories: Mapping[str, Sequence[Mapping[str, int | float]]], series: Sequence[Series]
) -> Content | None:
    """Draw a table of the time and the geometry of each trained run."""
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
        heading="What did training cost, and how do the embeddings lie?",
        text="The time of an epoch is the median, with the metrics on tuning samples. The geometry "
        "is that of the tuning samples after the last epoch. The modality gap is the distance "
        "between the centres of two modalities, averaged over pairs. Uniformity is averaged over "
        "modalities: lower is more even. The effective rank counts the directions that are used.",
        panels=[ReportPanel("Time and geometry", None, head, body)],
        caption="Times depend on the machine and on what else it did.",
    )


COST = Section(
    "cost",
    ("histories", "series"),
    draw_cost,
    display_name="cost and geometry",
    description="Shows the time of training and the geometry of the embeddings.",
)


def _time(epochs: Sequence[Mapping[str, int | float]]) -> str:
    """Return the median time of an epoch; runs of other programs may have none."""
    seconds = [epoch["seconds"] for epoch in epochs if "seconds" in epoch]
    if not seconds:
        return DASH
    middle = median(seconds)
    return f"{middle:.1f} s" if middle < 60 else format_duration(middle)


def _mean(epoch: Mapping[str, int | float], prefix: str) -> str:
    values = [value for key, value in epoch.items() if key.startswith(prefix)]
    return f"{fmean(values):.2f}" if values else DASH
