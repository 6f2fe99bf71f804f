"""Show each task's primary metric, complete and under every missingness pattern."""

from collections.abc import Mapping, Sequence

from clinical_symile.formatting import (
    format_value,
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
    metric_sentences,
    picture_name,
    result_cell,
)
from clinical_symile.reporting.text.labels import (
    CHANCE_LABEL,
    ORACLE_LABEL,
    metric_label,
    pattern_label,
    task_label,
)

_NEEDS = ("scores", "tasks", "series", "methods", "baselines", "has_oracle")


def draw_retrieval(
    *,
    scores: ResultTable,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    baselines: Mapping[str, str],
    has_oracle: bool,
) -> Content | None:
    """Draw the retrieval tasks with nothing missing, one row for each run."""
    panels = primary_metric_panels(scores, tasks, series, kind="retrieval", complete=True)
    if not panels:
        return None
    oracle = (
        f" The {ORACLE_LABEL} knows exactly how the data were generated; no model can be better "
        "on average."
    )
    return Content(
        heading="Is the correct candidate found?",
        text="A run receives some modalities of one admission and a list of candidates. One "
        f"candidate belongs to the same admission. {_descriptions(tasks, 'retrieval')}Nothing is "
        "missing here.",
        panels=panels,
        legend=_legend(methods, baselines, has_oracle),
        caption="A point is the value on the held-out samples. The line through it is its 95 % "
        "confidence interval over subjects." + oracle * has_oracle + " The chance level is a "
        "random choice of the candidate.",
    )


def draw_retrieval_missing(
    *,
    scores: ResultTable,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    baselines: Mapping[str, str],
    has_oracle: bool,
) -> Content | None:
    """Draw the retrieval tasks under every pattern, one row for each pattern."""
    panels = primary_metric_panels(scores, tasks, series, kind="retrieval", complete=False)
    if not panels:
        return None
    return Content(
        heading="What is lost when modalities are missing?",
        text="The same tasks with fewer modalities. Each row is a missingness pattern: the "
        "modalities that a run may use. All patterns except “as recorded” use the same samples, "
        "so they can be compared.",
        panels=panels,
        legend=_legend(methods, baselines, has_oracle),
    )


def draw_classification(
    *,
    scores: ResultTable,
    tasks: TaskTables,
    series: Sequence[Series],
    methods: Sequence[Series],
    baselines: Mapping[str, str],
    has_oracle: bool,
) -> Content | None:
    """Draw the classification tasks under every pattern, and all metrics with nothing missing."""
    missing = primary_metric_panels(scores, tasks, series, kind="classification", complete=False)
    complete = primary_metric_panels(scores, tasks, series, kind="classification", complete=True)
    if not missing and not complete:
        return None
    return Content(
        heading="Can an outcome be predicted?",
        text="A probe, such as a logistic regression, predicts the outcome from the embedding of a "
        f"trained run. {_label_sentence(scores, tasks, series)} Baselines and external predictions "
        f"are evaluated as they are. {_descriptions(tasks, 'classification')}",
        panels=missing,
        legend=_legend(methods, {}, has_oracle),
        more=complete,
        values={
            "baselines": [(one.label, baselines[one.run]) for one in series if one.run in baselines]
        },
    )


def _label_sentence(scores: ResultTable, tasks: TaskTables, series: Sequence[Series]) -> str:
    """Return which runs read labels of an outcome in training that they are judged by."""
    judged = {task: [row.run for row in scores.of(task=task) if row.saw_label] for task in tasks}
    seen = [
        f"{one.label} ({', '.join(task_label(task, tasks[task]) for task in of_run)})"
        for one in series
        if (of_run := [task for task, runs in judged.items() if one.run in runs])
    ]
    if not seen:
        return "The run itself never used the outcome."
    return (
        "The run itself never used the outcome, except these, whose training read its labels and "
        f"which are not comparable with the others: {'; '.join(seen)}."
    )


RETRIEVAL = Section(
    "retrieval",
    _NEEDS,
    draw_retrieval,
    display_name="retrieval",
    description="Shows the retrieval tasks with nothing missing, one row for each run.",
)
RETRIEVAL_MISSING = Section(
    "retrieval_missing",
    _NEEDS,
    draw_retrieval_missing,
    display_name="retrieval with missing modalities",
    description="Shows the retrieval tasks under every pattern, one row for each pattern.",
)
CLASSIFICATION = Section(
    "classification",
    _NEEDS,
    draw_classification,
    "sections/classification.j2",
    display_name="classification",
    description=(
        "Shows the classification tasks under every pattern, and all metrics with nothing missing."
    ),
)


