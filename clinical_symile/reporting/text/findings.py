"""Write the main findings of a report as sentences, from the numbers alone."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from clinical_symile.formatting import (
    capitalize_first,
    format_count,
    format_difference,
    format_difference_interval,
    format_interval,
    format_p_value,
    format_value,
    is_percentage,
    join_words,
)
from clinical_symile.missingness.severities import mechanism_rates
from clinical_symile.reporting.cohort_counts import cohort_modalities
from clinical_symile.reporting.result_lookup import ResultTable, Series, TaskTables
from clinical_symile.reporting.text.labels import (
    metric_label,
    modality_label,
    outcome_label,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.benchmark_tables import MethodComparison
from clinical_symile.tracking.results import (
    Comparison,
    Result,
    TestedDifference,
    is_significant,
)

FEW_SUBJECTS = 30  # with fewer, a headline says so
_NOTHING_HIDDEN = ("complete", "observed")


def finding_sentences(
    scores: ResultTable,
    comparisons: Iterable[Comparison],
    *,
    tasks: TaskTables,
    series: Sequence[Series],
    methods_compared: Sequence[MethodComparison] = (),
    methods: Mapping[str, Series] | None = None,
) -> list[str]:
    """Describe level, differences and largest loss, for the first task of each kind with results.

    Args:
        scores: all results.
        comparisons: all differences.
        tasks: definitions, in the order of the report.
        series: the runs.
        methods_compared: differences of methods over subjects and seeds; these replace sentences
            on single seeds.
        methods: the methods by the names of `methods_compared`.
    """
    comparisons, by_run = list(comparisons), {one.run: one for one in series}
    sentences = []
    for kind in dict.fromkeys(task["kind"] for task in tasks.values()):
        levels = {
            name: most_complete_pattern(scores, name=name, task=task, series=series)
            for name, task in tasks.items()
            if task["kind"] == kind
        }
        known = [(name, reference) for name, reference in levels.items() if reference is not None]
        if not known:
            continue
        (name, reference), *_ = known
        task, metric = tasks[name], tasks[name]["primary"]
        paired = [
            row
            for row in comparisons
            if (row.task, row.metric) == (name, metric) and {row.run, row.baseline} <= by_run.keys()
        ]
        worst = worst_pattern(scores, name=name, task=task, reference=reference, series=series)
        parts = [_level(scores, name=name, task=task, pattern=reference, series=series)]
        if worst is not None:
            parts.append(_loss(scores, name=name, metric=metric, pattern=worst, series=series))
        over_seeds = [
            row
            for row in methods_compared
            if (row.task, row.metric) == (name, metric)
            and {row.method, row.baseline} <= (methods or {}).keys()
        ]
        for pattern, sentence in zip((reference, worst), parts, strict=False):
            rows = [row for row in paired if row.missingness == pattern]
            compared = [row for row in over_seeds if row.missingness == pattern]
            pairs = [(row.method, row.baseline) for row in compared]
            known_pairs = {frozenset((methods or {})[m].method for m in pair) for pair in pairs}
            words = [_over_seeds(row, task=task, methods=methods or {}) for row in compared]
            words += _differences(rows, task=task, runs=by_run, without=known_pairs)
            if pattern is not None:
                words += _limits_of_knowledge(scores, name, pattern, metric, series)
            sentences.append(" ".join([sentence, *words]))
    return sentences


def retained_sentences(
    scores: ResultTable, *, tasks: TaskTables, series: Sequence[Series]
) -> list[str]:
    """Say for each task what runs reach with nothing missing and at the highest MCAR rate."""
    sentences = []
    for name, task in tasks.items():
        metric, at = task["primary"], mechanism_rates(scores.patterns(name), "mcar")
        complete, least = (
            _range(scores, series, name, pattern, metric)
            for pattern in ("complete", at[max(at, default=0)] if at else "complete")
        )
        if complete and least and len(at) > 1:
            sentences.append(
                f"{task_label(name, task)}: with nothing missing, {metric_label(metric)} is "
                f"{complete}; where {max(at)} % of each modality is missing at random, {least}."
            )
    return sentences


def oracle_sentences(
    oracle: Mapping[str, Any] | None, *, cohort: Mapping[str, Any], tasks: TaskTables
) -> list[str]:
    """Describe the exact values of a synthetic cohort; nothing where they are unknown.

    Args:
        oracle: total_correlation_nats, and for each task recall_at_1 or auroc.
        cohort: manifest of the cohort.
        tasks: definitions.
    """
    if oracle is None:
        return []
    names = cohort_modalities(cohort)
    all_of_them, nats = (
        join_words([modality_label(m) for m in names]),
        oracle["total_correlation_nats"],
    )
    sentences = [
        f"{capitalize_first(all_of_them)} share {nats:.2f} nats of information "
        f"({nats / math.log(2):.2f} bits): their total correlation, which is 0 if they are "
        "independent."
    ]
    for metric in ("recall_at_1", "auroc"):
        for name, value in oracle[metric].items():
            if name in tasks:
                sentences.append(
                    f"{task_label(name, tasks[name])}: {metric_label(metric)} of the oracle is "
                    f"{format_value(value, metric, exact=True)}."
                )
    return sentences


def _level(
    scores: ResultTable,
    *,
    name: str,
    task: Mapping[str, Any],
    pattern: str,
    series: Sequence[Series],
) -> str:
    metric = task["primary"]
    parts = values_by_method(scores, name=name, metric=metric, pattern=pattern, series=series)
    if metric == "recall_at_1" and task["kind"] == "retrieval":
        what = f"finds the correct {modality_label(task['target'])} first"
        (method, values, ends), *others = parts
        words = [f"{method} {what} in {values} of queries{ends}"]
        words += [f"{method} in {values}{ends}" for method, values, ends in others]
    else:
        (method, values, ends), *others = parts
        words = [f"the {metric_label(metric)} of {method} is {values}{ends}"]
        words += [f"of {method} {values}{ends}" for method, values, ends in others]
    when = task_setting(task, pattern)
    limits = []
    if (best := scores.best(name, pattern, metric)) is not None:
        limits.append(f"the oracle reaches {format_value(best, metric)}")
    if (chance := scores.chance(name, pattern, metric)) is not None:
        limits.append(f"chance level is {format_value(chance, metric)}")
    end = f" {capitalize_first(join_words(limits))}." if limits else ""
    return f"{capitalize_first(when)}, {', '.join(words)}.{end}"


def task_setting(task: Mapping[str, Any], pattern: str) -> str:
    """Return the words for a task's input under a pattern: `with ECG and labs at hand`."""
    read = [modality_label(m) for m in task.get("query", task.get("inputs", ()))]
    when = f"with {join_words(read)} at hand" if pattern == "complete" else pattern_label(pattern)
    if task["kind"] == "classification":
        return f"to predict {outcome_label(task['outcome'])} {when}"
    return when


