"""Compare two runs on the same samples, or one run with and without missing modalities.

Every difference has a paired interval and a two-sided p-value. The test is DeLong's for AUROC,
McNemar's for recall@1, and sign flips over subjects for other means over samples. All other metrics
use a normal distribution with the standard error of the bootstrap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from scipy.special import ndtr

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.adjustment import adjust_p_values
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.task_metrics import check_class_sizes, primary_metric
from clinical_symile.evaluation.task_selection import EvaluationTask, ScoredTask, scored_tasks
from clinical_symile.metrics.base import Metric
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.stats.bootstrap import NO_WIDTH, Resampled, resample_difference
from clinical_symile.stats.equivalence import (
    margin_by_limits,
    minimum_detectable,
    noninferiority_by_limits,
    noninferiority_test,
    smallest_margin,
)
from clinical_symile.stats.estimate import Estimate, Interval, StudentEstimate
from clinical_symile.stats.hypothesis_tests import (
    TestResult,
    auroc_difference,
    delong,
    recall_test,
    sign_flip,
)
from clinical_symile.stats.proportions import paired_difference
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.results import Comparison
from clinical_symile.tracking.run import Run

_COMPLETE = "complete"
# A value and its spread over subjects.
_Spread = Resampled | Estimate | StudentEstimate


@dataclass(frozen=True, repr=False)
class _Pair:
    """Two outcomes of the same samples."""

    metric: Metric
    one: pd.DataFrame
    other: pd.DataFrame
    subjects: Shaped[np.ndarray, " sample"]
    seed: int

    @property
    def arrays(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        one, other = (
            [frame[name].to_numpy() for name in self.metric.columns]
            for frame in (self.one, self.other)
        )
        return one, other

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


def compare(
    run: Run,
    baseline: Run,
    task: ScoredTask,
    *,
    store: CohortStore,
    margin: float | None = None,
) -> list[Comparison]:
    """Compare a task's primary metric of two runs under each pattern that both have.

    Both runs have the same samples and candidates, which are resampled together. The p-values are
    unadjusted; see `adjust_p_values`.

    Args:
        run: the run of interest.
        baseline: the run that it is compared with.
        task: the task.
        store: the cohort of both.
        margin: the loss to tolerate, instead of the task's margin.

    Returns:
        One comparison for each pattern; the difference is `run` minus `baseline`.

    Raises:
        DataError: the runs have other samples, or results of another task or store.
    """
    scored, against = _digests(run, task, store), _digests(baseline, task, store)
    made = []
    for pattern in (name for name in scored if name in against):
        outcome, other = run.outcome(task.name, pattern), baseline.outcome(task.name, pattern)
        if not outcome["row"].equals(other["row"]):
            raise DataError(
                f"runs '{run.name}' and '{baseline.name}' were not scored on the same samples of "
                f"task '{task.name}' under '{pattern}'. Evaluate both again on one store.",
                code="CS-S004",
            )
        about = {"run": run.name, "baseline": baseline.name, "missingness": pattern}
        about |= {"digest": scored[pattern]}
        made.append(_comparison(about, outcome, other, task, store, margin))
    return made


def losses_under_missingness(
    run: Run,
    task: ScoredTask,
    *,
    store: CohortStore,
    margin: float | None = None,
) -> list[Comparison]:
    """Compare a run's primary metric under each pattern with that under `complete`.

    Patterns that score other samples, such as `observed`, cannot be paired and are left out.

    Args:
        run: a run with results under `complete` and other patterns.
        task: the task.
        store: the cohort.
        margin: the loss to tolerate, instead of the task's margin.

    Raises:
        DataError: its results are not of this task and store.
    """
    scored = _digests(run, task, store)
    if _COMPLETE not in scored:
        return []
    whole, made = run.outcome(task.name, _COMPLETE), []
    for pattern in (name for name in scored if name != _COMPLETE):
        outcome = run.outcome(task.name, pattern)
        if outcome["row"].equals(whole["row"]):
            about = {"run": run.name, "baseline": run.name, "missingness": pattern}
            about |= {"against": _COMPLETE, "digest": scored[pattern]}
            made.append(_comparison(about, outcome, whole, task, store, margin))
    return made


def compare_all(
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    margin: float | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[list[Comparison], list[Comparison]]:
    """Compare every pair of runs, and each run with and without missing modalities.

    The p-values of each of the two returned lists are adjusted as one family.

    Args:
        runs: two or more runs; the earlier of a pair is compared with the later.
        tasks: the tasks; a pair is compared on those that both were evaluated on. Diagnostics are
            left out.
        store: the cohort of all.
        margin: the loss to tolerate, instead of the tasks' margins.
        progress: called with comparisons done and all comparisons.

    Returns:
        The comparisons of pairs, and the losses under missingness.

    Raises:
        DataError: there are fewer than two runs, two have one name, a trained run has the name of
            the oracle or of a baseline. Or the runs have nothing in common, their results are of
            other samples, stores or tasks, or files were changed.
    """
    names = [run.name for run in runs]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise DataError(
            f"runs {', '.join(names)}; expected two or more of different names. Name the folders "
            "of the runs to compare.",
            code="CS-S001",
        )
    for run in runs:
        if run.is_trained:
            check_run_name(run.name, where=str(run.path), advice="Rename the folder.")
        check_folder(run.path)
    compared = scored_tasks(tasks)
    pairs = [(run, other, task) for run, other in combinations(runs, 2) for task in compared]
    alone = [(run, task) for run in runs for task in compared]
    made, losses, total = [], [], len(pairs) + len(alone)
    for number, (run, other, task) in enumerate(pairs, start=1):
        made += compare(run, other, task, store=store, margin=margin)
        progress(number, total)
    if not made:
        raise DataError(
            f"runs {', '.join(names)} have no task and pattern in common. Evaluate them on the "
            "same tasks: `clinical-symile evaluate RUN --store STORE`.",
            code="CS-S002",
        )
    for number, (run, task) in enumerate(alone, start=len(pairs) + 1):
        losses += losses_under_missingness(run, task, store=store, margin=margin)
        progress(number, total)
    return adjust_p_values(made), adjust_p_values(losses)


def _digests(run: Run, task: ScoredTask, store: CohortStore) -> dict[str, str]:
    """Return the fingerprint of a run's primary result under each pattern.

    Raises:
        DataError: a result is not of this task on this store.
    """
    found = {
        row.missingness: row.digest
        for row in run.results
        if (row.task, row.metric) == (task.name, task.primary)
    }
    expected = expected_fingerprints(task, store) if found else None
    other = {name: expected(name) for name in found if expected and found[name] != expected(name)}
    if other:
        names = ", ".join(f"'{name}'" for name in other)
        raise DataError(
            f"run '{run.name}': its results of task '{task.name}' under {names} are not "
            f"of this task and store as they are now; expected digest "
            f"{', '.join(dict.fromkeys(other.values()))}. The definition, the store, a table "
            f"beside it or the version has changed. Evaluate it again on {store.path}, or give the "
            "store that it was evaluated on.",
            code="CS-S003",
        )
    return found


def _comparison(
    about: dict[str, Any],
    outcome: pd.DataFrame,
    other: pd.DataFrame,
    task: ScoredTask,
    store: CohortStore,
    margin: float | None,
) -> Comparison:
    metric = primary_metric(task, outcome)
    subjects = store.samples["subject"].to_numpy()[outcome["row"]]
    pair = _Pair(metric, outcome, other, subjects, task.seed)
    one, against = pair.arrays
    counts = {
        "cohort": store.cohort,
        "task": task.name,
        "split": task.split,
        "metric": metric.name,
        "n_samples": len(outcome["row"].unique()),
        "n_subjects": len(np.unique(subjects)),
    }
    difference = metric.compute(*one) - metric.compute(*against)
    own = _own_estimate(pair)
    try:
        spread = own if own is not None and own.is_preferred else _resampled(pair)
    except ValueError as error:
        nothing = {"low": None, "high": None, "no_interval": str(error)}
        return Comparison(**about, **counts, difference=difference, **nothing)
    interval, no_interval = _interval(spread, own)
    tested = _tested(pair, spread)
    return Comparison(
        **about,
        **counts,
        difference=difference,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        no_interval=no_interval,
        standard_error=spread.standard_error,
        detectable=minimum_detectable(spread.standard_error),
        test=None if tested is None else tested.test,
        p_value=None if tested is None else tested.p_value,
        **_margin(spread, own, metric, task.margin if margin is None else margin),
    )


def _own_estimate(pair: _Pair) -> Estimate | StudentEstimate | None:
    """Return the metric's estimate of a difference for few subjects; None if it has none."""
    (one, other), each = pair.arrays, pair.metric.each
    try:
        if pair.metric.name == "auroc" and "part" not in pair.metric.columns:
            return auroc_difference(one[0], one[1], other[1], pair.subjects)
        if each is not None:
            return paired_difference(each(*one) - each(*other), pair.subjects)
    except ValueError:  # too few subjects, or no difference on any sample
        return None
    return None