def primary_metric_panels(
    scores: ResultTable,
    tasks: TaskTables,
    series: Sequence[Series],
    *,
    kind: str,
    complete: bool,
) -> list[ReportPanel]:
    """Draw each task's primary metric with its interval.

    Args:
        scores: all results.
        tasks: definitions, in the order of the report.
        series: the runs.
        kind: of the tasks to draw.
        complete: True for one row per run with nothing missing, False for one row per pattern.

    Returns:
        Panels; the picture is None where a run has other metrics but not the primary one.
    """
    panels = []
    for name, task in tasks.items():
        patterns = scores.patterns(name)
        if task["kind"] != kind or not patterns:
            continue
        metric = task["primary"]
        if complete:
            rows = [
                DotRow(one.label, marks, *_references(scores, name, patterns[0], metric))
                for one in series
                if (marks := _marks(scores, name, patterns[0], metric, [one], labelled=True))
            ]
            table = _metrics_table(scores, name, patterns[0], series)
            if not rows and _has_results(scores, name, patterns[0], series):
                panels.append(ReportPanel(task_label(name, task), None, *table))
        else:
            rows = [
                DotRow(pattern_label(p), marks, *_references(scores, name, p, metric))
                for p in patterns
                if (marks := _marks(scores, name, p, metric, series))
            ]
            table = _patterns_table(scores, name, metric, series)
        if rows:
            title = task_label(name, task)
            ends = (0.0, 1.0) if is_percentage(metric) else _limits(scores, tasks, kind, metric)
            picture = dots(
                rows,
                name=picture_name(name, "complete" if complete else "missing"),
                title=f"{title}: {metric_label(metric)}; the table below has the numbers",
                limits=ends,
                percent=is_percentage(metric),
                x_label=metric_label(metric),
            )
            panels.append(ReportPanel(title, picture, *table))
    return panels


def _descriptions(tasks: TaskTables, kind: str) -> str:
    sentences = metric_sentences(tasks, kind)
    return f"{sentences} " if sentences else ""


def _legend(methods: Sequence[Series], without: Mapping[str, str], has_oracle: bool):
    drawn = [one for one in methods if one.run not in without]
    return method_legend(drawn, best=ORACLE_LABEL * has_oracle, dotted=CHANCE_LABEL)


def _references(
    scores: ResultTable, name: str, pattern: str, metric: str
) -> tuple[float | None, float | None]:
    return scores.best(name, pattern, metric), scores.chance(name, pattern, metric)


def _has_results(scores: ResultTable, name: str, pattern: str, series: Sequence[Series]) -> bool:
    runs = {one.run for one in series}
    return any(row.run in runs for row in scores.of(task=name, pattern=pattern))


def _marks(
    scores: ResultTable,
    name: str,
    pattern: str,
    metric: str,
    series: Sequence[Series],
    *,
    labelled: bool = False,
) -> list[Mark]:
    rows = [(one, scores.get(one.run, name, pattern, metric)) for one in series]
    return [
        Mark(one.family, r.value, r.low, r.high, format_value(r.value, metric) if labelled else "")
        for one, r in rows
        if r is not None
    ]


def _limits(scores: ResultTable, tasks: TaskTables, kind: str, metric: str) -> tuple[float, float]:
    """Return one axis for all panels of a kind, so that they can be compared."""
    values: list[float] = []
    for name, task in tasks.items():
        if task["kind"] == kind and task["primary"] == metric:
            rows = scores.of(task=name, metric=metric)
            values += [
                end for row in rows for end in (row.low, row.high, row.value) if end is not None
            ]
            values += [row.chance for row in rows if row.chance is not None]
    return axis_limits(values)


def _value_cells(
    scores: ResultTable, name: str, pattern: str, metric: str, series: Sequence[Series]
) -> list[str]:
    """Return the cells of one metric under one pattern: of each run, the oracle and chance."""
    runs = [result_cell(scores.get(one.run, name, pattern, metric)) for one in series]
    references = _references(scores, name, pattern, metric)
    return [*runs, *(format_value(value, metric, exact=True) for value in references)]


def _metrics_table(
    scores: ResultTable, name: str, pattern: str, series: Sequence[Series]
) -> tuple[list[str], list[list[str]]]:
    """Return a table with one row for each metric."""
    known = [one for one in series if scores.has_task(one.run, name)]
    body = [
        [
            metric_label(metric),
            *_value_cells(scores, name, pattern, metric, known),
        ]
        for metric in scores.metrics(name)
    ]
    return ["metric", *(one.label for one in known), "oracle", "chance"], body


def _patterns_table(
    scores: ResultTable, name: str, metric: str, series: Sequence[Series]
) -> tuple[list[str], list[list[str]]]:
    """Return a table with one row for each pattern."""
    known = [one for one in series if scores.has_task(one.run, name)]
    sizes = {
        pattern: min(row.n_samples for row in scores.of(task=name, pattern=pattern))
        for pattern in scores.patterns(name)
    }
    body = [
        [
            pattern_label(pattern),
            *_value_cells(scores, name, pattern, metric, known),
            scores.sizes[sizes[pattern]],
        ]
        for pattern in sizes
    ]
    return ["modalities", *(one.label for one in known), "oracle", "chance", "samples"], body
