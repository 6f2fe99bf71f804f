"""Answer a report's question in at most three sentences, the best supported first."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_symile.formatting import (
    capitalize_first,
    format_value,
    join_words,
)
from clinical_symile.missingness.severities import mechanism_rates
from clinical_symile.reporting.result_lookup import (
    ResultTable,
    Series,
    TaskTables,
)
from clinical_symile.reporting.text.findings import (
    better_sign,
    most_complete_pattern,
    retained_sentences,
    size_in_words,
    task_setting,
    values_by_method,
)
from clinical_symile.reporting.text.labels import metric_label, modality_label, pattern_label
from clinical_symile.tracking.benchmark_tables import MethodComparison
from clinical_symile.tracking.results import Comparison, TestedDifference

MOST_ANSWERS = 3
_NAMED_METHODS = 3  # a sentence on more of them names the lowest and the highest
_KINDS = {"retrieval": "retrieval", "classification": "prediction"}
_UNKNOWN = "these data do not tell which is better"


@dataclass(frozen=True)
class Decision:
    """The outcome of comparing two methods on the primary metric of a task under one pattern.

    Attributes:
        task: the task's name.
        pattern: the missingness pattern.
        methods: the two methods.
        better: the method that is significantly better; empty if neither is.
        words: the size of the difference with its interval, or the seeds that agree.
        strength: the difference in half-widths of its interval; 0 if neither method is better.
        most_lost: by how much each method may be worse than the other, at most, by the 95 %
            interval; None without one.
    """

    task: str
    pattern: str
    methods: tuple[str, str]
    better: str
    words: str
    strength: float
    most_lost: tuple[float | None, float | None] = (None, None)

    @property
    def worse(self) -> str:
        """The other method."""
        return next(name for name in self.methods if name != self.better)


def answer_sentences(
    scores: ResultTable,
    decisions: Sequence[Decision],
    *,
    tasks: TaskTables,
    series: Sequence[Series],
) -> list[str]:
    """Answer which method is better, complete and with modalities missing.

    Args:
        scores: all results.
        decisions: of `method_decisions`.
        tasks: definitions, in the order of the report.
        series: the runs, without baselines.

    Returns:
        At most `MOST_ANSWERS` sentences: what is decided comes before what is not.
    """
    answers: list[tuple[float, str]] = []
    for kind in dict.fromkeys(task["kind"] for task in tasks.values()):
        of_kind = {name: task for name, task in tasks.items() if task["kind"] == kind}
        level = _level_answer(scores, decisions, tasks=of_kind, series=series)
        missing = _missing_answer(decisions, tasks=of_kind, kind=kind)
        if level is None:
            continue
        if missing is not None and level[0] == missing[0] == 0.0:
            count = sum(1 for one in decisions if _is_missing(one, of_kind))
            both = f"{level[1].removesuffix('.')}, nor in any of {count} comparisons with "
            answers.append((0.0, f"{both}modalities missing."))
            continue
        answers += [level] if missing is None else [level, missing]
    answers.sort(key=lambda pair: -pair[0])  # stable: ties keep the order of the tasks
    return [sentence for _, sentence in answers[:MOST_ANSWERS]]


def retained_answers(
    scores: ResultTable,
    decisions: Sequence[Decision],
    *,
    tasks: TaskTables,
    series: Sequence[Series],
) -> list[str]:
    """Say for each task what is retained, the task with the largest share of decided pairs first.

    Args:
        scores: all results.
        decisions: of `method_decisions`.
        tasks: definitions, in the order of the report.
        series: the runs.

    Returns:
        One sentence for each task; not cut to `MOST_ANSWERS`.
    """
    answers: list[tuple[float, str]] = []
    for name, task in tasks.items():
        sentences = retained_sentences(scores, tasks={name: task}, series=series)
        rates = mechanism_rates(scores.patterns(name), "mcar")
        at_most = rates[max(rates)] if rates else ""
        pairs = [one for one in decisions if (one.task, one.pattern) == (name, at_most)]
        decided = sum(bool(one.better) for one in pairs)
        words = f" There, {decided} of {len(pairs)} pairs of methods differ." if pairs else ""
        share = decided / len(pairs) if pairs else 0.0
        answers += [(share, sentence + words) for sentence in sentences]
    answers.sort(key=lambda pair: -pair[0])
    return [sentence for _, sentence in answers]


def method_decisions(
    comparisons: Iterable[Comparison],
    *,
    tasks: TaskTables,
    series: Sequence[Series],
    methods_compared: Iterable[MethodComparison] = (),
    methods: Mapping[str, Series] | None = None,
) -> list[Decision]:
    """Decide each pair of methods on each task's primary metric under each pattern.

    A comparison over subjects and seeds replaces those of single seeds. Without it, a method with
    several seeds is better if it is significantly better with each of them.

    Args:
        comparisons: differences of runs.
        tasks: definitions.
        series: the runs whose methods are compared.
        methods_compared: differences of methods over subjects and seeds.
        methods: the methods by the names of `methods_compared`.
    """
    by_run, named = {one.run: one for one in series}, methods or {}
    compared = {one.method for one in series}
    found: dict[tuple[str, str, frozenset[str]], Decision] = {}
    for row in methods_compared:
        if not {row.method, row.baseline} <= named.keys() or not _is_primary(row, tasks):
            continue
        pair = (named[row.method].method, named[row.baseline].method)
        if set(pair) <= compared:
            key = (row.task, row.missingness, frozenset(pair))
            found[key] = _decide_over_seeds(row, pair, tasks[row.task])
    rows_of: dict[tuple[str, str, frozenset[str]], list[Comparison]] = {}
    for row in comparisons:
        if not {row.run, row.baseline} <= by_run.keys() or not _is_primary(row, tasks):
            continue
        pair = (by_run[row.run].method, by_run[row.baseline].method)
        key = (row.task, row.missingness, frozenset(pair))
        if len(key[2]) == len(pair) and key not in found:
            rows_of.setdefault(key, []).append(row)
    for key, rows in rows_of.items():
        pair = (by_run[rows[0].run].method, by_run[rows[0].baseline].method)
        found[key] = _decide_over_runs(rows, pair, tasks[key[0]], by_run=by_run)
    return list(found.values())


def _is_primary(row: Comparison | MethodComparison, tasks: TaskTables) -> bool:
    return row.task in tasks and row.metric == tasks[row.task]["primary"]


def _decide_over_seeds(
    row: MethodComparison, pair: tuple[str, str], task: Mapping[str, Any]
) -> Decision:
    sign, lost = better_sign(row, task=task), _most_lost(row, task)
    if not sign:
        return Decision(row.task, row.missingness, pair, "", "", 0.0, lost)
    better = pair[0] if sign > 0 else pair[1]
    words, strength = _words_and_strength(row)
    return Decision(row.task, row.missingness, pair, better, words, strength, lost)


def _decide_over_runs(
    rows: Sequence[Comparison],
    pair: tuple[str, str],
    task: Mapping[str, Any],
    *,
    by_run: Mapping[str, Series],
) -> Decision:
    winners: set[str] = set()
    lost: list[tuple[float | None, float | None]] = []
    for row in rows:
        sign = better_sign(row, task=task)
        first, second = by_run[row.run].method, by_run[row.baseline].method
        winners.add({1: first, -1: second, 0: ""}[sign])
        one, other = _most_lost(row, task)
        lost.append((one, other) if (first, second) == pair else (other, one))
    most = (_greatest([ends[0] for ends in lost]), _greatest([ends[1] for ends in lost]))
    name, pattern = rows[0].task, rows[0].missingness
    (better, *others) = winners
    if others or not better:
        return Decision(name, pattern, pair, "", "", 0.0, most)
    sizes = [_words_and_strength(row) for row in rows]
    strength = min(size for _, size in sizes)
    words = sizes[0][0] if len(rows) == 1 else f"with each of {len(rows)} seeds"
    return Decision(name, pattern, pair, better, words, strength, most)


def _most_lost(
    row: TestedDifference, task: Mapping[str, Any]
) -> tuple[float, float] | tuple[None, None]:
    """Return by how much the first and its baseline may be worse, at most, by the interval."""
    if row.low is None or row.high is None or not math.isfinite(row.high - row.low):
        return None, None
    lost = (-row.low, row.high) if task["higher_is_better"] else (row.high, -row.low)
    return max(lost[0], 0.0), max(lost[1], 0.0)


def _greatest(values: Sequence[float | None]) -> float | None:
    """Return the greatest of the values; None if one is not known."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _words_and_strength(row: TestedDifference) -> tuple[str, float]:
    """Return a difference with its interval in words, and in half-widths of the interval."""
    size, ends = size_in_words(row)
    if row.low is None or row.high is None or row.low == row.high:
        return f"by {size}", 1.0
    return f"by {size} ({ends})", abs(row.difference) / ((row.high - row.low) / 2)