def values_by_method(
    scores: ResultTable, *, name: str, metric: str, pattern: str, series: Sequence[Series]
) -> list[tuple[str, str, str]]:
    """Return each method with its values, and the interval if there is only one seed."""
    parts = []
    for method in dict.fromkeys(one.method for one in series):
        runs = [one.run for one in series if one.method == method]
        rows = [row for run in runs if (row := scores.get(run, name, pattern, metric)) is not None]
        values = join_words([format_value(row.value, metric) for row in rows])
        if len(rows) == 1:
            parts.append(
                (method, values, f" ({format_interval(rows[0].low, rows[0].high, metric)})")
            )
        elif rows:
            parts.append((method, values, f" ({len(rows)} seeds)"))
    return parts


def _over_seeds(
    row: MethodComparison, *, task: Mapping[str, Any], methods: Mapping[str, Series]
) -> str:
    """Describe the difference of two methods over subjects and seeds."""
    one, other = methods[row.method].method, methods[row.baseline].method
    unit = " points" if is_percentage(row.metric) else ""
    start = f"Over subjects and seeds ({row.n_seeds} and {row.n_baseline_seeds}), "
    p_value = f"p {format_p_value(row.p_holm)}".replace("p <", "p < ")
    better = better_sign(row, task=task)
    if not better:
        ends = format_difference_interval(row.low, row.high, row.metric)
        return (
            f"{start}{one} minus {other} is {format_difference(row.difference, row.metric)}{unit} "
            f"({ends}; {p_value}), so these data do not tell which is better."
        )
    first, second = (one, other) if better > 0 else (other, one)
    size, ends = size_in_words(row)
    return f"{start}{first} is better than {second} by {size} ({ends}; {p_value})."


def _limits_of_knowledge(
    scores: ResultTable, name: str, pattern: str, metric: str, series: Sequence[Series]
) -> list[str]:
    """Say where no run differs from chance level, and where there are few subjects."""
    rows = [
        row for one in series if (row := scores.get(one.run, name, pattern, metric)) is not None
    ]
    words = []
    known = [row for row in rows if row.chance is not None and row.low is not None]
    if rows and len(known) == len(rows) and all(_includes_chance(row) for row in known):
        words.append("None can be told from chance level.")
    subjects = min((row.n_subjects for row in rows), default=FEW_SUBJECTS)
    if subjects < FEW_SUBJECTS:
        words.append(f"This rests on {format_count(subjects)} subjects only.")
    return words


def _includes_chance(row: Result) -> bool:
    return row.low is None or row.high is None or row.low <= (row.chance or 0.0) <= row.high


def _differences(
    rows: Iterable[Comparison],
    *,
    task: Mapping[str, Any],
    runs: Mapping[str, Series],
    without: Collection[frozenset[str]] = (),
) -> list[str]:
    """Describe for each pair of methods which is better, or with how many seeds.

    Pairs in `without` are described over seeds already.
    """
    by_pair: dict[tuple[str, str], list[Comparison]] = {}
    for row in rows:
        pair = (runs[row.run].method, runs[row.baseline].method)
        if frozenset(pair) in without:
            continue
        by_pair.setdefault(pair, []).append(row)
    sentences = []
    for (one, other), pairs in by_pair.items():
        if len(pairs) == 1:
            sentences.append(_difference(pairs[0], one, other, task=task))
            continue
        better = Counter(better_sign(row, task=task) for row in pairs)
        words = [
            f"{first} is better than {second} with {better[sign]} of {len(pairs)} seeds"
            for first, second, sign in ((one, other, 1), (other, one, -1))
            if better[sign]
        ]
        if better[0]:
            words.append(
                f"{better[0]} of {len(pairs)} seeds show no significant difference between "
                f"{one} and {other}"
            )
        sentences.append(f"On the same samples, {join_words(words)}.")
    return sentences


