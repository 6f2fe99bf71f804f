"""Rank the runs of several bundles on the same questions, and say where questions differ.

Two results answer the same question if their task, cohort, store, candidate lists, version and mask
are the same: then their digests and masks are equal. Only those are ranked together.

The interval of a rank holds for all ranks of a table at once: a run is surely below those that are
significantly better, after Holm's adjustment for all pairs of the table. Source: Mogstad, Romano,
Shaikh and Wilhelm, "Inference for ranks with applications to mobility across neighbourhoods and
academic achievement across countries", Review of Economic Studies 91, 2024.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from clinical_symile.config.catalog import builtin_folder
from clinical_symile.files import write_file
from clinical_symile.formatting import (
    format_duration,
    format_interval,
    format_nested_counts,
    format_value,
    join_words,
)
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.render import render_page
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.text.labels import metric_label, pattern_label, task_label
from clinical_symile.stats.multiple_testing import holm
from clinical_symile.tracking.results import Result

LEADERBOARD_PAGE, LEADERBOARD_TABLE = "leaderboard.html", "leaderboard.csv"
_ALPHA = 0.05
_WIDTH = 2 * 1.959963984540054  # of a 95 % interval, in standard errors


@dataclass(frozen=True, kw_only=True, repr=False)
class BundleContent:
    """A bundle that takes part.

    Attributes:
        name: of its file.
        version: of the package that made it.
        digests: of its cohort, store and tasks.
        data: what its report is made from.
    """

    name: str
    version: str
    digests: Mapping[str, Any]
    data: ReportData


@dataclass(frozen=True, kw_only=True)
class RankedResult:
    """One result with its rank among the results of the same question.

    Attributes:
        bundle: name of the bundle.
        method: display name of the run.
        trained_with: missingness in training; empty for what is not trained here.
        missing_modality: the method for missing modalities; empty likewise.
        training_s: seconds of training; None where they are not recorded.
        row: the result.
        rank: by its value; 1 is the best, ties share the better one.
        low: the best rank that the data allow.
        high: the worst rank that the data allow.
    """

    bundle: str
    method: str
    trained_with: str
    missing_modality: str
    training_s: float | None
    row: Result
    rank: int
    low: int
    high: int


@dataclass(frozen=True, kw_only=True)
class QuestionRanking:
    """The ranked results of one question.

    Attributes:
        title: the task in words.
        cohort: the cohort's title and the first digits of the store's digest.
        task: the task's name.
        pattern: the missingness pattern.
        metric: the primary metric.
        higher_is_better: the direction of improvement.
        best_possible: the oracle's value; None without an oracle.
        entries: the best first.
        apart: why other rankings of this task and pattern are separate, a sentence each.
    """

    title: str
    cohort: str
    task: str
    pattern: str
    metric: str
    higher_is_better: bool
    best_possible: float | None
    entries: list[RankedResult]
    apart: list[str]


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A primary result and the bundle that has it."""

    bundle: BundleContent
    row: Result

    @property
    def question(self) -> tuple[str, ...]:
        """Return what two results must share to be ranked together."""
        row, digests = self.row, self.bundle.digests
        task = f"{digests['tasks'].get(row.task)} {self.higher_is_better}"
        return (row.task, row.missingness, task, row.split, *self._of_cohort, row.digest, row.mask)

    @property
    def higher_is_better(self) -> bool:
        """Return the direction of the metric, which no digest has."""
        return self.bundle.data.tasks[self.row.task]["higher_is_better"]

    @property
    def _of_cohort(self) -> tuple[str, str]:
        return str(self.bundle.digests["cohort"]), str(self.bundle.digests["store"])


def rank_bundles(bundles: Sequence[BundleContent]) -> list[QuestionRanking]:
    """Rank the primary results of all runs of some bundles, question by question."""
    questions: dict[tuple[str, ...], list[_Entry]] = {}
    for bundle in bundles:
        for row in bundle.data.results:
            if row.metric == bundle.data.tasks[row.task]["primary"]:
                entry = _Entry(bundle=bundle, row=row)
                questions.setdefault(entry.question, []).append(entry)
    rankings = []
    for question, entries in sorted(questions.items()):
        others = [
            other
            for key, other in sorted(questions.items())
            if key[:2] == question[:2] and key != question
        ]
        rankings.append(_ranking(entries, [_difference(entries[0], one) for one in others]))
    return rankings


