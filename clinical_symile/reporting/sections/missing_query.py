"""Compare the rules by which a product score treats a missing query modality."""

from collections.abc import Sequence

from clinical_symile.formatting import DASH, format_value, is_percentage
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.figures.picture import Legend
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    picture_name,
    result_cell,
)
from clinical_symile.reporting.text.labels import (
    ORACLE_LABEL,
    metric_label,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.results import Result

_RULE_LABELS = {
    "marginalize": "mean over a bank",
    "mean_bank": "mean vector",
    "drop": "factor left out",
}


def draw_missing_query(
    *,
    results_by_rule: Sequence[Result],
    scores: ResultTable,
    tasks: TaskTables,
    series: Sequence[Series],
    has_oracle: bool,
) -> Content | None:
    """Draw the same retrieval by each rule for a missing query modality."""
    panels = rule_panels(results_by_rule, scores, tasks=tasks, series=series)
    if not panels:
        return None
    used = dict.fromkeys(row.missing_query for row in results_by_rule)
    return Content(
        heading="How does a product score treat a missing query modality?",
        text="Symile scores a candidate by a product, which needs every modality. “Mean over a "
        "bank” averages exp(score) over train embeddings of the missing modality; it is the "
        "default. “Mean vector” puts their mean in its place. “Factor left out” drops it from the "
        "product, as the authors' code does. The model is the same in all three: only the scoring "
        "differs.",
        panels=panels,
        legend=Legend(
            [
                (number, label)
                for number, (rule, label) in enumerate(_RULE_LABELS.items())
                if rule in used
            ],
            best=ORACLE_LABEL * has_oracle,
            dotted="the chance level",
        ),
    )


MISSING_QUERY = Section(
    "missing_query",
    ("results_by_rule", "scores", "tasks", "series", "has_oracle"),
    draw_missing_query,
    display_name="missing query modality",
    description="Compares the rules by which a product score treats a missing query modality.",
)


def rule_panels(
    rows: Sequence[Result], scores: ResultTable, *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """Draw one panel for each task, one row for each pattern and run.

    Args:
        rows: the primary metric of each run, task and pattern by each rule.
        scores: all results, with those of the oracle where there is one.
        tasks: definitions.
        series: the runs.
    """
    panels = []
    for name, task in tasks.items():
        cells = {
            (row.run, row.missingness, row.missing_query): row
            for row in rows
            if (row.task, row.metric) == (name, task["primary"])
        }
        known = [one for one in series if any(run == one.run for run, _, _ in cells)]
        lines, body = [], []
        for pattern in scores.patterns(name):
            best = scores.best(name, pattern, task["primary"])
            chance = scores.chance(name, pattern, task["primary"])
            for one in known:
                found = [cells.get((one.run, pattern, rule)) for rule in _RULE_LABELS]
                marks = [
                    Mark(number, row.value, row.low, row.high)
                    for number, row in enumerate(found)
                    if row is not None
                ]
                if not marks:
                    continue
                label = pattern_label(pattern)
                if len(known) > 1:
                    label += f", {one.label}"
                lines.append(DotRow(label, marks, best, chance))
                numbers = [
                    DASH if value is None else format_value(value, task["primary"], exact=True)
                    for value in (best, chance)
                ]
                body.append([pattern_label(pattern), one.label, *map(result_cell, found), *numbers])
        if not lines:
            continue
        ends = [end for line in lines for mark in line.marks for end in (mark.low, mark.high)]
        ends += [end for line in lines for end in (line.best, line.chance) if end is not None]
        title = task_label(name, task)
        picture = dots(
            lines,
            name=picture_name("missing_query", name),
            title=f"{title} by rule, {metric_label(task['primary'])}; the table has the numbers",
            limits=(0.0, 1.0) if is_percentage(task["primary"]) else axis_limits(ends),
            percent=is_percentage(task["primary"]),
            x_label=metric_label(task["primary"]),
        )
        head = ["modalities", "run", *_RULE_LABELS.values(), ORACLE_LABEL, "chance"]
        panels.append(ReportPanel(title, picture, head, body))
    return panels
