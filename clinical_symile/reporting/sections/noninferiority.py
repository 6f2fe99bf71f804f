"""Show the loss without a modality, and the largest loss that the data can rule out."""

from collections.abc import Iterable, Mapping, Sequence

from clinical_symile.formatting import (
    DASH,
    format_difference,
    format_difference_interval,
    format_p_value,
    is_percentage,
)
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
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
    pattern_label,
    task_label,
)
from clinical_symile.stats.equivalence import smallest_margin
from clinical_symile.tracking.results import Comparison


def draw_noninferiority(
    *,
    losses: Sequence[Comparison],
    scores: ResultTable,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    baselines: Mapping[str, str],
    has_oracle: bool,
) -> Content | None:
    """Draw the loss of each run without each modality."""
    panels = loss_panels(losses, scores, tasks=tasks, series=series)
    if not panels:
        return None
    has_margin = any(row.margin for row in losses)
    return Content(
        heading="What does a missing modality cost?",
        text="Each run without a modality minus the same run with all of them, on the same "
        "samples. “Costs less than”, in the table, is the loss that these data rule out at 2.5 %. "
        "If a larger loss was declared acceptable in advance, the run without the modality is "
        "non-inferior.",
        panels=panels,
        legend=method_legend(
            (one for one in methods if one.run not in baselines),
            best=ORACLE_LABEL * has_oracle,
            dotted="the margin set in advance" * has_margin,
        ),
    )


NONINFERIORITY = Section(
    "noninferiority",
    ("losses", "scores", "tasks", "series", "methods", "baselines", "has_oracle"),
    draw_noninferiority,
    display_name="cost of a missing modality",
    description=(
        "Shows the loss without each modality, and the largest loss that the data can rule out."
    ),
)


def loss_panels(
    losses: Iterable[Comparison],
    scores: ResultTable,
    *,
    tasks: TaskTables,
    series: Sequence[Series],
) -> list[ReportPanel]:
    """Draw one panel for each task, one row for each modality left out.

    Args:
        losses: of every run under every pattern.
        scores: all results, with those of the oracle where there is one.
        tasks: definitions.
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
            margin_line = None if margin is None else -margin
            lines.append(
                DotRow(
                    pattern_label(pattern),
                    marks,
                    None if best is None else sign * best,
                    margin_line,
                )
            )
        ends = [end for line in lines for mark in line.marks for end in mark.ends]
        ends += [line.best for line in lines if line.best is not None]
        ends += [0.0] if margin is None else [0.0, -margin]
        title = f"{task_label(name, task)}: loss without a modality"
        picture = dots(
            lines,
            name=picture_name("noninferiority", name),
            title=f"{title}, in {metric_label(task['primary'])}; the table has the numbers",
            limits=axis_limits(ends),
            percent=is_percentage(task["primary"]),
            sides=("loss", "gain"),
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
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def least_margin(row: Comparison, sign: int) -> float | None:
    """Return the smallest margin for which the run is non-inferior; None if unknown.

    A test of non-inferiority at 2.5 % succeeds for every larger margin. Tables of earlier versions
    have the standard error only.
    """
    if row.least_margin is not None or row.standard_error is None:
        return row.least_margin
    return smallest_margin(sign * row.difference, row.standard_error)


def _mark(row: Comparison, sign: int, family: int) -> Mark:
    return Mark(family, sign * row.difference, *_signed_ends(row, sign))


def _signed_ends(row: Comparison, sign: int) -> tuple[float | None, float | None]:
    if row.low is None or row.high is None:
        return None, None
    low, high = sorted((sign * row.low, sign * row.high))
    return low, high


def _best(scores: ResultTable, task: str, metric: str, pattern: str) -> float | None:
    complete, without = scores.best(task, "complete", metric), scores.best(task, pattern, metric)
    return None if complete is None or without is None else without - complete


def _cells(row: Comparison, sign: int) -> list[str]:
    least, metric = least_margin(row, sign), row.metric
    return [
        format_difference(sign * row.difference, metric),
        format_difference_interval(*_signed_ends(row, sign), metric),
        DASH if least is None else format_difference(least, metric, signed=False),
        format_p_value(row.p_holm),
        row.verdict or DASH,
    ]
