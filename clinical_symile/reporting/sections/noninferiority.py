"""What leaving a modality out costs, and how small a cost these data can rule out."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup
from scipy.special import ndtri

from clinical_symile.formatting import DASH, format_difference, format_p_value, is_percentage
from clinical_symile.reporting.figures.charts import Mark, Row, dots, limits
from clinical_symile.reporting.result_lookup import ResultTable, Series
from clinical_symile.reporting.sections.overview import Panel, Tasks
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.stats.equivalence import ALPHA
from clinical_symile.tracking.results import Comparison

WHOLE = "complete"


def costs(
    losses: Iterable[Comparison], scores: ResultTable, *, tasks: Tasks, series: Sequence[Series]
) -> list[Panel]:
    """Each run without a modality minus the same run with all of them, on the same samples.

    Args:
        losses: of every run under every pattern.
        scores: all results, with those of the oracle where there is one.
        tasks: what was asked.
        series: the runs.
    """
    losses, panels = list(losses), []
    for name, task in tasks.items():
        sign = 1 if task["higher_is_better"] else -1
        of = [
            row
            for row in losses
            if (row.task, row.metric) == (name, task["primary"])
            and row.missingness.startswith("without-")
        ]
        by_cell = {(row.run, row.missingness): row for row in of}
        known = [one for one in series if any(row.run == one.run for row in of)]
        patterns = list(dict.fromkeys(row.missingness for row in of))
        if not known:
            continue
        margins = {row.margin for row in of}
        margin = margins.pop() if len(margins) == 1 else None
        lines = []
        for pattern in patterns:
            marks = [
                _mark(row, sign, one.family)
                for one in known
                if (row := by_cell.get((one.run, pattern))) is not None
            ]
            best = _best(scores, name, task["primary"], pattern)
            dotted = None if margin is None else -margin
            lines.append(
                Row(pattern_label(pattern), marks, None if best is None else sign * best, dotted)
            )
        ends = [end for line in lines for mark in line.marks for end in (mark.low, mark.high)]
        ends += [line.best for line in lines if line.best is not None]
        ends += [0.0] if margin is None else [0.0, -margin]
        title = f"{task_label(name, task)}: what it costs to do without"
        picture = dots(
            lines,
            name=f"costs-{len(panels)}",
            title=f"{title}, in {metric_label(task['primary'])}; the table has the numbers",
            limits=limits(ends),
            percent=is_percentage(task["primary"]),
            sides=("costs", "gains"),
        )
        body = [
            [pattern_label(pattern), one.label, *_cells(row, sign)]
            for pattern in patterns
            for one in known
            if (row := by_cell.get((one.run, pattern))) is not None
        ]
        unit = "points" if is_percentage(task["primary"]) else metric_label(task["primary"])
        head = ["modalities", "run", f"difference ({unit})", "95 % interval", "costs less than"]
        head.append("p (Holm)")
        if margin is not None:
            head.append(f"within {format_difference(margin, task['primary'], signed=False)}")
        body = body if margin is not None else [row[:-1] for row in body]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def least_margin(row: Comparison, sign: int) -> float | None:
    """The smallest margin within which these data show that no more is lost; None if unknown.

    It is the end of the 95 % normal interval: a test of non-inferiority at 2.5 % succeeds for
    every margin above it.
    """
    if row.standard_error is None:
        return None
    return max(0.0, float(-ndtri(ALPHA)) * row.standard_error - sign * row.difference)


def _mark(row: Comparison, sign: int, family: int) -> Mark:
    low, high = sorted((sign * row.low, sign * row.high))
    return Mark(family, sign * row.difference, low, high)


def _best(scores: ResultTable, task: str, metric: str, pattern: str) -> float | None:
    whole, without = scores.best(task, WHOLE, metric), scores.best(task, pattern, metric)
    return None if whole is None or without is None else without - whole


def _cells(row: Comparison, sign: int) -> list[str]:
    least, metric = least_margin(row, sign), row.metric
    low, high = sorted((sign * row.low, sign * row.high))
    return [
        format_difference(sign * row.difference, metric),
        f"{format_difference(low, metric)} to {format_difference(high, metric)}",
        DASH if least is None else format_difference(least, metric, signed=False),
        format_p_value(row.p_holm),
        row.verdict or DASH,
    ]
