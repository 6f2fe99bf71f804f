"""Show runs between a run and one that started from it: what is gained, and what is lost.

Source: Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022,
https://arxiv.org/abs/2109.01903: accuracy on the new data against that under shifts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from clinical_symile.formatting import DASH, format_value, is_percentage, join_words
from clinical_symile.reporting.figures.line_chart import Band, bands
from clinical_symile.reporting.figures.picture import Legend
from clinical_symile.reporting.figures.plane import PlanePath, paths
from clinical_symile.reporting.result_lookup import ResultTable, TaskTables
from clinical_symile.reporting.sections.base import (
    Content,
    ReportPanel,
    Section,
    metric_sentences,
    picture_name,
    result_cell,
)
from clinical_symile.reporting.text.findings import better_sign, size_in_words
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.results import Comparison, Result

NO_CURVE = (
    "There are no interpolated runs here, so that there is no curve. Write them with "
    "`clinical-symile interpolate` into the folder `runs` of this benchmark, and render the report "
    "again with `--store`."
)
_COMPLETE, _TUNING = "complete", "tuning"
# Fields in which the same task on the tuning split may differ.
_FREE = ("split", "description", "default", "name", "missingness")


@dataclass(frozen=True)
class InterpolatedLine:
    """The runs between two runs.

    Attributes:
        first: the name of the run at alpha = 0.
        second: the name of the run at alpha = 1.
        runs: the name of the run at each alpha, rising.
    """

    first: str
    second: str
    runs: Mapping[float, str]


def interpolated_lines(runs: Sequence[Mapping[str, Any]]) -> list[InterpolatedLine]:
    """Return the lines with two runs or more, from the records of runs."""
    found: dict[tuple[str, ...], dict[float, str]] = {}
    for record in runs:
        about = record.get("interpolated")
        if about:
            keys = ("first", "second", "first_sha256", "second_sha256")
            line = found.setdefault(tuple(str(about.get(key)) for key in keys), {})
            line.setdefault(float(about["alpha"]), str(record["name"]))
    return [
        InterpolatedLine(first, second, dict(sorted(line.items())))
        for (first, second, *_), line in found.items()
        if len(line) > 1
    ]


def tuning_task(name: str, tasks: TaskTables) -> str | None:
    """Return the task that asks the same of tuning samples; None if the report has none."""
    rest = _compared_fields(tasks[name])
    return next(
        (
            other
            for other, task in tasks.items()
            if task.get("split") == _TUNING and _compared_fields(task) == rest
        ),
        None,
    )


def chosen_alpha(
    line: InterpolatedLine, name: str, *, scores: ResultTable, tasks: TaskTables
) -> float | None:
    """Return the alpha with the best mean over patterns on tuning samples; of equal ones the least.

    Args:
        line: the runs.
        name: a task on held-out samples.
        scores: all results.
        tasks: definitions.

    Returns:
        None without results of two or more alpha on tuning samples, under the same patterns.
    """
    twin = tuning_task(name, tasks)
    if twin is None or tasks[name].get("split") == _TUNING:
        return None
    rows = _rows(line, twin, tasks[twin], scores)
    patterns = [p for p, found in rows.items() if found.keys() == line.runs.keys()]
    if not patterns:
        return None
    sign = 1 if tasks[twin]["higher_is_better"] else -1
    means = {alpha: mean(rows[p][alpha].value for p in patterns) for alpha in line.runs}
    return max(means, key=lambda alpha: (sign * means[alpha], -alpha))


def interpolation_sentences(
    scores: ResultTable,
    comparisons: Sequence[Comparison],
    *,
    tasks: TaskTables,
    runs: Sequence[Mapping[str, Any]],
) -> list[str]:
    """State what the ends reach, which alpha tuning samples choose, and how it does on others.

    An alpha is called better or worse than an end only where the paired difference on the same
    samples is significant. No result on held-out samples has a part in the choice.
    """
    lines = interpolated_lines(runs)
    found: list[str] = []
    for name, task in tasks.items():
        if task.get("split") == _TUNING or "primary" not in task:
            continue
        for line in lines:
            rows = _rows(line, name, task, scores)
            if not rows:
                continue
            about = f"{task_label(name, task)}, {line.first} to {line.second}: "
            said = [_ends(rows, task), *_choice(line, name, comparisons, scores, tasks, rows)]
            found.append(about + " ".join(said))
    return found or [NO_CURVE]


def interpolation_panels(
    scores: ResultTable, *, tasks: TaskTables, runs: Sequence[Mapping[str, Any]]
) -> list[ReportPanel]:
    """Draw each task by alpha, and with modalities missing against with nothing missing."""
    panels: list[ReportPanel] = []
    for number, line in enumerate(interpolated_lines(runs)):
        for name, task in tasks.items():
            rows = _rows(line, name, task, scores) if "primary" in task else {}
            if rows:
                panels.append(_by_alpha(rows, line, name, task, number))
            if _COMPLETE in rows and len(rows) > 1:
                panels.append(_against_complete(rows, line, name, task, number))
    return panels


def interpolation_legend(
    scores: ResultTable, *, tasks: TaskTables, runs: Sequence[Mapping[str, Any]]
) -> Legend:
    """Return the legend: a colour and a marker for each pattern."""
    names = [
        pattern
        for line in interpolated_lines(runs)
        for name, task in tasks.items()
        if "primary" in task
        for pattern in _rows(line, name, task, scores)
    ]
    return Legend([(_family(name, names), pattern_label(name)) for name in dict.fromkeys(names)])


def draw_interpolation(
    *, scores: ResultTable, tasks: TaskTables, runs: Sequence[Mapping[str, Any]]
) -> Content | None:
    """Draw runs between two runs by their share, and missing against complete modalities."""
    panels = interpolation_panels(scores, tasks=tasks, runs=runs)
    if not panels:
        return None
    return Content(
        heading="What lies between a run and the one that was trained further?",
        text="The weights are (1 - alpha) of the first run and alpha of the run that started from "
        "it: 0 and 1 are these runs. The first figure shows each pattern by alpha. The second "
        "shows what is reached with modalities missing against what is reached with nothing "
        f"missing, from alpha = 0, the large marker, to 1. {metric_sentences(tasks)}",
        panels=panels,
        legend=interpolation_legend(scores, tasks=tasks, runs=runs),
        caption="Lines from a point are 95 % confidence intervals over subjects, of each run by "
        "itself. All runs meet the same samples, so that neighbours differ by less than their "
        "intervals suggest. Choose alpha on tuning samples, never by these figures of others.",
    )


INTERPOLATION = Section(
    "interpolation",
    ("scores", "tasks", "runs"),
    draw_interpolation,
    display_name="between two runs (WiseFT)",
    description="Shows runs between a run and one that started from it, by the share of each.",
)

_Rows = dict[str, dict[float, Result]]


def _compared_fields(task: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in task.items() if key not in _FREE}


def _rows(line: InterpolatedLine, name: str, task: Mapping[str, Any], scores: ResultTable) -> _Rows:
    """Return the primary results by pattern and alpha, of patterns with two alpha or more."""
    found: _Rows = {}
    for pattern in scores.patterns(name):
        rows = {a: scores.get(run, name, pattern, task["primary"]) for a, run in line.runs.items()}
        known = {alpha: row for alpha, row in rows.items() if row is not None}
        if len(known) > 1:
            found[pattern] = known
    return found


def _ends(rows: _Rows, task: Mapping[str, Any]) -> str:
    """Return a sentence on the smallest and the largest alpha, complete and with less."""
    metric, words = task["primary"], list[str]()
    kinds = {"with nothing missing": [p for p in rows if p == _COMPLETE]}
    others = [p for p in rows if p != _COMPLETE]
    kinds[f"on average of {len(others)} other patterns"] = others
    alphas: list[float] = []
    for kind, patterns in kinds.items():
        shared = [alpha for alpha in rows[patterns[0]]] if patterns else []
        shared = [alpha for alpha in shared if all(alpha in rows[p] for p in patterns)]
        if len(shared) > 1:
            alphas = [shared[0], shared[-1]]
            low, high = (mean(rows[p][alpha].value for p in patterns) for alpha in alphas)
            words.append(f"{format_value(low, metric)} to {format_value(high, metric)} {kind}")
    if not alphas:
        return f"{metric_label(metric)} has no two alpha under the same patterns."
    return (
        f"from alpha = {alphas[0]:g} to {alphas[1]:g}, {metric_label(metric)} goes from "
        f"{join_words(words)}."
    )


def _choice(
    line: InterpolatedLine,
    name: str,
    comparisons: Sequence[Comparison],
    scores: ResultTable,
    tasks: TaskTables,
    rows: _Rows,
) -> list[str]:
    """Return sentences on the alpha that tuning samples choose, beside both ends."""
    alpha = chosen_alpha(line, name, scores=scores, tasks=tasks)
    if alpha is None:
        return [
            "No alpha is chosen: that needs the results of the same task with `split = "
            '"tuning"`. Held-out results must not choose it.'
        ]
    ends = {0.0: line.first, 1.0: line.second}
    if alpha in ends:
        return [f"Tuning samples choose an end, alpha = {alpha:g}: nothing is gained in between."]
    said = [f"Tuning samples choose alpha = {alpha:g}."]
    for end, first in ends.items():
        other = line.runs.get(end, first)
        better, worse, compared = list[str](), list[str](), 0
        for pattern in rows:
            row, sign = _difference(comparisons, name, pattern, line.runs[alpha], other, tasks)
            if row is None:
                continue
            compared += 1
            size, interval = size_in_words(row)
            words = f"{pattern_label(pattern)} by {size}{f' ({interval})' if interval else ''}"
            better += [words] * (sign > 0)
            worse += [words] * (sign < 0)
        if not compared:
            said.append(f"It was not compared with alpha = {end:g} on the same held-out samples.")
        elif not better and not worse:
            said.append(
                f"On held-out samples, these data show no difference from alpha = {end:g} under "
                f"{'the pattern' if compared == 1 else f'any of {compared} patterns'}."
            )
        else:
            parts = [f"better: {join_words(better)}"] * bool(better)
            parts += [f"worse: {join_words(worse)}"] * bool(worse)
            said.append(
                f"On held-out samples it differs from alpha = {end:g} significantly under "
                f"{len(better) + len(worse)} of {compared} patterns: {'; '.join(parts)}."
            )
    return said


def _difference(
    comparisons: Sequence[Comparison],
    name: str,
    pattern: str,
    run: str,
    other: str,
    tasks: TaskTables,
) -> tuple[Comparison | None, int]:
    """Return the paired difference of two runs, and 1 if the first is better, -1 if worse."""
    task = tasks[name]
    for row in comparisons:
        if (row.task, row.missingness, row.metric) != (name, pattern, task["primary"]):
            continue
        if {row.run, row.baseline} == {run, other}:
            sign = better_sign(row, task=task)
            return row, sign if row.run == run else -sign
    return None, 0


def _family(name: str, names: Sequence[str]) -> int:
    """Return the colour of a pattern: 0 for nothing missing."""
    others = [one for one in dict.fromkeys(names) if one != _COMPLETE]
    return 0 if name == _COMPLETE else 1 + others.index(name)


def _interval(row: Result) -> tuple[float, float]:
    """Return the ends of an interval; those of a result without one are its value."""
    return (
        row.value if row.low is None else row.low,
        row.value if row.high is None else row.high,
    )


def _title(line: InterpolatedLine, name: str, task: Mapping[str, Any]) -> str:
    tuning = ", tuning samples" * (task.get("split") == _TUNING)
    return (
        f"{task_label(name, task)}{tuning}, {line.first} to {line.second}: "
        f"{metric_label(task['primary'])}"
    )


def _by_alpha(
    rows: _Rows, line: InterpolatedLine, name: str, task: Mapping[str, Any], number: int
) -> ReportPanel:
    metric, title = task["primary"], f"{_title(line, name, task)} by alpha"
    drawn = [
        Band(
            _family(pattern, list(rows)),
            [*found],
            [row.value for row in found.values()],
            [_interval(row)[0] for row in found.values()],
            [_interval(row)[1] for row in found.values()],
        )
        for pattern, found in rows.items()
    ]
    picture = bands(
        drawn,
        name=picture_name("interpolation", name, str(number)),
        title=f"{title}; the table below has the numbers",
        x_label="alpha, the share of the run that was trained further",
        y_label=metric_label(metric),
        percent=is_percentage(metric),
    )
    body = [
        [pattern_label(pattern)]
        + [result_cell(found[a]) if a in found else DASH for a in line.runs]
        for pattern, found in rows.items()
    ]
    return ReportPanel(title, picture, ["alpha", *(f"{alpha:g}" for alpha in line.runs)], body)


def _against_complete(
    rows: _Rows, line: InterpolatedLine, name: str, task: Mapping[str, Any], number: int
) -> ReportPanel:
    metric, whole = task["primary"], rows[_COMPLETE]
    title = f"{_title(line, name, task)}, missing against complete"
    drawn: list[PlanePath] = []
    for pattern, found in rows.items():
        shared = [alpha for alpha in found if alpha in whole]
        if pattern != _COMPLETE and shared:
            drawn.append(
                PlanePath(
                    _family(pattern, list(rows)),
                    [whole[alpha].value for alpha in shared],
                    [found[alpha].value for alpha in shared],
                    [_interval(whole[alpha]) for alpha in shared],
                    [_interval(found[alpha]) for alpha in shared],
                )
            )
    picture = paths(
        drawn,
        name=picture_name("interpolation-plane", name, str(number)),
        title=f"{title}; the table below has the numbers",
        x_label=f"{metric_label(metric)} with nothing missing",
        y_label=f"{metric_label(metric)} with modalities missing",
        percent=is_percentage(metric),
    )
    body = [
        [f"{alpha:g}", *(result_cell(of[alpha]) if alpha in of else DASH for of in rows.values())]
        for alpha in line.runs
    ]
    return ReportPanel(title, picture, ["alpha", *map(pattern_label, rows)], body)