def _resampled(pair: _Pair) -> Resampled:
    """Resample a difference by subject.

    Raises:
        ValueError: there are fewer than two subjects, or too many resamples would lack what the
            metric needs, such as a positive sample. A class decides this by its subjects, never by
            the resamples that are drawn.
    """
    metric, (one, other) = pair.metric, pair.arrays
    check_class_sizes(metric, pair.one, pair.subjects)
    return resample_difference(
        metric.compute, one, other, pair.subjects, rng=pair.rng, weighted=metric.weighted
    )


def _interval(
    spread: _Spread, own: Estimate | StudentEstimate | None
) -> tuple[Interval | None, str | None]:
    """Return the interval of a difference, or the reason why there is none."""
    interval = spread.interval()
    if interval.high > interval.low:
        return interval, None
    return (None, NO_WIDTH) if own is None else (own.interval(), None)


def _tested(pair: _Pair, spread: _Spread) -> TestResult | None:
    """Test the difference by the metric's own test, or else by the bootstrap.

    Returns:
        None if the difference is not 0 but does not vary between resamples.
    """
    one, other = pair.arrays
    each = pair.metric.each
    # With several parts the metric is a mean of AUROCs, to which DeLong's test does not apply.
    if pair.metric.name == "auroc" and "part" not in pair.metric.columns:
        try:
            return delong(one[0], one[1], other[1], pair.subjects)
        except ValueError:  # too few subjects of a class
            return _by_bootstrap(spread)
    if each is None:
        return _by_bootstrap(spread)
    if pair.metric.name == "recall_at_1":
        return recall_test(each(*one), each(*other), pair.subjects, rng=pair.rng)
    return sign_flip(each(*one), each(*other), pair.subjects, rng=pair.rng)


def _by_bootstrap(drawn: _Spread) -> TestResult | None:
    if drawn.value == 0:
        return TestResult("bootstrap, normal", 0.0, 1.0)
    if drawn.standard_error == 0:
        return None
    z = abs(drawn.value) / drawn.standard_error
    return TestResult("bootstrap, normal", drawn.value, float(2 * ndtr(-z)))


def _margin(
    spread: _Spread,
    own: Estimate | StudentEstimate | None,
    metric: Metric,
    margin: float | None,
) -> dict[str, Any]:
    """Return the smallest margin that is shown, and the tests of a margin that is given."""
    sign, better = 1 if metric.higher_is_better else -1, metric.higher_is_better
    if own is None:
        least = smallest_margin(sign * spread.value, spread.standard_error)
    else:
        least = margin_by_limits(own, higher_is_better=better)
    if margin is None:
        return {"least_margin": least}
    if own is None:
        found = noninferiority_test(sign * spread.value, spread.standard_error, margin=margin)
    else:
        found = noninferiority_by_limits(own, margin=margin, higher_is_better=better)
    return {
        "least_margin": least,
        "margin": margin,
        "p_noninferior": found.p_noninferior,
        "p_equivalent": found.p_equivalent,
        "verdict": found.verdict,
    }
