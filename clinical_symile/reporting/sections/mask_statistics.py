"""Show what the drawn masks hide: how much, how often together, and depending on what."""

from collections.abc import Mapping

from clinical_symile.formatting import DASH, join_words
from clinical_symile.reporting.result_lookup import (
    ResultTable,
    TaskTables,
    declared_severity,
    depends_on_severity,
)
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section
from clinical_symile.reporting.text.labels import (
    modality_label,
    outcome_label,
    pattern_label,
    task_label,
)

_HEAD = (
    "modalities",
    "with all of them",
    "with none",
    "correlation of hiding",
    "slope",
    "AUROC of the mask alone",
    "worse end of severity",
)
_ARBITRARY = "arbitrary"


def draw_mask_statistics(*, scores: ResultTable, tasks: TaskTables) -> Content | None:
    """Show the statistics of each drawn mask in one table per task."""
    panels = mask_statistics_panels(scores, tasks=tasks)
    if not panels:
        return None
    return Content(
        heading="What do the masks hide?",
        text="The table has the shares of admissions with all and with none of their query "
        "modalities, and the correlation between the hiding of two modalities. It also has the "
        "slope of the log odds of hiding per standard deviation of what it depends on. The last "
        "column is how well the mask alone predicts the outcome. An admission with none is "
        "answered at chance level. Severity is the position of a measurement along the "
        "direction in which patients differ most. Where the cohort names an outcome that says "
        "which end is worse, the table has it. The table also says how well severity predicts "
        "it in the train split. An AUROC near 0.5 says hardly anything. Elsewhere the end that "
        "is hidden more often is arbitrary.",
        panels=panels,
    )


MASK_STATISTICS = Section(
    "mask_statistics",
    ("scores", "tasks"),
    draw_mask_statistics,
    display_name="statistics of the masks",
    description="Shows how much each mask hides, how often together, and what the hiding depends "
    "on.",
)


def mask_statistics_panels(scores: ResultTable, *, tasks: TaskTables) -> list[ReportPanel]:
    """Return one table for each task with drawn patterns, one row for each pattern."""
    panels = []
    for name, task in tasks.items():
        body = []
        for pattern in scores.patterns(name):
            found = [r.mask_statistics for r in scores.of(task=name, pattern=pattern)]
            numbers = next((one for one in found if one), None)
            if numbers is not None:
                body.append(
                    [pattern_label(pattern), *_cells(numbers), _worse_end(pattern, numbers)]
                )
        if body:
            panels.append(ReportPanel(f"{task_label(name, task)}: masks", None, _HEAD, body))
    return panels


def _cells(numbers: Mapping[str, float | None]) -> list[str]:
    """Return a row of the table without its heading."""
    return [
        _percent(numbers.get("whole_share")),
        _percent(numbers.get("empty_share")),
        _by_name(numbers, "correlation/"),
        _by_name(numbers, "slope/"),
        _decimal(numbers.get("auroc")),
    ]


def _worse_end(pattern: str, numbers: Mapping[str, float | None]) -> str:
    """Return the outcome that says which end of each modality's severity is worse."""
    if not depends_on_severity(pattern):
        return DASH
    declared = declared_severity(numbers)
    named = [
        f"{modality_label(name)}: {outcome_label(outcome)}, AUROC {_decimal(value)}"
        for name, (outcome, value) in declared.items()
    ]
    modalities = [name.removeprefix("slope/") for name in numbers if name.startswith("slope/")]
    others = [modality_label(name) for name in modalities if name not in declared]
    named += [f"{join_words(others)}: {_ARBITRARY}"] * bool(others)
    return "; ".join(named) or _ARBITRARY


def _by_name(numbers: Mapping[str, float | None], prefix: str) -> str:
    """Return the numbers of one statistic, each with the modalities that it is of."""
    known = {
        name.removeprefix(prefix): value
        for name, value in numbers.items()
        if name.startswith(prefix) and value is not None
    }
    named = [
        f"{join_words([modality_label(one) for one in name.split('-')])} {_decimal(value)}"
        for name, value in known.items()
    ]
    return "; ".join(named) or DASH


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{100 * value:.0f} %"


def _decimal(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"