def better_sign(row: TestedDifference, *, task: Mapping[str, Any]) -> int:
    """Return 1 if the first is better, -1 if its baseline is, 0 if neither is significant."""
    if not is_significant(row):
        return 0
    sign = 1 if row.difference > 0 else -1
    return sign if task["higher_is_better"] else -sign


def size_in_words(row: TestedDifference) -> tuple[str, str]:
    """Return the size of a difference with its unit, and the ends of its interval without signs.

    The second is empty without an interval.
    """
    unit = " points" if is_percentage(row.metric) else ""
    size = f"{format_difference(abs(row.difference), row.metric, signed=False)}{unit}"
    if row.low is None or row.high is None:
        return size, ""
    ends = sorted((abs(row.low), abs(row.high)))
    return size, " to ".join(format_difference(end, row.metric, signed=False) for end in ends)


def _difference(row: Comparison, one: str, other: str, *, task: Mapping[str, Any]) -> str:
    metric, unit = row.metric, " points" if is_percentage(row.metric) else ""
    better = better_sign(row, task=task)
    if better:
        first, second = (one, other) if better > 0 else (other, one)
        size, ends = size_in_words(row)
        return f"On the same samples, {first} is better than {second} by {size} ({ends})."
    size = format_difference(row.difference, metric)
    ends = format_difference_interval(row.low, row.high, metric)
    why = "the interval includes 0"
    if row.low is None or row.high is None:
        why = row.no_interval or "there is no interval"
    elif row.low > 0 or row.high < 0:
        why = f"p is {format_p_value(row.p_holm)} after adjusting for {row.family}"
    return (
        f"On the same samples, {one} minus {other} is {size}{unit} ({ends}): {why.rstrip('.')}, so "
        "these data do not tell which is better."
    )


def most_complete_pattern(
    scores: ResultTable, *, name: str, task: Mapping[str, Any], series: Sequence[Series]
) -> str | None:
    """Return the most complete pattern with a primary result of a run; None without any."""
    for pattern in scores.patterns(name):
        if any(scores.get(one.run, name, pattern, task["primary"]) for one in series):
            return pattern
    return None


def worst_pattern(
    scores: ResultTable,
    *,
    name: str,
    task: Mapping[str, Any],
    reference: str,
    series: Sequence[Series],
) -> str | None:
    """Return the pattern with the largest mean loss over runs; None where nothing is lost.

    None as well where the reference pattern hides something itself.
    """
    if reference not in _NOTHING_HIDDEN:
        return None
    metric, sign = task["primary"], 1 if task["higher_is_better"] else -1
    lost = {}
    for pattern in scores.patterns(name):
        pairs = [
            (
                scores.get(one.run, name, reference, metric),
                scores.get(one.run, name, pattern, metric),
            )
            for one in series
        ]
        known = [sign * (a.value - b.value) for a, b in pairs if a is not None and b is not None]
        if pattern not in (reference, "observed") and known:
            lost[pattern] = sum(known) / len(known)
    worst = max(lost, key=lambda pattern: lost[pattern], default=None)
    return worst if worst is not None and lost[worst] > 0 else None


def _loss(
    scores: ResultTable, *, name: str, metric: str, pattern: str, series: Sequence[Series]
) -> str:
    parts = values_by_method(scores, name=name, metric=metric, pattern=pattern, series=series)
    now = [f"{method} {values}" for method, values, _ in parts]
    best = scores.best(name, pattern, metric)
    end = f", where the oracle reaches {format_value(best, metric)}" if best is not None else ""
    words = pattern_label(pattern)
    start = words if pattern.startswith("without") else f"with {words}"
    return f"The largest loss is {start}: {join_words(now)}{end}."


def _range(
    scores: ResultTable, series: Sequence[Series], task: str, pattern: str, metric: str
) -> str:
    """Return the lowest and the highest value of the runs, and the oracle's."""
    rows = [(one, scores.get(one.run, task, pattern, metric)) for one in series]
    known = sorted(
        (
            (row.value, one.label)
            for one, row in rows
            if row is not None and not math.isnan(row.value)
        ),
        key=lambda pair: pair[0],
    )
    if not known:
        return ""
    (low, lowest), (high, highest) = known[0], known[-1]
    words = f"from {format_value(low, metric)} ({lowest}) to {format_value(high, metric)}"
    words += f" ({highest})"
    best = scores.best(task, pattern, metric)
    return words if best is None else f"{words}; the oracle reaches {format_value(best, metric)}"
