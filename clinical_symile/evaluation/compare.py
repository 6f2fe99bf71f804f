"""Two runs on the same samples, or one run with and without something: differences and tests.

Every difference has a paired interval and a two-sided p value; which test it is of is named with
it: DeLong's for AUROC, McNemar's for recall@1, sign flips over subjects for other means over
samples, and for all else the normal distribution with the standard error of the bootstrap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from scipy.special import ndtr

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.task_metrics import primary_metric
from clinical_symile.metrics.base import Metric
from clinical_symile.stats.bootstrap import Resampled, resample_difference
from clinical_symile.stats.equivalence import minimum_detectable, noninferiority_test
from clinical_symile.stats.hypothesis_tests import TestResult, delong, mcnemar, sign_flip
from clinical_symile.stats.multiple_testing import benjamini_hochberg, holm
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.results import Comparison
from clinical_symile.tracking.run import Run

WHOLE = "complete"


@dataclass(frozen=True)
class _Pair:
    """What became of the same samples twice."""

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
    task: Retrieval | Classification,
    *,
    store: CohortStore,
    margin: float | None = None,
) -> list[Comparison]:
    """Differences of a task's primary metric, for each pattern that both runs were scored on.

    Both are scored on the same queries with the same candidates, and resampled together. The p
    values stand for themselves: `adjust_p_values` makes a family of them.

    Args:
        run: the one that is asked about.
        baseline: the one it is compared with.
        task: on what.
        store: the store of both.
        margin: what `run` may lose, instead of the task's.

    Raises:
        DataError: the two were not scored on the same samples, or not on this task and store.
    """
    scored, against = _digests(run, task, store), _digests(baseline, task, store)
    made = []
    for pattern in (name for name in scored if name in against):
        outcome, other = run.outcome(task.name, pattern), baseline.outcome(task.name, pattern)
        if not outcome["row"].equals(other["row"]):
            raise DataError(
                f"runs '{run.name}' and '{baseline.name}' were not scored on the same samples of "
                f"task '{task.name}' under '{pattern}'. Evaluate both again on one store."
            )
        about = {"run": run.name, "baseline": baseline.name, "missingness": pattern}
        about |= {"digest": scored[pattern]}
        made.append(_comparison(about, outcome, other, task, store, margin))
    return made


def losses_under_missingness(
    run: Run,
    task: Retrieval | Classification,
    *,
    store: CohortStore,
    margin: float | None = None,
) -> list[Comparison]:
    """What a run gains or loses under each pattern, minus what it scores with nothing missing.

    Patterns that are scored on other samples, as `observed` is, are not paired and left out.

    Args:
        run: scored under `complete` and other patterns.
        task: on what.
        store: of the run.
        margin: what may be lost, instead of the task's.

    Raises:
        DataError: it was not scored on this task and store.
    """
    scored = _digests(run, task, store)
    if WHOLE not in scored:
        return []
    whole, made = run.outcome(task.name, WHOLE), []
    for pattern in (name for name in scored if name != WHOLE):
        outcome = run.outcome(task.name, pattern)
        if outcome["row"].equals(whole["row"]):
            about = {"run": run.name, "baseline": run.name, "missingness": pattern}
            about |= {"against": WHOLE, "digest": scored[pattern]}
            made.append(_comparison(about, outcome, whole, task, store, margin))
    return made


def compare_all(
    runs: Sequence[Run],
    tasks: Sequence[Retrieval | Classification],
    *,
    store: CohortStore,
    margin: float | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[list[Comparison], list[Comparison]]:
    """Every two runs, the earlier against the later, and each run with and without modalities.

    The p values of each of the two lists are adjusted for all of it.

    Args:
        runs: two or more.
        tasks: those on which both of a pair were scored are compared.
        store: of all.
        margin: what may be lost, instead of the tasks'.
        progress: called with pairs and runs done on a task, and all of them.

    Raises:
        DataError: fewer than two runs, two of one name, nothing in common, or not on the same
            samples, this store or these tasks.
    """
    names = [run.name for run in runs]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise DataError(
            f"runs {', '.join(names)}; expected two or more of different names. Name the folders "
            "of the runs to compare."
        )
    pairs = [(run, other, task) for run, other in combinations(runs, 2) for task in tasks]
    alone = [(run, task) for run in runs for task in tasks]
    made, lost, total = [], [], len(pairs) + len(alone)
    for number, (run, other, task) in enumerate(pairs, start=1):
        made += compare(run, other, task, store=store, margin=margin)
        progress(number, total)
    if not made:
        raise DataError(
            f"runs {', '.join(names)} have no task and pattern in common. Evaluate them on the "
            "same tasks: `clinical-symile evaluate RUN --store STORE`."
        )
    for number, (run, task) in enumerate(alone, start=len(pairs) + 1):
        lost += losses_under_missingness(run, task, store=store, margin=margin)
        progress(number, total)
    return adjust_p_values(made), adjust_p_values(lost)


def adjust_p_values(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same, with p values adjusted for all of them as one family."""
    tested = [row for row in comparisons if row.p_value is not None]
    p_values = [row.p_value for row in tested if row.p_value is not None]
    runs = len({(row.run, row.baseline) for row in tested})
    tasks, patterns = (len({getattr(r, n) for r in tested}) for n in ("task", "missingness"))
    family = (
        f"{_counted(len(tested), 'test')}: {_counted(runs, 'pair')} of runs, "
        f"{_counted(tasks, 'task')}, {_counted(patterns, 'pattern')}"
    )
    if tested and all(row.against is not None for row in tested):
        family = family.replace(" of runs", "").replace("pair", "run")
    both = zip(holm(p_values), benjamini_hochberg(p_values), strict=True)
    found = {id(row): pair for row, pair in zip(tested, both, strict=True)}
    return [
        replace(row, p_holm=found[id(row)][0], p_fdr=found[id(row)][1], family=family)
        if id(row) in found
        else row
        for row in comparisons
    ]


