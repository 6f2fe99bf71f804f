"""Show which method is best for each kind of missingness, how sure that is, and what it costs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from clinical_symile.errors import DefinitionError
from clinical_symile.formatting import (
    DASH,
    format_difference,
    format_seconds,
    format_value,
    is_percentage,
    join_words,
)
from clinical_symile.missingness.part_patterns import NOISE
from clinical_symile.missingness.patterns import Pattern, parse_pattern
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.sections.base import Content, ReportPanel, Section
from clinical_symile.reporting.text.answers import Decision
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.costs import RunCosts

_NAMED = 4  # a cell with more methods counts the rest
_KINDS = (
    "nothing missing",
    "a modality always missing",
    "missing completely at random",
    "missing more often by a column",
    "missing more often by its value",
    "a part of a modality missing",
    "noise in a modality",
    "as at the site",
)


@dataclass(frozen=True)
class BestMethod:
    """The best method of a task under one kind of missingness.

    Attributes:
        task: the task's name.
        kind: the kind of missingness, in words.
        pattern: the pattern of this kind under which the methods are worst.
        values: the mean over seeds of each method's primary metric, the best first.
        worse: the methods that are significantly worse than the best.
        most_lost: by how much each method may be worse than any other, at most, by the 95 %
            intervals of the differences, each by itself; None without them.
    """

    task: str
    kind: str
    pattern: str
    values: Mapping[str, float]
    worse: frozenset[str]
    most_lost: Mapping[str, float | None]

    @property
    def best(self) -> str:
        """The method with the best mean."""
        return next(iter(self.values))

    @property
    def leaders(self) -> list[str]:
        """The best method and those that are not significantly worse, the best first."""
        return [method for method in self.values if method not in self.worse]


def best_methods(
    scores: ResultTable,
    decisions: Iterable[Decision],
    *,
    tasks: TaskTables,
    trained: Sequence[Series],
) -> list[BestMethod]:
    """Return the best method of each task under each kind of missingness that was evaluated.

    Args:
        scores: all results.
        decisions: which of two methods is better; see `method_decisions`.
        tasks: definitions, in the order of the report.
        trained: the runs, without baselines.
    """
    pairs: dict[tuple[str, str, str], list[Decision]] = {}
    for one in decisions:
        for method in one.methods:
            pairs.setdefault((one.task, one.pattern, method), []).append(one)
    found = []
    for name, task in tasks.items():
        for kind, pattern, values in _hardest(scores, name, task, trained):
            best = next(iter(values))
            of = pairs.get((name, pattern, best), [])
            worse = frozenset(one.worse for one in of if one.better == best)
            lost = {
                method: _greatest_loss(pairs.get((name, pattern, method), []), method, values)
                for method in values
            }
            found.append(BestMethod(name, kind, pattern, values, worse, lost))
    return found


def best_method_sentences(
    best: Sequence[BestMethod],
    costs: Mapping[str, float],
    scores: ResultTable,
    *,
    tasks: TaskTables,
) -> list[str]:
    """State for each task which methods hold up under all kinds of missingness, and what leads.

    Args:
        best: of `best_methods`.
        costs: processor seconds of a training, by method; those that are known.
        scores: all results.
        tasks: definitions.
    """
    general, hardest = [], []
    for name in dict.fromkeys(one.task for one in best):
        rows, task = [one for one in best if one.task == name], tasks[name]
        metric = str(task["primary"])
        general.append(f"{task_label(name, task)}: {_hold_up(rows, costs, metric)}")
        missing = [one for one in rows if one.pattern != "complete"]
        if missing:
            hardest.append(_leads(missing[0], scores, task))
    return general + hardest


def draw_best_method(
    *,
    scores: ResultTable,
    decisions: Sequence[Decision],
    tasks: TaskTables,
    trained: Sequence[Series],
    runs: Sequence[Mapping[str, Any]],
) -> Content | None:
    """Draw a table for each task: the best method under each kind of missingness."""
    best = best_methods(scores, decisions, tasks=tasks, trained=trained)
    if not best or len(best[0].values) < 2:
        return None
    costs = training_costs(runs, trained)
    head = [
        "kind",
        "pattern",
        "best",
        "attainable",
        "significantly worse",
        "no significant difference",
        "training",
    ]
    panels = []
    for name in dict.fromkeys(one.task for one in best):
        metric = str(tasks[name]["primary"])
        body = [
            [
                one.kind,
                pattern_label(one.pattern),
                f"{one.best}: {format_value(one.values[one.best], metric)}",
                format_value(scores.best(name, one.pattern, metric), metric),
                f"{len(one.worse)} of {len(one.values) - 1}",
                _several([_with_most(one, method, metric) for method in one.leaders[1:]]) or "none",
                _cost(one.leaders, costs),
            ]
            for one in best
            if one.task == name
        ]
        title = f"{task_label(name, tasks[name])}: {metric_label(metric)}"
        panels.append(ReportPanel(title, None, head, body))
    return Content(
        heading="Which method holds up, for which kind of missingness, and what does it cost?",
        text="Of each kind, the row shows the pattern under which the methods are worst. Values "
        "are means over seeds. A method is significantly worse than the best by the 95 % interval "
        "of the difference and after Holm's correction. Of each method that is not, the row says "
        "by how much it may be worse than any other, at most, by these intervals, each by itself. "
        "A method whose results vary much can lose much and yet not be significantly worse.",
        panels=panels,
        caption="Training: processor time of the best method's training, and the method that "
        "costs least of those that are not significantly worse.",
    )


def training_costs(
    runs: Sequence[Mapping[str, Any]], trained: Sequence[Series]
) -> dict[str, float]:
    """Return the mean processor seconds of a training by method, where they are recorded."""
    records = {str(record["name"]): record for record in runs}
    seconds: dict[str, list[float]] = {}
    for one in trained:
        if one.run in records:
            spent = RunCosts.from_record(records[one.run]).training_processor_s
            if spent is not None:
                seconds.setdefault(one.method, []).append(spent)
    return {method: mean(values) for method, values in seconds.items()}


BEST_METHOD = Section(
    "best_method",
    ("scores", "decisions", "tasks", "trained", "runs"),
    draw_best_method,
    display_name="best method",
    description="Lists the best method for each kind of missingness, with its certainty and cost.",
)


def _kind(pattern: Pattern) -> str | None:
    """Return the kind of missingness of a pattern; None if it is not one of `_KINDS`."""
    complete, always, at_random, by_column, by_value, within, noise, site = _KINDS
    if pattern.within:
        return noise if pattern.part in NOISE else within
    if pattern.mechanism:
        kinds = {"mcar": at_random, "mar": by_column, "mnar": by_value, "site": site}
        return kinds.get(pattern.mechanism)
    if pattern.without or pattern.only:
        return always
    return complete if pattern.complete else None


def _hardest(
    scores: ResultTable, name: str, task: Mapping[str, Any], trained: Sequence[Series]
) -> list[tuple[str, str, dict[str, float]]]:
    """Return each kind, the pattern with the worst mean of the methods, and their values."""
    sign = 1 if task["higher_is_better"] else -1
    worst: dict[str, tuple[float, str, dict[str, float]]] = {}
    for pattern in scores.patterns(name):
        try:
            kind = _kind(parse_pattern(pattern))
        except DefinitionError:  # a pattern of a later version
            continue
        seeds: dict[str, list[float]] = {}
        for one in trained:
            if (row := scores.get(one.run, name, pattern, task["primary"])) is not None:
                seeds.setdefault(one.method, []).append(row.value)
        if kind is None or not seeds:
            continue
        means = {method: mean(values) for method, values in seeds.items()}
        level = sign * mean(means.values())
        if kind not in worst or level < worst[kind][0]:
            ranked = sorted(means, key=lambda method: -sign * means[method])
            worst[kind] = (level, pattern, {method: means[method] for method in ranked})
    return [(kind, *worst[kind][1:]) for kind in _KINDS if kind in worst]


def _greatest_loss(
    decisions: Sequence[Decision], method: str, values: Mapping[str, float]
) -> float | None:
    """Return by how much a method may be worse than any other; None if a pair has no interval."""
    lost = {
        other: one.most_lost[one.methods.index(method)]
        for one in decisions
        for other in one.methods
        if other != method
    }
    known = [lost.get(other) for other in values if other != method]
    found = [value for value in known if value is not None]
    return max(found) if found and len(found) == len(known) else None


def _hold_up(rows: Sequence[BestMethod], costs: Mapping[str, float], metric: str) -> str:
    """Say which methods are among the leaders of every row, or of most rows, and what is sure."""
    methods = list(dict.fromkeys(method for one in rows for method in one.leaders))
    counts = {method: sum(method in one.leaders for one in rows) for method in methods}
    most = max(counts.values())
    lost = {method: _most_lost(rows, method) for method in methods if counts[method] == most}
    leading = sorted(lost, key=lambda method: math.inf if (at := lost[method]) is None else at)
    every = {method for one in rows for method in one.values}
    kinds = f"{len(rows)} kinds of missingness"
    if most < len(rows):
        words = f"no method is among the best for all {kinds}; {_several(leading)} {_is(leading)} "
        words += f"for {most} of them"
    elif len(leading) == len(every) > 1:
        words = f"none of {len(every)} methods is significantly worse than the best for any of "
        words += kinds
    else:
        words = f"{_several(leading)} {_is(leading)} not significantly worse than the best method "
        words += f"for any of {kinds}"
    first = leading[0]
    if (least := lost[first]) is not None:
        start = f"Least can be lost with {first}" if len(leading) > 1 else f"With {first}"
        words += f". {start}: by the 95 % intervals, each by itself, at most "
        words += f"{_size(least, metric)} under the hardest pattern of each kind"
    return f"{words}{_cheapest(leading, costs, lost, metric)}."


def _cheapest(
    leading: Sequence[str],
    costs: Mapping[str, float],
    lost: Mapping[str, float | None],
    metric: str,
) -> str:
    """Say which of these methods costs least to train, and by how much it may be worse."""
    known = {method: costs[method] for method in leading if method in costs}
    if len(known) < 2:
        return ""
    least = min(known, key=lambda method: known[method])
    words = f". Of these, {least} costs least to train ({format_seconds(known[least])})"
    if (at_most := lost[least]) is None:
        return f"{words}; by how much it may be worse is not known"
    if least == leading[0]:
        return words
    return f"{words}; it may be worse than another by up to {_size(at_most, metric)}"


def _most_lost(rows: Sequence[BestMethod], method: str) -> float | None:
    """Return by how much a method may be worse than another, at most, in any of the rows."""
    lost = [one.most_lost.get(method) for one in rows]
    known = [value for value in lost if value is not None]
    return max(known) if len(known) == len(lost) else None


def _size(lost: float, metric: str) -> str:
    unit = " points" if is_percentage(metric) else f" of {metric_label(metric)}"
    return f"{format_difference(lost, metric, signed=False)}{unit}"


def _with_most(one: BestMethod, method: str, metric: str) -> str:
    """Return a method with the most that it may be worse than any other."""
    lost = one.most_lost[method]
    return method if lost is None else f"{method} (by up to {_size(lost, metric)})"


def _leads(one: BestMethod, scores: ResultTable, task: Mapping[str, Any]) -> str:
    """Say which method leads under a pattern, and how sure that is."""
    metric = str(task["primary"])
    words = (
        f"{task_label(one.task, task)}, {pattern_label(one.pattern)}: {one.best} has the best "
        f"{metric_label(metric)} ({format_value(one.values[one.best], metric)}"
    )
    attainable = scores.best(one.task, one.pattern, metric)
    words += ")" if attainable is None else f"; {format_value(attainable, metric)} is attainable)"
    others = len(one.values) - 1
    if not others:
        return f"{words}."
    return f"{words}; it is significantly better than {len(one.worse)} of {others} other methods."


def _several(methods: Sequence[str]) -> str:
    named = list(methods[:_NAMED])
    more = len(methods) - len(named)
    return join_words([*named, f"{more} more"] if more else named) if named else ""


def _is(methods: Sequence[str]) -> str:
    return "is" if len(methods) == 1 else "are"


def _cost(leaders: Sequence[str], costs: Mapping[str, float]) -> str:
    """Return the cost of the first method, and the least of the others if it is lower."""
    known = {method: costs[method] for method in leaders if method in costs}
    if leaders[0] not in known:
        return DASH
    least = min(known, key=lambda method: known[method])
    words = format_seconds(known[leaders[0]])
    return words if least == leaders[0] else f"{words}; {least}: {format_seconds(known[least])}"