def _level_answer(
    scores: ResultTable,
    decisions: Sequence[Decision],
    *,
    tasks: TaskTables,
    series: Sequence[Series],
) -> tuple[float, str] | None:
    """Compare the methods on the first task with results, with nothing or the least missing."""
    for name, task in tasks.items():
        pattern = most_complete_pattern(scores, name=name, task=task, series=series)
        if pattern is None:
            continue
        values = _values(scores, name=name, task=task, pattern=pattern, series=series)
        start = f"{capitalize_first(task_setting(task, pattern))}, {values}"
        pairs = [one for one in decisions if (one.task, one.pattern) == (name, pattern)]
        if not pairs:
            chance = scores.chance(name, pattern, task["primary"])
            level = "" if chance is None else f"; chance is {format_value(chance, task['primary'])}"
            return 0.0, f"{start}{level}."
        best = max(pairs, key=lambda one: one.strength)
        if not best.better:
            return 0.0, f"{start}: {_UNKNOWN}."
        several = len({name for one in pairs for name in one.methods}) > len(best.methods)
        than = f" than {best.worse}" * several
        decided = sum(bool(one.better) for one in pairs)
        more = f"; {decided} of {len(pairs)} pairs differ" * several
        return best.strength, f"{start}: {best.better} is better{than} {best.words}{more}."
    return None