def _digests(run: Run, task: Retrieval | Classification, store: CohortStore) -> dict[str, str]:
    """The patterns that a run has a primary result of, with its digest.

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
            f"{', '.join(dict.fromkeys(other.values()))}. The definition, "
            "the store, a table beside it or the version is another. Evaluate it again on "
            f"{store.path}, or give the store that it was evaluated on."
        )
    return found


def _comparison(
    about: dict[str, Any],
    outcome: pd.DataFrame,
    other: pd.DataFrame,
    task: Retrieval | Classification,
    store: CohortStore,
    margin: float | None,
) -> Comparison:
    metric = primary_metric(task)
    subjects = store.samples["subject"].to_numpy()[outcome["row"]]
    pair = _Pair(metric, outcome, other, subjects, task.seed)
    one, against = pair.arrays
    drawn = resample_difference(
        metric.compute, one, against, subjects, rng=pair.rng, weighted=metric.weighted
    )
    interval, tested = drawn.interval(), _tested(pair, drawn)
    return Comparison(
        **about,
        cohort=store.cohort,
        task=task.name,
        split=task.split,
        metric=metric.name,
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        n_samples=len(outcome["row"].unique()),
        n_subjects=len(np.unique(subjects)),
        standard_error=drawn.standard_error,
        detectable=minimum_detectable(drawn.standard_error),
        test=None if tested is None else tested.test,
        p_value=None if tested is None else tested.p_value,
        **_margin(drawn, metric, task.margin if margin is None else margin),
    )


def _tested(pair: _Pair, drawn: Resampled) -> TestResult | None:
    """The test of the metric; by the bootstrap where it has none or cannot be made on these data.

    None where the difference is not 0 and does not vary either.
    """
    one, other = pair.arrays
    each = pair.metric.each
    # Of several parts it is the mean of several AUROCs, which no single ranking is of.
    if pair.metric.name == "auroc" and "part" not in pair.metric.columns:
        try:
            return delong(one[0], one[1], other[1], pair.subjects)
        except ValueError:  # too few people of a class: what is left is the bootstrap
            return _by_bootstrap(drawn)
    if each is None:
        return _by_bootstrap(drawn)
    if pair.metric.name == "recall_at_1":
        return mcnemar(each(*one), each(*other), pair.subjects)
    return sign_flip(each(*one), each(*other), pair.subjects, rng=pair.rng)


def _by_bootstrap(drawn: Resampled) -> TestResult | None:
    if drawn.value == 0:
        return TestResult("bootstrap, normal", 0.0, 1.0)
    if drawn.standard_error == 0:
        return None
    z = abs(drawn.value) / drawn.standard_error
    return TestResult("bootstrap, normal", drawn.value, float(2 * ndtr(-z)))


def _margin(drawn: Resampled, metric: Metric, margin: float | None) -> dict[str, Any]:
    """Whether no more than a margin is lost; nothing where there is no margin."""
    if margin is None:
        return {}
    sign = 1 if metric.higher_is_better else -1
    found = noninferiority_test(sign * drawn.value, drawn.standard_error, margin=margin)
    return {
        "margin": margin,
        "p_noninferior": found.p_noninferior,
        "p_equivalent": found.p_equivalent,
        "verdict": found.verdict,
    }


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
