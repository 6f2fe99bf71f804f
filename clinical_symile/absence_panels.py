"""Pictures of what absence costs, each with the table it was drawn from."""

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

from markupsafe import Markup

from clinical_symile.figures import Band, Mark, Row, bands, dots, heat, limits
from clinical_symile.measures import Measure, ModalityValue, SubgroupResult
from clinical_symile.panels import Panel
from clinical_symile.results import Result
from clinical_symile.scores import ORACLE, Scores, Series
from clinical_symile.wording import (
    count,
    interval,
    is_share,
    listed,
    metric_words,
    modality_words,
    number,
    pattern_words,
    task_words,
)

Tasks = Mapping[str, Mapping[str, Any]]

MECHANISMS = {"mcar": "by chance alone", "mnar": "more often where they are severe"}
ERROR = "calibration/expected_error"


def lost(scores: Scores, *, tasks: Tasks, series: Sequence[Series]) -> list[str]:
    """For each task a sentence: what runs reach with nothing missing, and with most missing."""
    sentences = []
    for name, task in tasks.items():
        metric, rates = task["primary"], _rates(scores.patterns(name), "mcar")
        whole, least = (
            _range(scores, series, name, pattern, metric)
            for pattern in ("complete", rates[max(rates, default=0)] if rates else "complete")
        )
        if whole and least and len(rates) > 1:
            sentences.append(
                f"{task_words(name, task)}: with nothing missing, {metric_words(metric)} is "
                f"{whole}; where {max(rates)} % of each modality is missing at random, {least}."
            )
    return sentences


def _range(scores: Scores, series: Sequence[Series], task: str, pattern: str, metric: str) -> str:
    """From the worst run to the best, and what is possible."""
    rows = [(one, scores.get(one.run, task, pattern, metric)) for one in series]
    known = sorted(
        ((row.value, one.label) for one, row in rows if row is not None and not isnan(row.value)),
        key=lambda pair: pair[0],
    )
    if not known:
        return ""
    (low, worst), (high, best) = known[0], known[-1]
    told = f"from {number(low, metric)} ({worst}) to {number(high, metric)} ({best})"
    possible = scores.best(task, pattern, metric)
    return told if possible is None else f"{told} of {number(possible, metric)} possible"


def degradation(scores: Scores, *, tasks: Tasks, series: Sequence[Series]) -> list[Panel]:
    """Each task's primary metric against the share of each modality that is missing."""
    panels = []
    for place, (name, task) in enumerate(tasks.items()):
        for mechanism, how in MECHANISMS.items():
            rates = _rates(scores.patterns(name), mechanism)
            if len(rates) < 2:
                continue
            metric = task["primary"]
            shown = [(one.family, one.run) for one in series] + [(None, ORACLE)]
            lines = [_band(scores, family, run, name, metric, rates) for family, run in shown]
            title = f"{task_words(name, task)}: missing {how}"
            picture = bands(
                [line for line in lines if line.x],
                name=f"degradation-{place}-{mechanism}",
                title=f"{title}; {metric_words(metric)}; the table below has the numbers",
                x_label="% of each modality missing",
                chance=scores.chance(name, "complete", metric),
            )
            body = [
                [one.label, *(_cell(scores.get(one.run, name, p, metric)) for p in rates.values())]
                for one in series
            ]
            best = [scores.best(name, pattern, metric) for pattern in rates.values()]
            body.append(["best possible", *(number(b, metric, exact=True) for b in best)])
            head = ["run", *(f"{rate} % missing" for rate in rates)]
            panels.append(Panel(title, Markup(picture), head, body))
    return panels


