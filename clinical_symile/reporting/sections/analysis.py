"""What modalities are worth, whether risks mean what they say, and how groups of patients fare."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

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
from clinical_symile.registry import BASELINES
from clinical_symile.reporting.figures.charts import Line, Mark, Row, curves, dots, limits
from clinical_symile.reporting.result_lookup import ORACLE, Series
from clinical_symile.reporting.sections.overview import Panel, Tasks
from clinical_symile.reporting.text.labels import (
    metric_label,
    modality_label,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.analysis_tables import (
    CalibrationBin,
    ModalityValue,
    RunAnalysis,
    SubgroupResult,
)

WHOLE = "complete"


def modality_values(told: RunAnalysis, *, tasks: Tasks, series: Sequence[Series]) -> list[Panel]:
    """Shapley values and interactions, a line for each, with a mark for each run."""
    panels = []
    for name, task in tasks.items():
        rows = [row for row in told.modality_value if row.task == name]
        keys = [
            (quantity, which)
            for quantity in ("shapley", "interaction")
            for which in dict.fromkeys(r.modalities for r in rows if r.quantity == quantity)
        ]
        if not keys:
            continue
        metric = rows[0].metric
        # A baseline answers some kinds of task only; a run that was not scored is told to be.
        here = {row.run for row in rows}
        asked = [one for one in series if one.run in here or one.run not in BASELINES]
        lines, body = [], []
        for key in keys:
            of = [row for row in rows if (row.quantity, row.modalities) == key]
            best = next((row.value for row in of if row.run == ORACLE), None)
            marks = [
                Mark(one.family, row.value, row.low, row.high)
                for one in asked
                for row in of
                if row.run == one.run
            ]
            lines.append(Row(_quantity(*key), marks, best))
            body.append([_quantity(*key), *_values(of, asked, metric), _signed(best, metric)])
        drawn = [line for line in lines if line.marks]
        if not drawn:  # known of runs only that are not of this page's pictures
            continue
        ends = [end for row in rows for end in (row.low, row.high, 0.0)]
        reach = max(abs(end) for end in limits(ends))
        title = f"{task_label(name, task)}: what each is worth"
        picture = dots(
            drawn,
            name=f"worth-{len(panels)}",
            title=f"{title}, in {metric_label(metric)}; the table has the numbers",
            limits=(-reach, reach),
            percent=is_percentage(metric),
            sides=("costs", "is worth"),
        )
        head = ["", *(one.label for one in asked), "best possible"]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def calibrations(told: RunAnalysis, *, tasks: Tasks, series: Sequence[Series]) -> list[Panel]:
    """Predicted and observed frequency with nothing missing; the numbers under every pattern."""
    panels = []
    parts = dict.fromkeys((row.task, row.part) for row in told.measures)
    for name, part in parts:
        if name not in tasks:
            continue
        lines = []
        for one in series:
            points = _curve(told.calibration, name, part, one.run)
            if points:
                x, y = zip(*points, strict=True)
                lines.append(Line(one.family, one.style, x, y))
        body = _calibration_table(told, name, part, series)
        if not body:
            continue
        what = f" ({part.replace('_', ' ')})" if part else ""
        title = f"{task_label(name, tasks[name])}{what}: told and come true"
        head = ["modalities", "run", "slope", "95 % interval", "after recalibration"]
        picture = ""  # where all bins are of too few people
        if lines:
            picture = curves(
                lines,
                name=f"calibration-{len(panels)}",
                title=f"{title}, in per cent of patients",
                x_label="predicted risk, per cent (upwards: observed)",
                identity=True,
            )
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def subgroups(told: RunAnalysis, *, tasks: Tasks, series: Sequence[Series]) -> list[Panel]:
    """Each group of patients, with a mark for each run, with nothing missing."""
    panels = []
    for name, task in tasks.items():
        rows = [
            row
            for row in told.subgroups
            if row.task == name and row.missingness in (WHOLE, "observed")
        ]
        rows = [
            row for row in rows if (row.subgroup == "availability") != (row.missingness == WHOLE)
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
            lines.append(Row(_group(*group), marks, None if oracle is None else oracle.value))
            body += [[_group(*group), one.label, *_group_cells(row)] for one, row in known]
        shown = [line for line in lines if line.marks]
        if not shown:
            continue
        metric = rows[0].metric
        title = f"{task_label(name, task)}: by group of patients"
        ends = [end for line in shown for mark in line.marks for end in (mark.low, mark.high)]
        picture = dots(
            shown,
            name=f"groups-{len(panels)}",
            title=f"{title}, {metric_label(metric)}; the table has the numbers",
            limits=(0.0, 1.0) if is_percentage(metric) else limits(ends),
            percent=is_percentage(metric),
        )
        head = ["group", "run", metric_label(metric), "gap to the others", "p (Holm)", "samples"]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def _quantity(quantity: str, which: str) -> str:
    words = join_words([modality_label(name) for name in which.split("+")])
    return words if quantity == "shapley" else f"{words}, together"


def _values(of: Iterable[ModalityValue], series: Sequence[Series], metric: str) -> list[str]:
    by_run = {row.run: row for row in of}
    cells = []
    for one in series:
        row = by_run.get(one.run)
        cells.append(
            "not scored"
            if row is None
            else f"{_signed(row.value, metric)} ({_signed(row.low, metric)} to "
            f"{_signed(row.high, metric)})"
        )
    return cells


def _signed(value: float | None, metric: str) -> str:
    return DASH if value is None else format_difference(value, metric)


def _curve(
    bins: Iterable[CalibrationBin], task: str, part: str | None, run: str
) -> list[tuple[float, float]]:
    return [
        (100 * row.predicted, 100 * row.observed)
        for row in bins
        if (row.task, row.part, row.run, row.missingness) == (task, part, run, WHOLE)
        and not row.recalibrated
        and row.predicted is not None
        and row.observed is not None
    ]


def _calibration_table(
    told: RunAnalysis, task: str, part: str | None, series: Sequence[Series]
) -> list[list[str]]:
    found = {
        (row.run, row.missingness, row.measure): row
        for row in told.measures
        if (row.task, row.part) == (task, part)
    }
    body = []
    for pattern in dict.fromkeys(pattern for _, pattern, _ in found):
        for one in series:
            slope = found.get((one.run, pattern, "calibration/slope"))
            if slope is None:
                continue
            mended = found.get((one.run, pattern, "recalibrated/slope"))
            ends = DASH
            if slope.low is not None and slope.high is not None:
                ends = format_interval(slope.low, slope.high, "slope")
            body.append(
                [
                    pattern_label(pattern),
                    one.label,
                    format_value(slope.value, "slope"),
                    ends,
                    format_value(None if mended is None else mended.value, "slope"),
                ]
            )
    return body


def _group(subgroup: str, level: str) -> str:
    if subgroup == "availability":
        return f"has {join_words([modality_label(name) for name in level.split('+')])}"
    return f"{subgroup.replace('_', ' ')}: {level}"


def _group_cells(row: SubgroupResult) -> list[str]:
    if row.value is None or row.n_samples is None:
        return ["withheld: too few", "", "", ""]
    value = format_value(row.value, row.metric, exact=True)
    if row.low is not None and row.high is not None:
        value += f" ({format_interval(row.low, row.high, row.metric, exact=True)})"
    return [
        value,
        _signed(row.gap, row.metric),
        format_p_value(row.p_holm),
        format_count(row.n_samples),
    ]
