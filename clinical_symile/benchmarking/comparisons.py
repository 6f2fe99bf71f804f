"""Compare the runs of a benchmark with each other and with nothing missing."""

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import TypeVar

from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.adjustment import adjust_p_values
from clinical_symile.evaluation.compare import compare, losses_under_missingness
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.task_selection import EvaluationTask, scored_tasks
from clinical_symile.tracking.benchmark_tables import NetBenefitDifference
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.results import Comparison, Result, SkippedResult
from clinical_symile.tracking.run import Run

_Row = TypeVar("_Row", Result, Comparison, SkippedResult, NetBenefitDifference)


def compare_runs(
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    primary: Collection[tuple[str, str]] = (),
    progress: Progress = lambda done, total: None,
) -> list[Comparison]:
    """Compare every two runs on every task.

    Two trained runs are compared if they have the same seed, and two baselines never. Patterns that
    a task no longer has are left out. P-values are adjusted for all differences between trained
    runs together, and for those from baselines together. Primary comparisons are a family of their
    own in each.

    Args:
        runs: evaluated runs.
        tasks: the tasks they were evaluated on; diagnostics are left out.
        store: the cohort they were evaluated on.
        primary: each task and pattern whose comparisons were set beforehand.
        progress: called with the comparisons done and their number.
    """
    for run in runs:
        check_folder(run.path)
    pairs = [
        (run, other, task)
        for run, other in combinations(runs, 2)
        if is_comparable(run, other)
        for task in scored_tasks(tasks)
    ]
    comparisons = []
    for number, (run, other, task) in enumerate(pairs, start=1):
        comparisons += compare(run, other, task, store=store)
        progress(number, len(pairs))
    comparisons = current_rows(comparisons, tasks, store=store)
    baselines = {run.name for run in runs if run.is_baseline}
    with_baseline = [row for row in comparisons if {row.run, row.baseline} & baselines]
    others = [row for row in comparisons if row not in with_baseline]
    return adjust_p_values(others, primary) + adjust_p_values(with_baseline, primary)


def all_losses(
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    margin: float | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Comparison]:
    """Compare each run under each pattern with itself where nothing is missing.

    Patterns that a task no longer has are left out. P-values are adjusted for all losses together.

    Args:
        runs: evaluated runs.
        tasks: the tasks they were evaluated on; diagnostics are left out.
        store: the cohort they were evaluated on.
        margin: largest acceptable loss; None for each task's own.
        progress: called with the pairs of run and task done and their number.
    """
    pairs, losses = [(run, task) for run in runs for task in scored_tasks(tasks)], []
    for number, (run, task) in enumerate(pairs, start=1):
        losses += losses_under_missingness(run, task, store=store, margin=margin)
        progress(number, len(pairs))
    return adjust_p_values(current_rows(losses, tasks, store=store))


def current_rows(
    rows: Sequence[_Row], tasks: Sequence[EvaluationTask], *, store: CohortStore
) -> list[_Row]:
    """Return the rows whose task, pattern and fingerprint are those that the tasks have now."""
    fingerprints = {task.name: expected_fingerprints(task, store) for task in tasks}
    current = {
        (task.name, pattern, fingerprints[task.name](pattern))
        for task in tasks
        for pattern in task.missingness
    }
    return [row for row in rows if (row.task, row.missingness, row.digest) in current]


def is_comparable(run: Run, other: Run) -> bool:
    """Say whether two runs have the same seed, or one has none and not both are baselines."""
    if run.is_baseline and other.is_baseline:
        return False
    seeds = [one.metadata["seed"] for one in (run, other) if one.is_trained]
    return len(set(seeds)) < 2
