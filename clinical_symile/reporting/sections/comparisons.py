"""Show paired differences between methods, each with its interval and test."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from clinical_symile.formatting import (
    format_difference,
    format_difference_interval,
    format_nested_counts,
    format_p_value,
    is_percentage,
    join_words,
)
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section, picture_name
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.results import Comparison, is_significant


def draw_differences(
    *,
    comparisons: Sequence[Comparison],
    tasks: TaskTables,
    series: Sequence[Series],
    baselines: Mapping[str, str],
) -> Content | None:
    """Draw the differences between runs, and below them those between runs and baselines."""
    with_baseline = [row for row in comparisons if {row.run, row.baseline} & baselines.keys()]
    others = [row for row in comparisons if row not in with_baseline]
    panels = difference_panels(others, tasks=tasks, series=series)
    more = difference_panels(with_baseline, tasks=tasks, series=series)
    if not panels and not more:
        return None
    families = dict.fromkeys(row.family for row in comparisons if row.family)
    named = f" ({join_words([str(name) for name in families])})" if families else ""
    return Content(
        heading="Which run is better, and how certain is that?",
        text=Markup(
            "Two runs on the same samples. A point is the difference between them, the line its "
            "95 % confidence interval from a paired bootstrap over subjects. Where the line "
            "touches zero, these data do not tell which run is better. Among many comparisons some "
            "lines miss zero by chance. p (Holm) adjusts for all of them{}. Only a run with "
            "p below 0.05 is called better. <code>comparisons.jsonl</code> names the test of each "
            "p-value."
        ).format(named),
        panels=panels,
        caption="The colour is that of the better run; grey where these data do not tell.",
        more=more,
        more_summary="Each run against each baseline",
    )


DIFFERENCES = Section(
    "differences",
    ("comparisons", "tasks", "series", "baselines"),
    draw_differences,
    display_name="paired differences",
    description="Shows the differences between methods, each with its interval and test.",
)


def difference_panels(
    comparisons: Iterable[Comparison], *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """Draw one panel for each pair of methods on a task: a row per pattern, a mark per seed.

    Args:
        comparisons: those with the same metric share an axis.
        tasks: definitions.
        series: the runs.
    """
    comparisons, by_run = list(comparisons), {one.run: one for one in series}
    sizes = format_nested_counts(row.n_samples for row in comparisons)
    panels = []
    for name, task in tasks.items():
        pairs: dict[tuple[str, str], list[Comparison]] = {}
        for row in comparisons:
            known = {row.run, row.baseline} <= by_run.keys()
            if known and (row.task, row.metric) == (name, task["primary"]):
                pair = (by_run[row.run].method, by_run[row.baseline].method)
                pairs.setdefault(pair, []).append(row)
        same = [row for row in comparisons if row.metric == task["primary"]]
        reach = max(
            abs(end)
            for end in axis_limits(
                [end for r in same for end in (r.low, r.high, r.difference) if end is not None]
            )
        )
        for pair, rows in pairs.items():
            panels.append(_panel(rows, pair, name, task, by_run, sizes, reach=reach))
    return panels


def _panel(
    rows: Sequence[Comparison],
    pair: tuple[str, str],
    name: str,
    task: Mapping[str, Any],
    by_run: Mapping[str, Series],
    sizes: Mapping[int, str],
    *,
    reach: float,
) -> ReportPanel:
    metric, one, other = task["primary"], *pair
    patterns = list(dict.fromkeys(row.missingness for row in rows))
    patterns.sort(key=lambda pattern: (pattern != "complete", pattern == "observed"))
    ordered = [row for pattern in patterns for row in rows if row.missingness == pattern]

    title = f"{task_label(name, task)}: {one} or {other}?"
    right, left = (one, other) if task["higher_is_better"] else (other, one)
    picture = dots(
        [
            DotRow(
                pattern_label(pattern),
                [
                    Mark(_better(row, task, by_run), row.difference, row.low, row.high)
                    for row in rows
                    if row.missingness == pattern
                ],
            )
            for pattern in patterns
        ],
        name=picture_name("differences", name, one, "or", other),
        title=f"{title} Differences of {metric_label(metric)}; the table has the numbers",
        limits=(-reach, reach),
        percent=is_percentage(metric),
        sides=(f"{left} is better", f"{right} is better"),
    )
    body = [
        [
            pattern_label(row.missingness),
            f"{by_run[row.run].label} \N{MINUS SIGN} {by_run[row.baseline].label}",
            format_difference(row.difference, metric),
            format_difference_interval(row.low, row.high, metric),
            format_p_value(row.p_value),
            format_p_value(row.p_holm),
            sizes[row.n_samples],
        ]
        for row in ordered
    ]
    unit = "points" if is_percentage(metric) else metric_label(metric)
    head = [
        "modalities",
        "runs",
        f"difference ({unit})",
        "95 % interval",
        "p",
        "p (Holm)",
        "samples",
    ]
    return ReportPanel(title, picture, head, body)


def _better(row: Comparison, task: Mapping[str, Any], by_run: Mapping[str, Series]) -> int | None:
    """Return the family of the better run; None if neither is better after adjustment."""
    if is_significant(row):
        run = row.run if (row.difference > 0) == task["higher_is_better"] else row.baseline
        return by_run[run].family
    return None
