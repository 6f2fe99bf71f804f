"""Draw the tables of a model card: performance, missing modalities, groups, comparisons."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from clinical_symile.formatting import (
    DASH,
    format_difference,
    format_difference_interval,
    format_interval,
    format_p_value,
    format_signed,
    format_value,
    is_percentage,
)
from clinical_symile.reporting.cards.model_facts import Method
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.sections.base import ReportPanel, task_title
from clinical_symile.reporting.sections.performance import primary_metric_panels
from clinical_symile.reporting.sections.subgroups import subgroup_panels
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.results import Comparison, Result
from clinical_symile.tracking.rounding import sizes_in_words

_MINUS = "\N{MINUS SIGN}"
_CALIBRATION = {
    "calibration/slope": "slope (1 is right)",
    "calibration/observed_minus_predicted": "observed minus predicted risk (0 is right)",
    "recalibrated/slope": "slope after recalibration on tuning samples",
}


def size_words(data: ReportData) -> dict[str, dict[int, str]]:
    """Return numbers of samples and subjects in words, so that no small difference follows."""
    return {key: sizes_in_words(data.results, key) for key in ("n_samples", "n_subjects")}


def performance_panels(method: Method, data: ReportData) -> list[ReportPanel]:
    """Return for each task every metric with the fewest modalities missing."""
    sizes, panels = size_words(data), []
    for task, table in data.tasks.items():
        pattern = reference_pattern(method, data, task)
        if pattern is None:
            continue
        body = [
            [metric_label(metric), one.label, *_cells(row, data, sizes)]
            for metric in data.scores.metrics(task)
            for one in method.series
            if (row := data.scores.get(one.run, task, pattern, metric)) is not None
        ]
        title = f"{task_label(task, table)}, {pattern_label(pattern)}"
        head = ["metric", "run", "value", "95 % interval", "chance", "oracle", "samples"]
        panels.append(_of_runs(ReportPanel(title, None, [*head, "subjects"], body), method))
    return panels


def reference_pattern(method: Method, data: ReportData, task: str) -> str | None:
    """Return the pattern with the fewest modalities missing that the method was evaluated with."""
    for pattern in data.scores.patterns(task):
        if any(row.run in method.runs for row in data.scores.of(task=task, pattern=pattern)):
            return pattern
    return None


def primary_result(method: Method, data: ReportData, task: str) -> Result | None:
    """Return the first run's primary result on a task, with the fewest modalities missing."""
    pattern, metric = reference_pattern(method, data, task), data.tasks[task]["primary"]
    if pattern is None:
        return None
    rows = (data.scores.get(run, task, pattern, metric) for run in method.runs)
    return next((row for row in rows if row is not None), None)


def missing_panels(method: Method, data: ReportData) -> list[ReportPanel]:
    """Return for each task the primary metric under each pattern, and what is lost there."""
    sizes = size_words(data)
    panels = []
    for task, table in data.tasks.items():
        metric, body = table["primary"], []
        for pattern in data.scores.patterns(task):
            for one in method.series:
                row = data.scores.get(one.run, task, pattern, metric)
                if row is None:
                    continue
                value, interval, chance, *_ = _cells(row, data, sizes)
                loss = _loss(data.losses, row)
                words = [DASH, DASH] if loss is None else _difference(loss, sign=1)
                number = sizes["n_samples"][row.n_samples]
                name = pattern_label(pattern)
                body.append([name, one.label, value, interval, chance, *words, number])
        if len(body) > len(method.series):
            head = ["modalities", "run", metric_label(metric), "95 % interval", "chance"]
            head += [f"change from nothing missing{_unit(metric)}", "its 95 % interval", "samples"]
            panels.append(_of_runs(ReportPanel(task_label(task, table), None, head, body), method))
    return panels


def missing_figure(method: Method, data: ReportData) -> ReportPanel | None:
    """Draw the first task's primary metric under each pattern; None without one."""
    for kind in ("retrieval", "classification"):
        tasks = {name: one for name, one in data.tasks.items() if one["kind"] == kind}
        panels = primary_metric_panels(data.scores, tasks, method.series, kind=kind, complete=False)
        drawn = [panel for panel in panels if panel.picture is not None]
        if drawn:
            metric = next(iter(tasks.values()))["primary"]
            return replace(drawn[0], title=f"{drawn[0].title}: {metric_label(metric)}")
    return None