def _values(
    scores: ResultTable,
    *,
    name: str,
    task: Mapping[str, Any],
    pattern: str,
    series: Sequence[Series],
) -> str:
    metric = task["primary"]
    parts = values_by_method(scores, name=name, metric=metric, pattern=pattern, series=series)
    found = [(method, values) for method, values, _ in parts]
    if len(found) > _NAMED_METHODS:
        rows = [(scores.get(one.run, name, pattern, metric), one.method) for one in series]
        known = sorted((row.value, method) for row, method in rows if row is not None)
        ends = (known[0], known[-1])
        words = [f"{format_value(value, metric)} ({method})" for value, method in ends]
        return f"{metric_label(metric)} of {len(found)} methods is from {words[0]} to {words[1]}"
    if metric == "recall_at_1" and task["kind"] == "retrieval":
        (method, values), *others = found
        first = f"{method} finds the correct {modality_label(task['target'])} first in {values}"
        return ", ".join(
            [f"{first} of queries", *(f"{method} in {values}" for method, values in others)]
        )
    words = [f"{values} for {method}" for method, values in found]
    return f"{metric_label(metric)} is {join_words(words)}"


def _missing_answer(
    decisions: Sequence[Decision], *, tasks: TaskTables, kind: str
) -> tuple[float, str] | None:
    """Count the comparisons with modalities missing in which a method is better."""
    found = [one for one in decisions if _is_missing(one, tasks)]
    if not found:
        return None
    total, of = len(found), _KINDS.get(kind, kind)
    decided = [one for one in found if one.better]
    start = f"In {of} with modalities missing"
    if not decided:
        return 0.0, f"{start}, {_UNKNOWN} in any of {total} comparisons."
    wins: dict[tuple[str, str], list[Decision]] = {}
    for one in decided:
        wins.setdefault((one.better, one.worse), []).append(one)
    most = sorted(wins.items(), key=lambda pair: -len(pair[1]))[:MOST_ANSWERS]
    words = [
        f"{better} is better than {worse} in {len(rows)} of {total} comparisons{_where(rows)}"
        for (better, worse), rows in most
    ]
    more = len(decided) - sum(len(rows) for _, rows in most)
    rest = total - len(decided)
    end = f"; {more} more show a better method" if more else ""
    end += f"; {_undecided(rest)}" if rest else ""
    strength = min(one.strength for one in decided)
    return strength * len(decided) / total, f"{start}, {join_words(words)}{end}."


def _is_missing(decision: Decision, tasks: TaskTables) -> bool:
    return decision.task in tasks and decision.pattern not in ("complete", "observed")


def _undecided(number: int) -> str:
    """Say how many comparisons are not decided."""
    return f"{number} {'does' if number == 1 else 'do'} not tell which is better"


def _where(rows: Sequence[Decision]) -> str:
    patterns = list(dict.fromkeys(one.pattern for one in rows))
    return f" ({pattern_label(patterns[0])})" if len(patterns) == 1 else ""
