"""What the results say, in sentences made from the numbers; they take no side."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinical_symile.formatting import (
    format_difference,
    format_interval,
    format_p_value,
    format_value,
    is_percentage,
    join_words,
)
from clinical_symile.registry import CLASSIFICATION_METRICS, RETRIEVAL_METRICS, resolve
from clinical_symile.reporting.result_lookup import ResultTable, Series
from clinical_symile.reporting.text.labels import (
    metric_label,
    modality_label,
    outcome_label,
    pattern_label,
    task_label,
)
from clinical_symile.tracking.results import Comparison, Result, is_significant

Tasks = Mapping[str, Mapping[str, Any]]
WHOLE = ("complete", "observed")  # the patterns that hide nothing


def findings(
    scores: ResultTable,
    comparisons: Iterable[Comparison],
    *,
    tasks: Tasks,
    series: Sequence[Series],
) -> list[str]:
    """How good, who is better and what is lost, for the first task of each kind that says so.

    Args:
        scores: all results.
        comparisons: all differences.
        tasks: definitions, in the order of the report.
        series: the runs.
    """
    comparisons, by_run = list(comparisons), {one.run: one for one in series}
    sentences = []
    for kind in dict.fromkeys(task["kind"] for task in tasks.values()):
        levels = {
            name: _whole(scores, name=name, task=task, series=series)
            for name, task in tasks.items()
            if task["kind"] == kind
        }
        told_of = [(name, whole) for name, whole in levels.items() if whole is not None]
        if not told_of:
            continue
        (name, whole), *_ = told_of
        task, metric = tasks[name], tasks[name]["primary"]
        paired = [
            row
            for row in comparisons
            if (row.task, row.metric) == (name, metric) and {row.run, row.baseline} <= by_run.keys()
        ]
        worst = _worst(scores, name=name, task=task, whole=whole, series=series)
        told = [_level(scores, name=name, task=task, pattern=whole, series=series)]
        if worst is not None:
            told.append(_loss(scores, name=name, metric=metric, pattern=worst, series=series))
        for pattern, sentence in zip((whole, worst), told, strict=False):
            rows = [row for row in paired if row.missingness == pattern]
            sentences.append(" ".join([sentence, *_differences(rows, task=task, runs=by_run)]))
    return sentences


def above_the_best(
    differences: Iterable[Comparison], *, tasks: Tasks, series: Sequence[Series]
) -> list[str]:
    """Runs that are better than is possible, by more than chance explains.

    Args:
        differences: of runs minus the best possible.
        tasks: definitions.
        series: the runs.
    """
    labels = {one.run: one.label for one in series}
    sentences = []
    for row in differences:
        task, metric = tasks[row.task], row.metric
        if _better(row, task=task) > 0:
            unit = " points" if is_percentage(metric) else ""
            size, low, high = (
                format_difference(end, metric) for end in (row.difference, row.low, row.high)
            )
            sentences.append(
                f"{labels[row.run]}, {_lower(task_label(row.task, task))}, "
                f"{pattern_label(row.missingness)}: {metric_label(metric)} differs from the best "
                f"possible by {size}{unit} ({low} to {high})."
            )
    return sentences


def possible(
    oracle: Mapping[str, Any] | None, *, cohort: Mapping[str, Any], tasks: Tasks
) -> list[str]:
    """What is exactly true of a made-up world; nothing where nobody knows it.

    Args:
        oracle: total_correlation_nats, and for each task recall_at_1 or auroc.
        cohort: whose modalities share it.
        tasks: definitions.
    """
    if oracle is None:
        return []
    names = dict.fromkeys(m for split in cohort["counts"].values() for m in split["present"])
    all_of_them, nats = (
        join_words([modality_label(m) for m in names]),
        oracle["total_correlation_nats"],
    )
    sentences = [
        f"{_upper(all_of_them)} share {nats:.2f} nats of information "
        f"({nats / math.log(2):.2f} bits): their total correlation, which would be 0 if none told "
        "anything about the others."
    ]
    for metric in ("recall_at_1", "auroc"):
        for name, value in oracle[metric].items():
            if name in tasks:
                sentences.append(
                    f"{task_label(name, tasks[name])}: {metric_label(metric)} is at best "
                    f"{format_value(value, metric, exact=True)}."
                )
    return sentences


def made_differently(runs: Sequence[Mapping[str, Any]]) -> str | None:
    """That runs were made by different code or versions, and which; None if by the same."""
    commits = dict.fromkeys(str(run.get("git_commit", "not recorded")) for run in runs)
    packages = dict.fromkeys(name for run in runs for name in run.get("versions", {}))
    found = {
        name: list(dict.fromkeys(str(run.get("versions", {}).get(name, "none")) for run in runs))
        for name in packages
    }
    unlike = [
        f"{name} {join_words(several)}" for name, several in found.items() if len(several) > 1
    ]
    if len(commits) > 1:
        unlike.insert(0, f"commits {join_words([_short(commit) for commit in commits])}")
    if not unlike:
        return None
    return (
        f"Not all runs were made the same way: with {'; '.join(unlike)}. Some of their difference "
        "may come from that."
    )


def how_intervals_were_made(results: Iterable[Result], *, tasks: Tasks) -> str | None:
    """As each task asks, else as each metric says, and otherwise where that is not defined.

    None where nothing was scored.
    """
    rows = [row for row in results if row.task in tasks]
    asked = {name: task.get("interval") for name, task in tasks.items()}
    own = {row.metric: _own_interval(row) for row in rows if asked[row.task] is None}
    corrected = [row for row in rows if (asked[row.task] or own[row.metric]) == "bca"]
    plain = dict.fromkeys(row.task for row in rows if asked[row.task] == "percentile")
    narrower = [metric_label(name) for name, kind in own.items() if kind == "percentile"]
    told = []
    if corrected:
        without = any(row.interval != "bca" for row in corrected)
        told.append("by the BCa method" + ", or by percentiles where it is not defined" * without)
    if plain:
        several = join_words([f"“{task_label(name, tasks[name])}”" for name in plain])
        told.append(f"by percentiles, as {several} asks" if corrected else "by percentiles")
    if narrower:
        told.append(f"by percentiles for {join_words(list(dict.fromkeys(narrower)))}")
    if not told:
        return None
    return (
        f"Of measures: 95 %, from drawing people again and again, {'; '.join(told)}. Of "
        "differences, groups and all else: by percentiles."
    )


def _own_interval(row: Result) -> str:
    """The kind of interval that a metric has where its task names none; as it came of others'."""
    metrics = {**RETRIEVAL_METRICS, **CLASSIFICATION_METRICS}
    name = row.metric.partition("/")[0]
    return resolve(name, metrics, what="metric").interval if name in metrics else row.interval


