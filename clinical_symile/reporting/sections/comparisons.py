"""Which of two methods is better: pictures of paired differences, each with its table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from clinical_symile.formatting import (
    format_count,
    format_difference,
    format_p_value,
    is_percentage,
)
from clinical_symile.reporting.figures.charts import Mark, Row, dots, limits
from clinical_symile.reporting.result_lookup import Series
from clinical_symile.reporting.sections.overview import Panel, Tasks
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.results import Comparison, is_significant


def differences(
    comparisons: Iterable[Comparison], *, tasks: Tasks, series: Sequence[Series], slug: str
) -> list[Panel]:
    """Two methods on a task: a line for each pattern, with a mark for each seed.

    Args:
        comparisons: those of the same metric share an axis.
        tasks: what was asked.
        series: who was asked.
        slug: begins the name of each picture, unique in a page.
    """
    comparisons, by_run = list(comparisons), {one.run: one for one in series}
    panels = []
    for name, task in tasks.items():
        pairs: dict[tuple[str, str], list[Comparison]] = {}
        for row in comparisons:
            known = {row.run, row.baseline} <= by_run.keys()
            if known and (row.task, row.metric) == (name, task["primary"]):
                pair = (by_run[row.run].method, by_run[row.baseline].method)
                pairs.setdefault(pair, []).append(row)
        same = [row for row in comparisons if row.metric == task["primary"]]
        reach = max(abs(end) for end in limits([end for r in same for end in (r.low, r.high)]))
        for pair, rows in pairs.items():
            own = f"{slug}-{len(panels)}"
            panels.append(_difference(rows, pair, name, task, by_run, slug=own, reach=reach))
    return panels


def _difference(
    rows: Sequence[Comparison],
    pair: tuple[str, str],
    name: str,
    task: Mapping[str, Any],
    by_run: Mapping[str, Series],
    *,
    slug: str,
    reach: float,
) -> Panel:
    metric, one, other = task["primary"], *pair
    patterns = list(dict.fromkeys(row.missingness for row in rows))
    patterns.sort(key=lambda pattern: (pattern != "complete", pattern == "observed"))
    ordered = [row for pattern in patterns for row in rows if row.missingness == pattern]

    title = f"{task_label(name, task)}: {one} or {other}?"
    right, left = (one, other) if task["higher_is_better"] else (other, one)
    picture = dots(
        [
            Row(
                pattern_label(pattern),
                [
                    Mark(_better(row, task, by_run), row.difference, row.low, row.high)
                    for row in rows
                    if row.missingness == pattern
                ],
            )
            for pattern in patterns
        ],
        name=slug,
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
            f"{format_difference(row.low, metric)} to {format_difference(row.high, metric)}",
            format_p_value(row.p_value),
            format_p_value(row.p_holm),
            format_count(row.n_samples),
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
    return Panel(title, Markup(picture), head, body)


def _better(row: Comparison, task: Mapping[str, Any], by_run: Mapping[str, Series]) -> int | None:
    """The family of the better one; None if neither is, after adjusting for all comparisons."""
    if is_significant(row):
        run = row.run if (row.difference > 0) == task["higher_is_better"] else row.baseline
        return by_run[run].family
    return None
