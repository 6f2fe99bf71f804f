"""Show how methods hold up when modalities are missing, each by single numbers with intervals."""

from collections.abc import Callable, Mapping, Sequence

from clinical_symile.formatting import (
    DASH,
    format_difference,
    format_difference_interval,
    format_interval,
    format_value,
)
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.reporting.figures._ticks import axis_limits
from clinical_symile.reporting.figures.dot_plot import DotRow, Mark, dots
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.sections.base import (
    MECHANISM_LABELS,
    Content,
    ReportPanel,
    Section,
    method_legend,
    picture_name,
)
from clinical_symile.reporting.text.labels import (
    metric_label,
    part_words,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.benchmark_tables import Robustness

_Cell = Callable[[Robustness], str]


def draw_robustness(
    *,
    robustness: Sequence[Robustness],
    tasks: TaskTables,
    methods_by_task: Mapping[str, Series],
    methods: Sequence[Series],
) -> Content | None:
    """Draw retained shares, and list areas under degradation curves and effective robustness."""
    panels = [
        panel
        for name in dict.fromkeys(row.task for row in robustness)
        if name in tasks
        for panel in _task_panels(
            [row for row in robustness if row.task == name], tasks, methods_by_task
        )
    ]
    if not panels:
        return None
    return Content(
        heading="How robust is each method?",
        text="The retained share is the performance above chance under a pattern, divided by that "
        "with nothing missing. The area under the degradation curve is the mean over the rates of "
        "missingness. Effective robustness is the performance minus the one that the other methods "
        "predict for a method as good with nothing missing: above 0, it holds up better than its "
        f"performance explains. {_without_line(robustness)}".rstrip(),
        panels=panels,
        legend=method_legend(methods, dotted="nothing lost"),
        caption="Intervals of 95 % are over subjects, on the same resamples for all patterns and "
        "methods. A method is the mean over its seeds.",
    )


ROBUSTNESS = Section(
    "robustness",
    ("robustness", "tasks", "methods_by_task", "methods"),
    draw_robustness,
    display_name="robustness",
    description="Shows retained shares, areas under degradation curves, and effective robustness.",
)


def _without_line(rows: Sequence[Robustness]) -> str:
    """Return the sentence on effective robustness where there are too few methods for it."""
    effective = [row for row in rows if row.quantity == "effective"]
    reasons = [row.reason for row in effective if row.reason]
    if not reasons or any(row.value is not None for row in effective):
        return ""
    return f"Here it cannot be computed: it {reasons[0]}."


def _task_panels(
    rows: Sequence[Robustness], tasks: TaskTables, methods_by_task: Mapping[str, Series]
) -> list[ReportPanel]:
    name, metric = rows[0].task, rows[0].metric
    title = f"{task_label(name, tasks[name])}: {metric_label(metric)}"
    labels = {
        row.method: methods_by_task[row.method].method
        if row.method in methods_by_task
        else row.method
        for row in rows
    }
    found = {(row.quantity, row.missingness, row.method): row for row in rows}

    def table(quantity: str, words: Callable[[str], str], cell: _Cell) -> list[list[str]]:
        patterns = dict.fromkeys(row.missingness for row in rows if row.quantity == quantity)
        return [
            [words(pattern)]
            + [
                DASH if (row := found.get((quantity, pattern, method))) is None else cell(row)
                for method in labels
            ]
            for pattern in patterns
        ]

    panels: list[ReportPanel] = []
    retained = table("retained", pattern_label, _share)
    marks = _marks(rows, methods_by_task)
    if marks:
        every = (end for row in marks for one in row.marks for end in (one.low, one.high))
        ends = [end for end in every if end is not None]
        picture = dots(
            marks,
            name=picture_name("robustness", name),
            title=f"{title}, retained share; the table has the numbers",
            limits=axis_limits([0.0, 1.0, *ends]),
            percent=True,
            x_label="retained share of the performance above chance",
        )
        head = ["modalities", *labels.values()]
        panels.append(ReportPanel(f"{title}, retained share", picture, head, retained))
    areas = table("area", _rates, _value) + table(
        "retained_area", lambda pattern: f"{_rates(pattern)}, retained share", _share
    )
    if areas:
        head = ["missing", *labels.values()]
        panels.append(ReportPanel(f"{title}, area under the degradation curve", None, head, areas))
    if any(row.quantity == "effective" and row.value is not None for row in rows):
        body = table("effective", pattern_label, _difference)
        head = ["modalities", *labels.values()]
        panels.append(ReportPanel(f"{title}, effective robustness", None, head, body))
    return panels


def _marks(rows: Sequence[Robustness], methods_by_task: Mapping[str, Series]) -> list[DotRow]:
    made: list[DotRow] = []
    for pattern in dict.fromkeys(row.missingness for row in rows if row.quantity == "retained"):
        of = [
            Mark(
                methods_by_task[row.method].family,
                row.value,
                row.value if row.low is None else row.low,
                row.value if row.high is None else row.high,
            )
            for row in rows
            if (row.quantity, row.missingness) == ("retained", pattern)
            if row.value is not None and row.method in methods_by_task
        ]
        if of:
            made.append(DotRow(pattern_label(pattern), of, None, 1.0))
    return made


def _rates(pattern: str) -> str:
    """Return the words for the rates of a mechanism, or other severities, up to a pattern's.

    >>> _rates("mcar-50"), _rates("ecg-segment-6s")
    ('0 to 50 %, completely at random', '0 to 6 s, ECG: a segment lost')
    """
    parsed = parse_pattern(pattern)
    most = f"{parsed.seconds:g} s" if parsed.seconds else f"{100 * parsed.rate:.0f} %"
    how = part_words(pattern) if parsed.within else MECHANISM_LABELS[parsed.mechanism]
    return f"0 to {most}, {how}"


def _share(row: Robustness) -> str:
    if row.value is None:
        return DASH
    ends = "no interval"
    if row.low is not None and row.high is not None:
        ends = f"{100 * row.low:.0f} to {100 * row.high:.0f} %"
    return f"{100 * row.value:.0f} % ({ends})"


def _value(row: Robustness) -> str:
    ends = format_interval(row.low, row.high, row.metric, exact=True)
    return f"{format_value(row.value, row.metric, exact=True)} ({ends})"


def _difference(row: Robustness) -> str:
    ends = format_difference_interval(row.low, row.high, row.metric)
    return f"{format_difference(row.value, row.metric)} ({ends})"