def luck_of_training(series: Sequence[Series]) -> str | None:
    """What the intervals leave out, where a method was trained but once."""
    runs = Counter(one.method for one in series)
    once = [method for method, times in runs.items() if times == 1]
    if not once:
        return None
    return (
        "The intervals are over people: they do not hold the luck of training. "
        f"{_upper(join_words(once))} {'was' if len(once) == 1 else 'were each'} trained once; more "
        "seeds tell (--seeds 0,1,2)."
    )


def _level(
    scores: ResultTable,
    *,
    name: str,
    task: Mapping[str, Any],
    pattern: str,
    series: Sequence[Series],
) -> str:
    metric = task["primary"]
    told = _by_method(scores, name=name, metric=metric, pattern=pattern, series=series)
    if metric == "recall_at_1" and task["kind"] == "retrieval":
        what = f"finds the right {modality_label(task['target'])} first"
        (method, values, ends), *others = told
        words = [f"{method} {what} in {values} of cases{ends}"]
        words += [f"{method} in {values}{ends}" for method, values, ends in others]
    else:
        (method, values, ends), *others = told
        words = [f"the {metric_label(metric)} of {method} is {values}{ends}"]
        words += [f"of {method} {values}{ends}" for method, values, ends in others]
    read = [modality_label(m) for m in task.get("query", task.get("inputs", ()))]
    when = f"with {join_words(read)} at hand" if pattern == "complete" else pattern_label(pattern)
    if task["kind"] == "classification":
        when = f"to predict {outcome_label(task['outcome'])} {when}"
    limits = []
    if (best := scores.best(name, pattern, metric)) is not None:
        limits.append(f"the best possible is {format_value(best, metric)}")
    if (chance := scores.chance(name, pattern, metric)) is not None:
        limits.append(f"guessing gives {format_value(chance, metric)}")
    end = f" {_upper(join_words(limits))}." if limits else ""
    return f"{_upper(when)}, {', '.join(words)}.{end}"


def _by_method(
    scores: ResultTable, *, name: str, metric: str, pattern: str, series: Sequence[Series]
) -> list[tuple[str, str, str]]:
    """Each method with its values, and the interval if there is but one seed."""
    told = []
    for method in dict.fromkeys(one.method for one in series):
        runs = [one.run for one in series if one.method == method]
        rows = [row for run in runs if (row := scores.get(run, name, pattern, metric)) is not None]
        values = join_words([format_value(row.value, metric) for row in rows])
        if len(rows) == 1:
            told.append(
                (method, values, f" ({format_interval(rows[0].low, rows[0].high, metric)})")
            )
        elif rows:
            told.append((method, values, f" ({len(rows)} seeds)"))
    return told


