"""Show decision curves: the net benefit of acting on predicted risks."""

from collections.abc import Sequence

from clinical_symile.formatting import DASH, NO_INTERVAL, format_p_value, format_signed
from clinical_symile.missingness.severities import mechanism_rates
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
from clinical_symile.reporting.text.labels import ORACLE_LABEL, pattern_label
from clinical_symile.tracking.analysis_tables import NetBenefit, RunAnalysis
from clinical_symile.tracking.benchmark_tables import NetBenefitDifference

_TABLE_THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.5)  # the figure has all thresholds
_LEVEL, _MOST_DIFFERENCES = 0.05, 12


def draw_decision_curve(
    *,
    analysis: RunAnalysis,
    net_benefit_differences: Sequence[NetBenefitDifference],
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    has_oracle: bool,
) -> Content | None:
    """Draw decision curves, complete and at the highest MCAR rate."""
    panels = decision_curve_panels(analysis.net_benefit, tasks=tasks, series=series)
    if not panels:
        return None
    return Content(
        heading="Would acting on the predictions help?",
        text="Suppose that every patient with a risk above a threshold is treated. Net benefit "
        "counts correctly treated patients per hundred, minus wrongly treated ones weighted by the "
        "threshold. At a threshold of 20 %, four unnecessary treatments weigh as much as one "
        "missed patient. A run is useful where its line lies above both treating everybody "
        "(dotted) and treating no one (zero). The table has its gain over the better of the two.",
        panels=panels,
        legend=method_legend(
            methods, best=ORACLE_LABEL * has_oracle, dotted="treating everybody", across=True
        ),
        more=benefit_difference_panels(net_benefit_differences, tasks=tasks, series=series),
        more_text=net_benefit_sentence(net_benefit_differences),
    )


DECISION_CURVE = Section(
    "decision_curve",
    ("analysis", "net_benefit_differences", "tasks", "series", "methods", "has_oracle"),
    draw_decision_curve,
    display_name="decision curves",
    description="Shows the net benefit of acting on predicted risks.",
)


def decision_curve_panels(
    rows: Sequence[NetBenefit], *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """Draw net benefit over thresholds for each outcome."""
    panels = []
    for name, part in dict.fromkeys((row.task, row.part) for row in rows):
        if name not in tasks:
            continue
        of = [row for row in rows if (row.task, row.part) == (name, part)]
        found = list(dict.fromkeys(row.missingness for row in of))
        mcar = mechanism_rates(found, "mcar")
        drawn = ["complete", mcar[max(mcar)]] if mcar else ["complete"]
        for pattern in dict.fromkeys(pattern for pattern in drawn if pattern in found):
            panel = _panel(
                [row for row in of if row.missingness == pattern],
                title=f"{task_title(tasks, name, part)}: {pattern_label(pattern)}",
                name=picture_name("decision_curve", name, part or "", pattern),
                series=series,
            )
            panels += [panel] if panel else []
    return panels


def benefit_difference_panels(
    rows: Sequence[NetBenefitDifference], *, tasks: TaskTables, series: Sequence[Series]
) -> list[ReportPanel]:
    """List the differences of net benefit between runs that are significant, smallest p first."""
    labels = {one.run: one.label for one in series}
    found = sorted(
        (row for row in rows if _is_settled(row) and {row.run, row.baseline} <= {*labels}),
        key=lambda row: row.p_holm or 0.0,
    )
    head = ["run minus run", "task", "modalities", "threshold", "difference per 100", "p (Holm)"]
    body = [
        [
            f"{labels[row.run]}, minus {labels[row.baseline]}",
            task_title(tasks, row.task, row.part),
            pattern_label(row.missingness),
            f"{100 * row.threshold:.0f} %",
            _with_ends(row.difference, row.low, row.high),
            format_p_value(row.p_holm),
        ]
        for row in found[:_MOST_DIFFERENCES]
        if row.task in tasks
    ]
    return [ReportPanel("Differences of net benefit", None, head, body)] if body else []


def _is_settled(row: NetBenefitDifference) -> bool:
    return row.p_holm is not None and row.p_holm < _LEVEL


def net_benefit_sentence(rows: Sequence[NetBenefitDifference]) -> str:
    """Say how many differences between runs are significant; empty where none was tested."""
    tested = [row for row in rows if row.p_holm is not None]
    if not tested:
        return ""
    settled = sum(map(_is_settled, tested))
    return (
        f"Between two runs, on the same patients: {settled} of {len(tested)} differences of net "
        "benefit are significant (Holm, below 0.05). All are in net_benefit_differences.jsonl."
    )


def _panel(
    rows: Sequence[NetBenefit], *, title: str, name: str, series: Sequence[Series]
) -> ReportPanel | None:
    by_run: dict[str, list[NetBenefit]] = {}
    for row in rows:
        by_run.setdefault(row.run, []).append(row)
    known = [one for one in series if one.run in by_run]
    if not known:
        return None
    lines = [_line(by_run[one.run], one.family, one.style) for one in known]
    lines += [_line(by_run[ORACLE], None, 0)] if ORACLE in by_run else []
    every = sorted(by_run[known[0].run], key=lambda row: row.threshold)
    treat_all = [100 * row.treat_all for row in every]
    most = max(y for one in lines for y in one.y)
    picture = curves(
        lines,
        name=name,
        title=f"{title}: net benefit per 100 patients; the table has the numbers",
        x_label="risk threshold of treatment, %",
        y_label="net benefit per 100 patients",
        beside=Line(None, 2, [100 * row.threshold for row in every], treat_all),
        ends=(-0.25 * most, 1.15 * max(most, *treat_all)),
    )
    thresholds = [
        t for t in _TABLE_THRESHOLDS if any(abs(row.threshold - t) < 1e-9 for row in every)
    ]
    body = []
    for run, label in [(one.run, one.label) for one in known] + [(ORACLE, "oracle")]:
        at = {round(row.threshold, 2): row for row in by_run.get(run, ())}
        if at:
            body.append([label, *(_gain(at.get(t)) for t in thresholds)])
    head = ["gain per 100", *(f"threshold {100 * t:.0f} %" for t in thresholds)]
    return ReportPanel(title, picture, head, body, across=True)


def _line(rows: Sequence[NetBenefit], family: int | None, style: int) -> Line:
    points = sorted(rows, key=lambda row: row.threshold)
    return Line(
        family, style, [100 * row.threshold for row in points], [100 * row.value for row in points]
    )


def _gain(row: NetBenefit | None) -> str:
    if row is None:
        return DASH
    return _with_ends(row.gain, row.gain_low, row.gain_high)


def _with_ends(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{_per_hundred(value)} ({NO_INTERVAL})"
    return f"{_per_hundred(value)} ({_per_hundred(low)} to {_per_hundred(high)})"


def _per_hundred(value: float) -> str:
    return format_signed(f"{100 * value:+.1f}")
