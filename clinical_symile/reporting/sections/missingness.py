"""Pictures of what absence costs, each with the table it was drawn from."""

from collections.abc import Iterable, Mapping, Sequence
from math import isnan

from markupsafe import Markup

from clinical_symile.formatting import (
    DASH,
    format_interval,
    format_value,
    is_percentage,
    join_words,
)
from clinical_symile.reporting.figures.charts import Band, Mark, Row, bands, dots, heat
from clinical_symile.reporting.result_lookup import ORACLE, ResultTable, Series
from clinical_symile.reporting.sections.overview import MECHANISMS, Panel, Tasks, rates
from clinical_symile.reporting.text.labels import (
    metric_label,
    outcome_label,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.analysis_tables import MaskAuroc
from clinical_symile.tracking.results import Comparison, Result, is_significant


def retained_section(scores: ResultTable, *, tasks: Tasks, series: Sequence[Series]) -> list[str]:
    """For each task a sentence: what runs reach with nothing missing, and with most missing."""
    sentences = []
    for name, task in tasks.items():
        metric, at = task["primary"], rates(scores.patterns(name), "mcar")
        whole, least = (
            _range(scores, series, name, pattern, metric)
            for pattern in ("complete", at[max(at, default=0)] if at else "complete")
        )
        if whole and least and len(at) > 1:
            sentences.append(
                f"{task_label(name, task)}: with nothing missing, {metric_label(metric)} is "
                f"{whole}; where {max(at)} % of each modality is missing at random, {least}."
            )
    return sentences


def _range(
    scores: ResultTable, series: Sequence[Series], task: str, pattern: str, metric: str
) -> str:
    """From the worst run to the best, and what is possible."""
    rows = [(one, scores.get(one.run, task, pattern, metric)) for one in series]
    known = sorted(
        ((row.value, one.label) for one, row in rows if row is not None and not isnan(row.value)),
        key=lambda pair: pair[0],
    )
    if not known:
        return ""
    (low, worst), (high, best) = known[0], known[-1]
    told = f"from {format_value(low, metric)} ({worst}) to {format_value(high, metric)} ({best})"
    possible = scores.best(task, pattern, metric)
    return told if possible is None else f"{told} of {format_value(possible, metric)} possible"


def degradation(scores: ResultTable, *, tasks: Tasks, series: Sequence[Series]) -> list[Panel]:
    """Each task's primary metric against the share of each modality that is missing."""
    panels = []
    for place, (name, task) in enumerate(tasks.items()):
        for mechanism, how in MECHANISMS.items():
            at = rates(scores.patterns(name), mechanism)
            if len(at) < 2:
                continue
            metric = task["primary"]
            shown = [(one.family, one.run) for one in series] + [(None, ORACLE)]
            lines = [_band(scores, family, run, name, metric, at) for family, run in shown]
            title = f"{task_label(name, task)}, missing {how}: {metric_label(metric)}"
            picture = bands(
                [line for line in lines if line.x],
                name=f"degradation-{place}-{mechanism}",
                title=f"{title}; the table below has the numbers",
                x_label="% of each modality missing",
                y_label=metric_label(metric),
                percent=is_percentage(metric),
                reference=scores.chance(name, "complete", metric),
            )
            body = [
                [one.label, *(_cell(scores.get(one.run, name, p, metric)) for p in at.values())]
                for one in series
            ]
            best = [scores.best(name, pattern, metric) for pattern in at.values()]
            if any(one is not None for one in best):
                body.append(["best possible", *(format_value(b, metric, exact=True) for b in best)])
            head = ["run", *(f"{rate} % missing" for rate in at)]
            panels.append(Panel(title, Markup(picture), head, body, across=True))
    return panels


def trained_with_met_with(
    scores: ResultTable,
    comparisons: Iterable[Comparison],
    *,
    tasks: Tasks,
    series: Sequence[Series],
) -> list[Panel]:
    """Each task's primary metric by what a run was trained with and what it meets.

    The best of a row stands out, with all that these data do not tell from it.
    """
    apart = {
        (row.task, row.missingness, row.metric, frozenset({row.run, row.baseline}))
        for row in comparisons
        if is_significant(row)
    }
    panels = []
    for place, (name, task) in enumerate(tasks.items()):
        patterns, metric = scores.patterns(name), task["primary"]
        if len(patterns) < 2:
            continue
        rows = [[scores.get(one.run, name, p, metric) for one in series] for p in patterns]
        first = [_first(line, apart, higher=task["higher_is_better"]) for line in rows]
        title = f"{task_label(name, task)}: {metric_label(metric)}"
        words = [pattern_label(pattern) for pattern in patterns]
        picture = heat(
            [[None if row is None else row.value for row in line] for line in rows],
            rows=words,
            columns=[one.label for one in series],
            texts=[[_short(row) for row in line] for line in rows],
            bold=[
                [row is not None and row.run in best for row in line]
                for line, best in zip(rows, first, strict=True)
            ],
            name=f"met-{place}",
            title=f"{title}; the table below has the numbers",
        )
        labels = {one.run: one.label for one in series}
        body = [
            [met_with, *(_cell(row) for row in line), join_words([labels[run] for run in best])]
            for met_with, line, best in zip(words, rows, first, strict=True)
        ]
        head = ["met with", *(one.label for one in series), "best, or not told from it"]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def _first(
    line: Sequence[Result | None], apart: set[tuple[str, str, str, frozenset[str]]], *, higher: bool
) -> list[str]:
    """The run with the best value, and those whose difference from it is not settled."""
    known = [row for row in line if row is not None and not isnan(row.value)]
    if not known:
        return []
    best = (max if higher else min)(known, key=lambda row: row.value)
    return [
        row.run
        for row in known
        if (row.task, row.missingness, row.metric, frozenset({row.run, best.run})) not in apart
    ]


def mask_predictability_section(
    rows: Sequence[MaskAuroc], scores: ResultTable, *, tasks: Tasks
) -> list[Panel]:
    """How well an outcome is predicted from which modalities are missing, and nothing else.

    Args:
        rows: of each pattern whose masks are drawn.
        scores: all results: a run that scores no higher has read no measurement.
        tasks: what was asked.
    """
    panels = []
    for name, part in dict.fromkeys((row.task, row.part) for row in rows):
        if name not in tasks:
            continue
        of = [row for row in rows if (row.task, row.part) == (name, part)]
        outcome = outcome_label(part or tasks[name]["outcome"])
        title = f"Predict {outcome} from what is missing alone"
        picture = dots(
            [
                Row(
                    pattern_label(row.missingness),
                    [Mark(None, row.value, row.low, row.high)],
                    chance=0.5,
                )
                for row in of
            ],
            name=f"masks-{len(panels)}",
            title=f"{title}: AUROC; the table has the numbers",
            limits=(min(0.4, *(row.low for row in of)), max(0.7, *(row.high for row in of))),
            x_label=metric_label("auroc"),
        )
        body = [
            [
                pattern_label(row.missingness),
                f"{format_value(row.value, 'auroc', exact=True)} "
                f"({format_interval(row.low, row.high, 'auroc', exact=True)})",
                DASH if row.expected is None else format_value(row.expected, "auroc", exact=True),
                _least(scores, name, row.missingness),
            ]
            for row in of
        ]
        head = ["modalities", "from what is missing alone", "should be", "lowest AUROC of a run"]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def _least(scores: ResultTable, task: str, pattern: str) -> str:
    rows = scores.of(task=task, pattern=pattern, metric="auroc")
    return format_value(min((row.value for row in rows), default=None), "auroc", exact=True)


def _band(
    scores: ResultTable,
    family: int | None,
    run: str,
    task: str,
    metric: str,
    rates: Mapping[int, str],
) -> Band:
    found = {x: scores.get(run, task, pattern, metric) for x, pattern in rates.items()}
    there = {x: row for x, row in found.items() if row is not None}
    rows = list(there.values())
    return Band(
        family,
        [float(x) for x in there],
        [row.value for row in rows],
        [row.low for row in rows],
        [row.high for row in rows],
    )


def _cell(row: Result | None) -> str:
    if row is None:
        return "not scored"
    value = format_value(row.value, row.metric, exact=True)
    return f"{value} ({format_interval(row.low, row.high, row.metric, exact=True)})"


def _short(row: Result | None) -> str:
    if row is None or isnan(row.value):
        return ""
    return f"{100 * row.value:.0f}" if is_percentage(row.metric) else f"{row.value:.2f}"