def group_panels(method: Method, data: ReportData) -> list[ReportPanel]:
    """Return the tables of groups of patients."""
    found = subgroup_panels(data.analysis, tasks=data.tasks, series=method.series)
    return [_of_runs(replace(panel, picture=None), method) for panel in found]


def calibration_tables(method: Method, data: ReportData) -> list[ReportPanel]:
    """Return for each task, or part of one, calibration with the fewest modalities missing."""
    labels, bodies = {one.run: one.label for one in method.series}, defaultdict[str, list](list)
    for row in data.analysis.measures:
        if row.run not in labels or row.task not in data.tasks or row.measure not in _CALIBRATION:
            continue
        if row.missingness == reference_pattern(method, data, row.task):
            value = format_signed(format_value(row.value, row.measure, exact=True))
            interval = format_interval(row.low, row.high, row.measure, exact=True)
            title = task_title(data.tasks, row.task, row.part)
            interval = interval.replace("-", _MINUS)
            bodies[title].append([_CALIBRATION[row.measure], labels[row.run], value, interval])
    head = ["measure", "run", "value", "95 % interval"]
    return [
        _of_runs(ReportPanel(title, None, head, sorted(body, key=lambda line: line[0])), method)
        for title, body in bodies.items()
    ]


def comparison_panels(method: Method, data: ReportData) -> list[ReportPanel]:
    """Return for each task the differences from baselines and other methods."""
    labels, panels = {one.run: one.label for one in data.series}, []
    for task, table in data.tasks.items():
        body, metric = [], table["primary"]
        pattern = reference_pattern(method, data, task)
        for row in data.comparisons:
            ours = {row.run, row.baseline} & {*method.runs}
            if (row.task, row.metric, row.missingness) != (task, metric, pattern):
                continue
            if len(ours) != 1 or row.against is not None:
                continue
            sign = 1 if row.run in ours else -1
            other = row.baseline if sign == 1 else row.run
            if other in labels:
                own = labels[next(iter(ours))]
                cells = _difference(row, sign=sign)
                body.append([labels[other], own, *cells, format_p_value(row.p_holm)])
        if body:
            unit = _unit(metric) or f" ({metric_label(metric)})"
            head = ["against", "run", f"difference{unit}", "95 % interval", "p (Holm)"]
            panels.append(_of_runs(ReportPanel(task_label(task, table), None, head, body), method))
    return panels


def _cells(row: Result, data: ReportData, sizes: Mapping[str, Mapping[int, str]]) -> list[str]:
    """Return value, interval, chance, oracle, samples and subjects of a result."""
    best = data.scores.best(row.task, row.missingness, row.metric)
    return [
        format_value(row.value, row.metric, exact=True),
        format_interval(row.low, row.high, row.metric, exact=True),
        format_value(row.chance, row.metric, exact=True),
        format_value(best, row.metric, exact=True),
        sizes["n_samples"][row.n_samples],
        sizes["n_subjects"][row.n_subjects],
    ]


def _loss(losses: Sequence[Comparison], row: Result) -> Comparison | None:
    """Return the comparison of a pattern with nothing missing, of the same run and metric."""
    cell = (row.run, row.task, row.missingness, row.metric)
    return next(
        (one for one in losses if (one.run, one.task, one.missingness, one.metric) == cell), None
    )


def _difference(row: Comparison, *, sign: int) -> list[str]:
    """Return a difference and its interval, with the sign turned if `sign` is -1."""
    ends = [None if end is None else sign * end for end in (row.low, row.high)]
    low, high = ends if sign == 1 else ends[::-1]
    value = format_difference(sign * row.difference, row.metric)
    return [value, format_difference_interval(low, high, row.metric)]


def _unit(metric: str) -> str:
    return " (points)" if is_percentage(metric) else ""


def _of_runs(panel: ReportPanel, method: Method) -> ReportPanel:
    """Leave out the column `run` where the method has one run."""
    if len(method.series) > 1:
        return panel
    place = list(panel.head).index("run")
    head = [cell for at, cell in enumerate(panel.head) if at != place]
    body = [[cell for at, cell in enumerate(line) if at != place] for line in panel.body]
    return replace(panel, head=head, body=body)
