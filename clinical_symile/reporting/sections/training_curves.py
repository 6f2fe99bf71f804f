"""Show the loss, the tuning metrics and what a balance held back after each epoch."""

from collections.abc import Mapping, Sequence

from clinical_symile.reporting.figures.line_chart import Line, curves
from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    method_legend,
    picture_name,
)
from clinical_symile.reporting.text.labels import metric_label


def draw_training(
    *,
    histories: Mapping[str, Sequence[Mapping[str, int | float]]],
    series: Sequence[Series],
    methods: Sequence[Series],
    baselines: Mapping[str, str],
    oracle: Mapping[str, object] | None,
) -> Content | None:
    """Draw one panel for the loss, one for each tuning metric and one for each factor."""
    true_value = (oracle or {}).get("total_correlation_nats")
    panels = _panels(histories, series, true_value if isinstance(true_value, float) else None)
    if not panels:
        return None
    return Content(
        heading="How training went",
        panels=panels,
        legend=method_legend(one for one in methods if one.run not in baselines),
        caption="Losses of different objectives have different scales and cannot be compared; "
        "metrics on the tuning samples can. The estimate of the total correlation is the logarithm "
        "of the number of candidates in the loss, minus the loss. It is usually below the true "
        "value and never above that logarithm."
        + (_FACTORS if any("factor" in panel.title for panel in panels) else ""),
    )


_FACTORS = (
    " A factor multiplies the gradient of a modality's encoder, as a mean over the steps of an "
    "epoch: below 1 the balance held the encoder back, above 1 it sped it up."
)
_FACTOR = "balance/factor_"

TRAINING = Section(
    "training",
    ("histories", "series", "methods", "baselines", "oracle"),
    draw_training,
    display_name="training curves",
    description="Shows the loss and the tuning metrics after each epoch.",
)


def _panels(
    histories: Mapping[str, Sequence[Mapping[str, int | float]]],
    series: Sequence[Series],
    total_correlation: float | None,
) -> list[ReportPanel]:
    keys = dict.fromkeys(key for lines in histories.values() for line in lines for key in line)
    panels = []
    for key in (k for k in keys if k == "loss" or k.startswith(("tuning/", _FACTOR))):
        lines, body = [], []
        for one in series:
            points = [(h["epoch"], h[key]) for h in histories.get(one.run, ()) if key in h]
            if points:
                x, y = zip(*points, strict=True)
                lines.append(Line(one.family, one.style, x, y))
                body.append([one.label, str(len(points)), f"{y[0]:.3f}", f"{y[-1]:.3f}"])
        title = _title(key)
        truth = total_correlation if key == "tuning/tc_estimate" else None
        if truth is not None:
            title += f"; the horizontal line is the true value, {truth:.2f} nats"
        name = picture_name("training", key)
        picture = curves(lines, name=name, title=title, x_label="epoch", truth=truth)
        head = ["run", "epochs", "after the first", "after the last"]
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def _title(key: str) -> str:
    """Return the heading of a number of the history."""
    if key.startswith(_FACTOR):
        return f"Gradient factor of the encoder of {key.removeprefix(_FACTOR)}"
    metric = metric_label(key.removeprefix("tuning/"))
    title = "Training loss" if key == "loss" else f"{metric} on tuning samples"
    return title[:1].upper() + title[1:]