def _ranking(entries: Sequence[_Entry], apart: list[str]) -> QuestionRanking:
    first = entries[0]
    task = first.bundle.data.tasks[first.row.task]
    competing = [one for one in entries if one.row.run != ORACLE]
    best = next((one.row.value for one in entries if one.row.run == ORACLE), None)
    sign = 1 if task["higher_is_better"] else -1
    beaten = _decided(competing, sign)
    ranked = []
    for number, one in enumerate(competing):
        above = sum(sign * (other.row.value - one.row.value) > 0 for other in competing)
        ranked.append(
            _ranked(
                one,
                rank=1 + above,
                low=1 + sum(pair[1] == number for pair in beaten),
                high=len(competing) - sum(pair[0] == number for pair in beaten),
            )
        )
    return QuestionRanking(
        title=task_label(first.row.task, task),
        cohort=f"{first.bundle.data.cohort['title']}, store {first.bundle.digests['store'][:8]}",
        task=first.row.task,
        pattern=first.row.missingness,
        metric=first.row.metric,
        higher_is_better=task["higher_is_better"],
        best_possible=best,
        entries=sorted(ranked, key=lambda one: (one.rank, one.method, one.bundle)),
        apart=list(dict.fromkeys(apart)),
    )


def _ranked(entry: _Entry, *, rank: int, low: int, high: int) -> RankedResult:
    data, row = entry.bundle.data, entry.row
    record = next((one for one in data.runs if one.get("name") == row.run), {})
    definition = record.get("definition", {})
    seconds = [epoch["seconds"] for epoch in data.histories.get(row.run, ()) if "seconds" in epoch]
    return RankedResult(
        bundle=entry.bundle.name,
        method=next((one.label for one in data.series if one.run == row.run), row.run),
        trained_with=str(definition.get("missingness", "")),
        missing_modality=str(definition.get("missing_modality", "")),
        training_s=float(sum(seconds)) if seconds else None,
        row=row,
        rank=rank,
        low=low,
        high=high,
    )


def _decided(entries: Sequence[_Entry], sign: int) -> set[tuple[int, int]]:
    """Return the pairs (better, worse) that differ significantly after Holm's adjustment."""
    pairs = list(combinations(range(len(entries)), 2))
    p_values = [_p_value(entries[one], entries[other]) for one, other in pairs]
    decided = set()
    for (one, other), p_value in zip(pairs, holm(p_values) if pairs else [], strict=True):
        if p_value < _ALPHA:
            is_first = sign * (entries[one].row.value - entries[other].row.value) > 0
            decided.add((one, other) if is_first else (other, one))
    return decided


def _p_value(one: _Entry, other: _Entry) -> float:
    """Return the p-value of no difference: of the paired test where both are of one bundle.

    Results of different bundles are compared by their intervals as if on different subjects, which
    is cautious: they are of the same subjects. Without an interval, nothing is decided.
    """
    if one.bundle is other.bundle:
        same = ("task", "missingness", "metric")
        for row in one.bundle.data.comparisons:
            is_pair = {row.run, row.baseline} == {one.row.run, other.row.run}
            if is_pair and all(getattr(row, key) == getattr(one.row, key) for key in same):
                return 1.0 if row.p_value is None or row.against else row.p_value
    ends = (one.row.low, one.row.high, other.row.low, other.row.high)
    if any(end is None for end in ends):
        return 1.0
    widths = [(ends[1] or 0) - (ends[0] or 0), (ends[3] or 0) - (ends[2] or 0)]
    error = math.hypot(*widths) / _WIDTH
    difference = abs(one.row.value - other.row.value)
    return math.erfc(difference / error / math.sqrt(2)) if error > 0 else float(difference == 0)


def _difference(one: _Entry, others: Sequence[_Entry]) -> str:
    """Say why results of a task and pattern are not ranked together with another one."""
    other, names = others[0], dict.fromkeys(entry.bundle.name for entry in others)
    ours, theirs = one.bundle.digests, other.bundle.digests
    name = one.row.task
    reasons = [
        words
        for words, differs in (
            ("the task is defined otherwise", ours["tasks"][name] != theirs["tasks"][name]),
            ("better is the other way round", one.higher_is_better != other.higher_is_better),
            ("the cohort is another one", ours["cohort"] != theirs["cohort"]),
            ("the store holds other samples or arrays", ours["store"] != theirs["store"]),
            ("the split is another one", one.row.split != other.row.split),
            ("the mask hides other measurements", one.row.mask != other.row.mask),
            (
                f"the version is another one ({one.bundle.version}, {other.bundle.version})",
                one.bundle.version != other.bundle.version,
            ),
        )
        if differs
    ]
    words = join_words(reasons or ["the candidate lists or a table of the pattern differ"])
    return f"Not ranked with {join_words([*names])}: {words}."


