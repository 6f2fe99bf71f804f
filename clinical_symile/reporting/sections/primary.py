"""Show the comparisons that were set before results were known."""

from collections.abc import Mapping, Sequence

from clinical_symile.formatting import (
    format_difference,
    format_difference_interval,
    format_p_value,
    is_percentage,
)
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.benchmark_tables import MethodComparison
from clinical_symile.tracking.results import Comparison


def draw_primary(
    *,
    primary: Sequence[str],
    comparisons: Sequence[Comparison],
    methods_compared: Sequence[MethodComparison],
    methods_by_task: Mapping[str, Series],
    baselines: Mapping[str, str],
    tasks: TaskTables,
) -> Content | None:
    """Draw a table for each primary comparison: every pair, the smallest p-value first."""
    trained = [row for row in comparisons if not {row.run, row.baseline} & baselines.keys()]
    methods = {name: one.method for name, one in methods_by_task.items()}
    runs = {name: one.label for name, one in methods_by_task.items()}
    panels = []
    for name in primary:
        task, _, pattern = name.partition(":")
        if task not in tasks:
            continue
        metric, cell = str(tasks[task]["primary"]), (task, pattern)
        rows = _tested(methods_compared, methods, cell, metric)
        rows = rows or _tested(trained, runs, cell, metric)
        if rows:
            title = f"{task_label(task, tasks[task])}, {pattern_label(pattern)}"
            unit = ", points" if is_percentage(metric) else ""
            head = ["pair", f"difference{unit}", "95 % interval", "p", "p (Holm)", "seeds"]
            panels.append(ReportPanel(f"{title}: {metric_label(metric)}", None, head, rows))
    if not panels:
        return None
    return Content(
        heading="What was the study set to answer, and what did it find?",
        text="These comparisons were set as primary before results were known. Their p-values are "
        "adjusted by Holm's method for each other alone, so that what else is looked at costs them "
        "no power. All other comparisons are a family of their own. A pair differs if its interval "
        "excludes 0 and p (Holm) is below 0.05.",
        panels=panels,
        caption="The first of a pair minus the second; a mean over seeds where methods have "
        "several, with an interval over subjects and seeds.",
    )


PRIMARY = Section(
    "primary",
    ("primary", "comparisons", "methods_compared", "methods_by_task", "baselines", "tasks"),
    draw_primary,
    display_name="primary comparisons",
    description="Lists every pair of methods in the comparisons that were set beforehand.",
)


def _tested(
    rows: Sequence[Comparison] | Sequence[MethodComparison],
    labels: Mapping[str, str],
    cell: tuple[str, str],
    metric: str,
) -> list[list[str]]:
    """Return the cells of each comparison of a task under a pattern, by its p-value."""
    named = [
        (row, row.method if isinstance(row, MethodComparison) else row.run)
        for row in rows
        if (row.task, row.missingness, row.metric) == (*cell, metric)
    ]
    found = [
        (row.p_value, _cells(row, labels[name], labels[row.baseline]))
        for row, name in named
        if {name, row.baseline} <= labels.keys()
    ]
    return [cells for _, cells in sorted(found, key=lambda pair: (pair[0] is None, pair[0]))]


def _cells(row: Comparison | MethodComparison, one: str, other: str) -> list[str]:
    counts = (row.n_seeds, row.n_baseline_seeds) if isinstance(row, MethodComparison) else ()
    return [
        f"{one} minus {other}",
        format_difference(row.difference, row.metric),
        format_difference_interval(row.low, row.high, row.metric),
        format_p_value(row.p_value),
        format_p_value(row.p_holm),
        " and ".join(map(str, dict.fromkeys(counts))),
    ]