def _differences(
    rows: Iterable[Comparison], *, task: Mapping[str, Any], runs: Mapping[str, Series]
) -> list[str]:
    """Who is better, for each two methods: by how much, or with how many of the seeds."""
    by_pair: dict[tuple[str, str], list[Comparison]] = {}
    for row in rows:
        pair = (runs[row.run].method, runs[row.baseline].method)
        by_pair.setdefault(pair, []).append(row)
    sentences = []
    for (one, other), pairs in by_pair.items():
        if len(pairs) == 1:
            sentences.append(_difference(pairs[0], one, other, task=task))
            continue
        better = Counter(_better(row, task=task) for row in pairs)
        words = [
            f"{first} is better than {second} with {better[sign]} of {len(pairs)} seeds"
            for first, second, sign in ((one, other, 1), (other, one, -1))
            if better[sign]
        ]
        if better[0]:
            words.append(f"{better[0]} of {len(pairs)} seeds do not tell {one} from {other}")
        sentences.append(f"On the same samples, {join_words(words)}.")
    return sentences


def _better(row: Comparison, *, task: Mapping[str, Any]) -> int:
    """1 if the run is better, -1 if its baseline is, 0 if these data do not tell."""
    if not is_significant(row):
        return 0
    sign = 1 if row.difference > 0 else -1
    return sign if task["higher_is_better"] else -sign


def _difference(row: Comparison, one: str, other: str, *, task: Mapping[str, Any]) -> str:
    metric, unit = row.metric, " points" if is_percentage(row.metric) else ""
    better = _better(row, task=task)
    if better:
        first, second = (one, other) if better > 0 else (other, one)
        size, low, high = (
            format_difference(abs(end), metric, signed=False)
            for end in (row.difference, *sorted((row.low, row.high), key=abs))
        )
        start = f"On the same samples, {first} is better than {second} by"
        return f"{start} {size}{unit} ({low} to {high})."
    size, low, high = (
        format_difference(end, metric) for end in (row.difference, row.low, row.high)
    )
    why = "the interval includes 0"
    if row.low > 0 or row.high < 0:
        why = f"p is {format_p_value(row.p_holm)} after adjusting for {row.family}"
    return (
        f"On the same samples, {one} minus {other} is {size}{unit} ({low} to {high}): {why}, so "
        "these data do not tell which is better."
    )


def _whole(
    scores: ResultTable, *, name: str, task: Mapping[str, Any], series: Sequence[Series]
) -> str | None:
    """The fullest pattern under which the primary metric of a run is known; None if of none."""
    for pattern in scores.patterns(name):
        if any(scores.get(one.run, name, pattern, task["primary"]) for one in series):
            return pattern
    return None


def _worst(
    scores: ResultTable, *, name: str, task: Mapping[str, Any], whole: str, series: Sequence[Series]
) -> str | None:
    """The pattern under which the runs lose most together; None if under none they do.

    None as well where `whole` hides something itself: what is lost from it is not what is lost.
    """
    if whole not in WHOLE:
        return None
    metric, sign = task["primary"], 1 if task["higher_is_better"] else -1
    lost = {}
    for pattern in scores.patterns(name):
        pairs = [
            (scores.get(one.run, name, whole, metric), scores.get(one.run, name, pattern, metric))
            for one in series
        ]
        known = [sign * (a.value - b.value) for a, b in pairs if a is not None and b is not None]
        if pattern not in (whole, "observed") and known:
            lost[pattern] = sum(known) / len(known)
    worst = max(lost, key=lambda pattern: lost[pattern], default=None)
    return worst if worst is not None and lost[worst] > 0 else None


def _loss(
    scores: ResultTable, *, name: str, metric: str, pattern: str, series: Sequence[Series]
) -> str:
    told = _by_method(scores, name=name, metric=metric, pattern=pattern, series=series)
    now = [f"{method} {values}" for method, values, _ in told]
    best = scores.best(name, pattern, metric)
    end = f", where the best possible is {format_value(best, metric)}" if best is not None else ""
    words = pattern_label(pattern)
    start = words if pattern.startswith("without") else f"with {words}"
    return f"Most is lost {start}: what is left is {join_words(now)}{end}."


def _short(commit: str) -> str:
    start, changed, _ = commit.partition("+")
    return start[:12] + (" with changes" if changed else "")


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
