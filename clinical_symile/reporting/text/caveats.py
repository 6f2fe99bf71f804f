"""Write the caveats of a report: leaks, seeds, versions and how intervals were computed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinical_symile.evaluation.task_selection import TRAINED_ON
from clinical_symile.formatting import (
    capitalize_first,
    format_count,
    format_difference,
    format_difference_interval,
    is_percentage,
    join_words,
)
from clinical_symile.registry.base import resolve
from clinical_symile.registry.families import METRICS
from clinical_symile.reporting.result_lookup import Series, TaskTables
from clinical_symile.reporting.text.findings import FEW_SUBJECTS, better_sign
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.tracking.results import Comparison, Result

_NAMED_METHODS = 4  # of more, a caveat names none


def above_oracle_sentences(
    differences: Iterable[Comparison], *, tasks: TaskTables, series: Sequence[Series]
) -> list[str]:
    """Describe results that are significantly better than the oracle's.

    Args:
        differences: of runs minus the oracle.
        tasks: definitions.
        series: the runs.
    """
    labels = {one.run: one.label for one in series}
    better: dict[tuple[str, str, str], list[Comparison]] = {}
    for row in differences:
        if better_sign(row, task=tasks[row.task]) > 0:
            better.setdefault((row.task, row.missingness, row.metric), []).append(row)
    sentences = []
    for (task, pattern, metric), rows in better.items():
        heading = task_label(task, tasks[task])
        where = f"{heading[:1].lower()}{heading[1:]}, {pattern_label(pattern)}"
        differs = f"{where}: {metric_label(metric)} differs from the oracle by"
        if len(rows) > _NAMED_METHODS:
            least, *_, most = sorted(rows, key=lambda row: abs(row.difference))
            sentences.append(f"{len(rows)} runs, {differs} {_size(least)} to {_size(most)}.")
        else:
            sentences += [f"{labels[row.run]}, {differs} {_size(row)}." for row in rows]
    return sentences


def _size(row: Comparison) -> str:
    unit = " points" if is_percentage(row.metric) else ""
    ends = format_difference_interval(row.low, row.high, row.metric)
    return f"{format_difference(row.difference, row.metric)}{unit} ({ends})"


def code_difference_sentence(runs: Sequence[Mapping[str, Any]]) -> str | None:
    """Describe differences in code or versions between runs; None if there are none."""
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
        f"Not all runs were made with the same code: {'; '.join(unlike)}. Some of their difference "
        "may come from that."
    )


def interval_sentence(results: Iterable[Result], *, tasks: TaskTables) -> str | None:
    """Describe how intervals were computed; None without results.

    The method is the one that a task requests, else the metric's own.
    """
    rows = [row for row in results if row.task in tasks]
    chosen_interval = {name: task.get("interval") for name, task in tasks.items()}
    own = {row.metric: _own_interval(row) for row in rows if chosen_interval[row.task] is None}
    corrected = [row for row in rows if (chosen_interval[row.task] or own[row.metric]) == "bca"]
    plain = dict.fromkeys(row.task for row in rows if chosen_interval[row.task] == "percentile")
    narrower = [metric_label(name) for name, kind in own.items() if kind == "percentile"]
    parts = []
    if corrected:
        without = any(row.interval != "bca" for row in corrected)
        parts.append("by the BCa method" + ", or by percentiles where it is not defined" * without)
    if plain:
        several = join_words([f"“{task_label(name, tasks[name])}”" for name in plain])
        parts.append(f"by percentiles, as {several} asks" if corrected else "by percentiles")
    if narrower:
        parts.append(f"by percentiles for {join_words(list(dict.fromkeys(narrower)))}")
    if not parts:
        return None
    return (
        f"Of metrics: 95 %, from a bootstrap over subjects, {'; '.join(parts)}. Of differences, "
        "groups and all else: by percentiles."
    )


def _own_interval(row: Result) -> str:
    """Return the metric's own interval method; of an unknown metric the one of the result."""
    name = row.metric.partition("/")[0]
    return resolve(name, METRICS).interval if name in METRICS else row.interval


def seed_caveat(series: Sequence[Series]) -> str | None:
    """Say that intervals exclude the variance over seeds; None if every method has several."""
    runs = Counter(one.method for one in series)
    once = [method for method, times in runs.items() if times == 1]
    if not once:
        return None
    is_long = len(once) == len(runs) > _NAMED_METHODS
    names = "Each method" if is_long else capitalize_first(join_words(once))
    return (
        "The intervals are over subjects and do not include the variance over seeds. "
        f"{names} {'was' if is_long or len(once) == 1 else 'were each'} trained "
        "once; train more seeds to measure it (--seeds 0,1,2)."
    )


def main_caveat(
    results: Iterable[Result],
    *,
    series: Sequence[Series],
    runs: Sequence[Mapping[str, Any]],
    notes: Iterable[str] = (),
) -> str:
    """Return the caveat that limits the findings most.

    In this order: few subjects, training on another cohort, different code, a single seed; else
    that there is one cohort.

    Args:
        results: of all runs.
        series: the runs.
        runs: the `run.toml` of each trained run.
        notes: what else a reader must know.
    """
    trained = {str(record["name"]) for record in runs}
    subjects = [
        row.n_subjects for row in results if row.run in trained and row.missingness == "complete"
    ]
    if subjects and min(subjects) < FEW_SUBJECTS:
        return f"The smallest task rests on {format_count(min(subjects))} subjects only."
    return (
        _other_cohort_sentence(notes)
        or code_difference_sentence(runs)
        or seed_caveat([one for one in series if one.run in trained])
        or "All numbers are of one cohort. They may differ at another hospital."
    )


def _other_cohort_sentence(notes: Iterable[str]) -> str | None:
    """Say that runs were trained on another cohort; None if no note says so of a run."""
    found = [note for note in notes if TRAINED_ON in note]
    if len(found) < 2:
        return found[0] if found else None
    return (
        f"{len(found)} runs were trained on another cohort, as the notes under “How the results "
        "were made” say."
    )


def _short(commit: str) -> str:
    start, changed, _ = commit.partition("+")
    return start[:12] + (" with changes" if changed else "")
