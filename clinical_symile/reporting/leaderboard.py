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
from typing import Any

from clinical_symile.formatting import join_words
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.result_lookup import DIAGNOSTIC
from clinical_symile.reporting.run_facts import RunFacts, run_facts
from clinical_symile.reporting.text.labels import task_label
from clinical_symile.stats.multiple_testing import holm
from clinical_symile.tracking.results import Result

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
        skipped: what was not checked and why, a sentence each.
    """

    name: str
    version: str
    digests: Mapping[str, Any]
    data: ReportData
    skipped: tuple[str, ...] = ()

    @property
    def cohort(self) -> str:
        """The cohort's title and the first digits of the store's digest."""
        return f"{self.data.cohort['title']}, store {self.digests['store'][:8]}"


@dataclass(frozen=True, kw_only=True)
class RankedResult:
    """One result with its rank among the results of the same question.

    Attributes:
        bundle: name of the bundle.
        method: display name of the run.
        facts: what else is known of the run.
        row: the result.
        rank: by its value; 1 is the best, ties share the better one.
        low: the best rank that the data allow.
        high: the worst rank that the data allow.
    """

    bundle: str
    method: str
    facts: RunFacts
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
            task = bundle.data.tasks[row.task]
            if row.metric == task["primary"] and task["kind"] != DIAGNOSTIC:
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
        cohort=first.bundle.cohort,
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
    return RankedResult(
        bundle=entry.bundle.name,
        method=next((one.label for one in data.series if one.run == row.run), row.run),
        facts=run_facts(data, row.run),
        row=row,
        rank=rank,
        low=low,
        high=high,
    )


def _decided(entries: Sequence[_Entry], sign: int) -> set[tuple[int, int]]:
    """Return the pairs (better, worse) that differ significantly after Holm's adjustment.

    Pairs that no test compares are not decided, and no test is adjusted for them.
    """
    tested = {
        (one, other): p_value
        for one, other in combinations(range(len(entries)), 2)
        if (p_value := _p_value(entries[one], entries[other])) is not None
    }
    decided = set()
    for (one, other), p_value in zip(
        tested, holm([*tested.values()]) if tested else (), strict=True
    ):
        if p_value < _ALPHA:
            is_first = sign * (entries[one].row.value - entries[other].row.value) > 0
            decided.add((one, other) if is_first else (other, one))
    return decided


def _p_value(one: _Entry, other: _Entry) -> float | None:
    """Return the p-value of no difference, of the paired test where both are of one bundle.

    Results of different bundles are compared by their intervals as if on different subjects, which
    is cautious: they are of the same subjects.

    Returns:
        None where no test compares them: the paired test does not apply, or an interval is unknown
        or has no width.
    """
    if one.bundle is other.bundle:
        same = ("task", "missingness", "metric")
        for row in one.bundle.data.comparisons:
            is_pair = {row.run, row.baseline} == {one.row.run, other.row.run} and not row.against
            if is_pair and all(getattr(row, key) == getattr(one.row, key) for key in same):
                return row.p_value
    widths = _width(one.row), _width(other.row)
    if not all(widths):
        return None
    errors = math.hypot(*widths) / _WIDTH
    return math.erfc(abs(one.row.value - other.row.value) / errors / math.sqrt(2))


def _width(row: Result) -> float:
    """Return the width of an interval; 0 without one."""
    return 0.0 if row.low is None or row.high is None else row.high - row.low


def _difference(one: _Entry, others: Sequence[_Entry]) -> str:
    """Say why results of a task and pattern are not ranked together with another one."""
    other, names = others[0], dict.fromkeys(entry.bundle.name for entry in others)
    ours, theirs = one.bundle.digests, other.bundle.digests
    name, versions = one.row.task, (one.bundle.version, other.bundle.version)
    is_same_cohort = ours["cohort"] == theirs["cohort"]
    is_same_store = ours["store"] == theirs["store"]
    reasons = [
        words
        for words, differs in (
            ("the task is defined otherwise", ours["tasks"][name] != theirs["tasks"][name]),
            ("better is the other way round", one.higher_is_better != other.higher_is_better),
            ("the cohort is another one", not is_same_cohort),
            ("the store holds other samples or arrays", is_same_cohort and not is_same_store),
            ("the split is another one", one.row.split != other.row.split),
            ("the mask hides other measurements", is_same_store and one.row.mask != other.row.mask),
            (f"the version is another one ({', '.join(versions)})", versions[0] != versions[1]),
        )
        if differs
    ]
    words = join_words(reasons or ["the candidate lists or a table of the pattern differ"])
    return f"Not ranked with {join_words([*names])}: {words}."
