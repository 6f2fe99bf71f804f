"""Show calibration: predicted risks against observed frequencies, and calibration slopes."""

from collections.abc import Iterable, Mapping, Sequence

from clinical_symile.formatting import DASH, capitalize_first, format_interval, format_value
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.figures.line_chart import Line, curves
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    method_legend,
    picture_name,
    task_title,
)
from clinical_symile.reporting.text.labels import pattern_label
from clinical_symile.tracking.analysis_tables import CalibrationBin, Measure, RunAnalysis


def draw_calibration(
    *,
    analysis: RunAnalysis,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
) -> Content | None:
    """Draw a calibration curve for each outcome."""
    panels = calibration_panels(analysis, tasks=tasks, series=series)
    if not panels:
        return None
    return Content(
        heading="Are the predicted risks correct?",
        text="Patients in ten groups of equal size, by predicted risk. Of patients with a "
        "predicted risk of 20 %, 20 in a hundred should have the outcome: the straight line. A "
        "slope of 1 is right; below 1, risks are too extreme."
        + "".join(f" {sentence}" for sentence in unlucky_slopes(analysis.measures, tasks=tasks)),
        panels=panels,
        legend=method_legend(methods),
    )


CALIBRATION = Section(
    "calibration",
    ("analysis", "tasks", "series", "methods"),
    draw_calibration,
    display_name="calibration",
    description="Shows predicted risks against observed frequencies, and calibration slopes.",
)


def calibration_panels(
    analysis: RunAnalysis, *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """Draw curves with nothing missing; the table has the slope under every pattern."""
    panels = []
    for name, part in dict.fromkeys((row.task, row.part) for row in analysis.measures):
        if name not in tasks:
            continue
        lines = []
        for one in series:
            points = _curve(analysis.calibration, name, part, one.run)
            if points:
                x, y = zip(*points, strict=True)
                lines.append(Line(one.family, one.style, x, y))
        body = _slopes(analysis, name, part, series)
        if not body:
            continue
        title = f"{task_title(tasks, name, part)}: predicted and observed"
        head = ["modalities", "run", "slope", "95 % interval", "after recalibration"]
        picture = None  # where every bin has too few subjects
        if lines:
            picture = curves(
                lines,
                name=picture_name("calibration", name, part or ""),
                title=f"{title}, in per cent of patients",
                x_label="predicted risk, per cent (upwards: observed)",
                identity=True,
            )
        panels.append(ReportPanel(title, picture, head, body))
    return panels


def unlucky_slopes(measures: Iterable[Measure], *, tasks: TaskTables) -> list[str]:
    """Return a sentence for each outcome whose oracle has a slope significantly different from 1.

    The risks of the oracle are the true probabilities, so that its slope differs from 1 by the
    choice of the held-out subjects alone.
    """
    return [
        f"{capitalize_first(task_title(tasks, row.task, row.part))}: the oracle knows the true "
        f"risks, and its slope on these patients is {format_value(row.value, 'slope')} "
        f"({format_interval(row.low, row.high, 'slope')}). By chance, this split is unlucky: "
        "compare the slopes of runs with this one, not with 1."
        for row in measures
        if (row.run, row.missingness, row.measure) == (ORACLE, "complete", "calibration/slope")
        and row.task in tasks
        and row.low is not None
        and row.high is not None
        and not row.low <= 1 <= row.high
    ]


def _curve(
    bins: Iterable[CalibrationBin], task: str, part: str | None, run: str
) -> list[tuple[float, float]]:
    return [
        (100 * row.predicted, 100 * row.observed)
        for row in bins
        if (row.task, row.part, row.run, row.missingness) == (task, part, run, "complete")
        and not row.recalibrated
        and row.predicted is not None
        and row.observed is not None
    ]


def _slopes(
    analysis: RunAnalysis, task: str, part: str | None, series: Sequence[Series]
) -> list[list[str]]:
    found = {
        (row.run, row.missingness, row.measure): row
        for row in analysis.measures
        if (row.task, row.part) == (task, part)
    }
    return [
        _slope_cells(found, one, pattern)
        for pattern in dict.fromkeys(pattern for _, pattern, _ in found)
        for one in series
        if (one.run, pattern, "calibration/slope") in found
    ]


def _slope_cells(
    found: Mapping[tuple[str, str, str], Measure], one: Series, pattern: str
) -> list[str]:
    slope = found[one.run, pattern, "calibration/slope"]
    recalibrated = found.get((one.run, pattern, "recalibrated/slope"))
    ends = DASH
    if slope.low is not None and slope.high is not None:
        ends = format_interval(slope.low, slope.high, "slope")
    return [
        pattern_label(pattern),
        one.label,
        format_value(slope.value, "slope"),
        ends,
        format_value(None if recalibrated is None else recalibrated.value, "slope"),
    ]
