"""Show the primary metric in groups of patients, with gaps and their tests."""

from collections.abc import Sequence

from clinical_symile.formatting import (
    DASH,
    format_count,
    format_difference,
    format_interval,
    format_p_value,
    format_value,
    is_percentage,
    join_words,
)
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    method_legend,
    picture_name,
)
from clinical_symile.reporting.text.labels import (
    ORACLE_LABEL,
    metric_label,
    modality_label,
    task_label,
)
from clinical_symile.tracking.analysis_tables import RunAnalysis, SubgroupResult


def draw_subgroups(
    *,
    analysis: RunAnalysis,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    has_oracle: bool,
) -> Content | None:
    """Draw the primary metric of each group of patients."""
    panels = subgroup_panels(analysis, tasks=tasks, series=series)
    if not panels:
        return None
    return Content(
        heading="Is performance the same in all groups?",
        text="The primary metric by group, with nothing missing. Groups by available modalities "
        "hold all patients, as recorded. p (Holm) adjusts for all gaps of a run on the task. "
        "Groups of fewer than ten subjects, or with fewer than ten subjects with or without the "
        "outcome, are withheld. The next smallest group is withheld too, until all withheld groups "
        "together have ten. A gap compares a group with the other groups that are not withheld.",
        panels=panels,
        legend=method_legend(methods, best=ORACLE_LABEL * has_oracle),
    )


SUBGROUPS = Section(
    "subgroups",
    ("analysis", "tasks", "series", "methods", "has_oracle"),
    draw_subgroups,
    display_name="subgroups",
    description="Shows the primary metric in groups of patients, with gaps and their tests.",
)


def subgroup_panels(
    analysis: RunAnalysis, *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """Draw one panel for each task, one row for each group, one mark for each run."""
    panels = []
    for name, task in tasks.items():
        rows = [
            row
            for row in analysis.subgroups
            if row.task == name and row.missingness in ("complete", "observed")
        ]
        rows = [
            row
            for row in rows
            if (row.subgroup == "availability") != (row.missingness == "complete")
        ]
        groups = dict.fromkeys((row.subgroup, row.level) for row in rows)
        lines, body = [], []
        for group in groups:
            of = {row.run: row for row in rows if (row.subgroup, row.level) == group}
            known = [(one, of[one.run]) for one in series if one.run in of]
            marks = [
                Mark(one.family, row.value, row.low, row.high)
                for one, row in known
                if row.value is not None and row.low is not None and row.high is not None
            ]
            oracle = of.get(ORACLE)
            lines.append(DotRow(_group(*group), marks, None if oracle is None else oracle.value))
            body += [[_group(*group), one.label, *_cells(row)] for one, row in known]
        drawn = [line for line in lines if line.marks]
        if not drawn:
            continue
        metric = rows[0].metric
        title = f"{task_label(name, task)}: by group of patients"
        ends = [end for line in drawn for mark in line.marks for end in mark.ends]
        picture = dots(
            drawn,
            name=picture_name("subgroups", name),
            title=f"{title}, {metric_label(metric)}; the table has the numbers",
            limits=(0.0, 1.0) if is_percentage(metric) else axis_limits(ends),
            percent=is_percentage(metric),
        )
        head = ["group", "run", metric_label(metric), "gap to the others", "p (Holm)", "samples"]
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def _group(subgroup: str, level: str) -> str:
    if subgroup == "availability":
        return f"has {join_words([modality_label(name) for name in level.split('+')])}"
    return f"{subgroup.replace('_', ' ')}: {level}"


def _cells(row: SubgroupResult) -> list[str]:
    if row.value is None or row.n_samples is None:
        return ["withheld: too few", "", "", ""]
    value = format_value(row.value, row.metric, exact=True)
    if row.low is not None and row.high is not None:
        value += f" ({format_interval(row.low, row.high, row.metric, exact=True)})"
    gap = DASH if row.gap is None else format_difference(row.gap, row.metric)
    return [value, gap, format_p_value(row.p_holm), format_count(row.n_samples)]
