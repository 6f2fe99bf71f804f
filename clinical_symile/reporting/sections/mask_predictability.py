"""Show how well the missingness mask alone predicts an outcome."""

from collections.abc import Sequence

from clinical_symile.formatting import DASH, format_interval, format_value
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.result_lookup import ResultTable, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    method_legend,
    picture_name,
)
from clinical_symile.reporting.text.labels import metric_label, outcome_label, pattern_label
from clinical_symile.tracking.benchmark_tables import MaskAuroc


def draw_mask_predictability(
    *, masks: Sequence[MaskAuroc], scores: ResultTable, tasks: TaskTables
) -> Content | None:
    """Draw how well the missingness mask alone predicts each outcome."""
    panels = mask_predictability_panels(masks, scores, tasks=tasks)
    if not panels:
        return None
    return Content(
        heading="Does the missingness mask reveal the outcome?",
        text="The AUROC of the outcome, predicted from which modalities are missing and nothing "
        "else. At 0.5 the mask says nothing. A run that scores no higher may have read no "
        "measurement. A mask that is drawn completely at random must lie at 0.5.",
        panels=panels,
        legend=method_legend((), dotted="the mask says nothing"),
    )


MASK_PREDICTABILITY = Section(
    "mask_predictability",
    ("masks", "scores", "tasks"),
    draw_mask_predictability,
    display_name="predictability from the mask",
    description="Shows how well the missingness mask alone predicts each outcome.",
)


def mask_predictability_panels(
    rows: Sequence[MaskAuroc], scores: ResultTable, *, tasks: TaskTables
) -> list[ReportPanel]:
    """Draw one panel for each outcome, one row for each drawn pattern.

    Args:
        rows: the AUROC of each pattern's mask.
        scores: all results: a run that scores no higher may have read no measurement.
        tasks: definitions.
    """
    panels = []
    for name, part in dict.fromkeys((row.task, row.part) for row in rows):
        if name not in tasks:
            continue
        of = [row for row in rows if (row.task, row.part) == (name, part)]
        outcome = outcome_label(part or tasks[name]["outcome"])
        title = f"Predict {outcome} from the missingness mask alone"
        picture = dots(
            [
                DotRow(
                    pattern_label(row.missingness),
                    [Mark(None, row.value, row.low, row.high)],
                    chance=0.5,
                )
                for row in of
            ],
            name=picture_name("mask_predictability", name, part or ""),
            title=f"{title}: AUROC; the table has the numbers",
            limits=(min(0.4, *(row.low for row in of)), max(0.7, *(row.high for row in of))),
            x_label=metric_label("auroc"),
        )
        body = [
            [
                pattern_label(row.missingness),
                f"{format_value(row.value, 'auroc', exact=True)} "
                f"({format_interval(row.low, row.high, 'auroc', exact=True)})",
                DASH if row.expected is None else format_value(row.expected, "auroc", exact=True),
                _lowest_auroc(scores, name, row.missingness),
            ]
            for row in of
        ]
        head = ["modalities", "from the mask alone", "expected", "lowest AUROC of a run"]
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def _lowest_auroc(scores: ResultTable, task: str, pattern: str) -> str:
    rows = scores.of(task=task, pattern=pattern, metric="auroc")
    return format_value(min((row.value for row in rows), default=None), "auroc", exact=True)