def met(scores: Scores, *, tasks: Tasks, series: Sequence[Series]) -> list[Panel]:
    """Each task's primary metric by what a run was trained with and what it meets."""
    panels = []
    for place, (name, task) in enumerate(tasks.items()):
        patterns, metric = scores.patterns(name), task["primary"]
        if len(patterns) < 2:
            continue
        rows = [[scores.get(one.run, name, p, metric) for one in series] for p in patterns]
        title, words = task_words(name, task), [pattern_words(pattern) for pattern in patterns]
        picture = heat(
            [[None if row is None else row.value for row in line] for line in rows],
            rows=words,
            columns=[one.label for one in series],
            texts=[[_short(row) for row in line] for line in rows],
            name=f"met-{place}",
            title=f"{title}: {metric_words(metric)}; the table below has the numbers",
        )
        body = [
            [met_with, *(_cell(row) for row in line)]
            for met_with, line in zip(words, rows, strict=True)
        ]
        head = ["met with", *(one.label for one in series)]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def worth(
    values: Sequence[ModalityValue], *, tasks: Tasks, series: Sequence[Series]
) -> list[Panel]:
    """What each modality adds on average over all orders (Shapley), with its interval."""
    return _by_task(
        [row for row in values if row.quantity == "shapley"],
        tasks,
        series,
        slug="worth",
        what="worth of each modality",
        label=lambda row: listed([modality_words(m) for m in row.modalities.split("+")]),
    )


def calibration(
    measures: Sequence[Measure], *, tasks: Tasks, series: Sequence[Series]
) -> list[Panel]:
    """How far predicted risks lie from what happened, under each pattern."""
    return _by_task(
        [row for row in measures if row.measure == ERROR and row.part is None],
        tasks,
        series,
        slug="calibration",
        what="calibration error",
        label=lambda row: pattern_words(row.missingness),
    )


def subgroups(
    groups: Sequence[SubgroupResult], *, tasks: Tasks, series: Sequence[Series]
) -> list[Panel]:
    """How each group fares with nothing missing; a group that is too small is left out."""
    return _by_task(
        [row for row in groups if row.missingness == "complete" and row.value is not None],
        tasks,
        series,
        slug="subgroups",
        what="by group of patients",
        label=lambda row: f"{row.subgroup}: {row.level}",
    )


def _by_task(
    rows: Sequence[Any],
    tasks: Tasks,
    series: Sequence[Series],
    *,
    slug: str,
    what: str,
    label: Callable[[Any], str],
) -> list[Panel]:
    """A panel for each task, a line for each label, a mark for each run."""
    panels = []
    for place, (name, task) in enumerate(tasks.items()):
        found = {
            (label(row), row.run): row
            for row in rows
            if row.task == name and row.low is not None and row.high is not None
            if row.run in {one.run for one in series}
        }
        labels = list(dict.fromkeys(words for words, _ in found))
        if not labels:
            continue
        lines = [
            Row(
                words,
                [
                    Mark(one.family, row.value, row.low, row.high)
                    for one in series
                    if (row := found.get((words, one.run))) is not None
                ],
            )
            for words in labels
        ]
        title = f"{task_words(name, task)}: {what}"
        ends = [end for row in found.values() for end in (row.low, row.high, row.value)]
        picture = dots(
            lines,
            name=f"{slug}-{place}",
            title=f"{title}; the table below has the numbers",
            limits=limits(ends),
        )
        body = [
            [words, *(_told(found.get((words, one.run))) for one in series)] for words in labels
        ]
        head = ["", *(one.label for one in series)]
        panels.append(Panel(title, Markup(picture), head, body))
    return panels


def _rates(patterns: Sequence[str], mechanism: str) -> dict[int, str]:
    """The patterns of a mechanism by their rate, with nothing missing first."""
    rates = {0: "complete"} if "complete" in patterns else {}
    for pattern in patterns:
        word, _, rate = pattern.partition("-")
        if word == mechanism and rate.isdigit():
            rates[int(rate)] = pattern
    return dict(sorted(rates.items()))


def _band(
    scores: Scores,
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
    value = number(row.value, row.metric, exact=True)
    return f"{value} ({interval(row.low, row.high, row.metric, exact=True)})"


def _short(row: Result | None) -> str:
    if row is None or isnan(row.value):
        return ""
    return f"{100 * row.value:.0f}" if is_share(row.metric) else f"{row.value:.2f}"


def _told(row: Any) -> str:
    if row is None:
        return "not told"
    people = "" if row.n_samples is None else f", {count(row.n_samples)} samples"
    return f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f}{people})"