def write_leaderboard(rankings: Sequence[QuestionRanking], *, out: Path) -> list[Path]:
    """Write the page and the table of a leaderboard, and return their paths.

    Args:
        rankings: what `rank_bundles` returned.
        out: the folder.
    """
    sizes = _sizes(rankings)
    lines = [_line(ranking, one, sizes) for ranking in rankings for one in ranking.entries]
    frame = pd.DataFrame(lines)
    path = out / LEADERBOARD_TABLE
    write_file(path, lambda file: frame.to_csv(file, index=False, lineterminator="\n"))
    facts = [_facts(ranking, one) for ranking in rankings for one in ranking.entries]
    render_page(
        builtin_folder("reports/shared") / "leaderboard.j2",
        context={
            "rankings": [_shown(ranking, sizes) for ranking in rankings],
            "filters": {name: sorted({one[name] for one in facts}) for name in facts[0]},
        },
        out=out / LEADERBOARD_PAGE,
    )
    return [out / LEADERBOARD_PAGE, path]


def _sizes(rankings: Sequence[QuestionRanking]) -> dict[str, dict[int, str]]:
    """Return the sizes in words, so that no small difference follows from two of them.

    Rankings of a store may be of nested samples, and stores of a cohort may be, too.
    """
    rows = [one.row for ranking in rankings for one in ranking.entries]
    return {
        key: format_nested_counts(getattr(row, key) for row in rows)
        for key in ("n_samples", "n_subjects")
    }


def _line(
    ranking: QuestionRanking, one: RankedResult, sizes: Mapping[str, Mapping[int, str]]
) -> dict[str, Any]:
    """Return a line of the table."""
    row = one.row
    return {
        **{key: getattr(ranking, key) for key in ("cohort", "task", "pattern", "metric")},
        **{"rank": one.rank, "rank_low": one.low, "rank_high": one.high},
        **{"entries": len(ranking.entries), "bundle": one.bundle, "method": one.method},
        **{key: getattr(row, key) for key in ("run", "seed", "value", "low", "high", "chance")},
        **{"oracle": ranking.best_possible, "trained_with": one.trained_with},
        **{"missing_modality": one.missing_modality, "training_s": one.training_s},
        **{key: words[getattr(row, key)] for key, words in sizes.items()},
        **{"digest": row.digest, "mask": row.mask},
    }


def _facts(ranking: QuestionRanking, one: RankedResult) -> dict[str, str]:
    """Return what the page's filters choose by."""
    return {
        **{"cohort": ranking.cohort, "task": ranking.task, "pattern": ranking.pattern},
        **{"trained_with": one.trained_with or "not trained", "seed": str(one.row.seed)},
    }


def _shown(ranking: QuestionRanking, sizes: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
    """Return a ranking as its template shows it."""
    metric, best = ranking.metric, ranking.best_possible
    return {
        "title": ranking.title,
        "about": f"{ranking.cohort}, {pattern_label(ranking.pattern)}: {metric_label(metric)}",
        "oracle": None if best is None else format_value(best, metric),
        "better": "higher is better" if ranking.higher_is_better else "lower is better",
        "apart": ranking.apart,
        "rows": [
            {"facts": _facts(ranking, one), "cells": _cells(one, metric, sizes)}
            for one in ranking.entries
        ],
    }


def _cells(one: RankedResult, metric: str, sizes: Mapping[str, Mapping[int, str]]) -> list[str]:
    row = one.row
    return [
        str(one.rank),
        str(one.low) if one.low == one.high else f"{one.low} to {one.high}",
        *(one.method, one.bundle),
        format_value(row.value, metric, exact=True),
        format_interval(row.low, row.high, metric, exact=True),
        *(one.trained_with, one.missing_modality, str(row.seed)),
        ", ".join(words[getattr(row, key)] for key, words in sizes.items()),
        "" if one.training_s is None else format_duration(one.training_s),
    ]
