"""Show the settings of each method that were tried, and which of them was chosen."""

from collections.abc import Mapping, Sequence

from clinical_symile.formatting import format_value
from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section
from clinical_symile.reporting.text.labels import metric_label
from clinical_symile.tracking.benchmark_tables import TriedSetting


def draw_settings(
    *, settings: Sequence[TriedSetting], methods_by_task: Mapping[str, Series]
) -> Content | None:
    """Draw a table of the settings; None where none was tried."""
    if not settings:
        return None
    body = []
    for row in settings:
        method = methods_by_task.get(row.task)
        changes = ", ".join(f"{field} = {value}" for field, value in row.changes.items())
        body.append(
            [
                method.method if method else row.task,
                changes or "as defined",
                metric_label(row.metric),
                format_value(row.value, row.metric, exact=True),
                f"{row.epoch} of {row.epochs}",
                "yes" if row.is_best else "",
            ]
        )
    head = ["method", "setting", "metric", "on tuning samples", "best epoch", "chosen"]
    epochs = sum(row.epochs for row in settings)
    seeds = dict.fromkeys(str(row.seed) for row in settings)
    return Content(
        heading="Which setting of each method was chosen?",
        text=f"The budget was {len(settings)} trainings with {epochs} epochs in all, and each is "
        f"in the table. Each setting was trained once, with seed {', '.join(seeds)}, and the best "
        "on the tuning samples was kept. Held-out samples had no part in this. A best epoch that "
        "is the last one says that training had not converged.",
        panels=[ReportPanel("Settings that were tried", None, head, body)],
    )


SETTINGS = Section(
    "settings",
    ("settings", "methods_by_task"),
    draw_settings,
    display_name="settings",
    description="Shows the settings of each method that were tried, and which was chosen.",
)
