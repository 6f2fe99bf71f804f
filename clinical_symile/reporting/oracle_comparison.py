"""Compare results with the oracle's: a result that is significantly better points to a leak."""

from collections.abc import Mapping, Sequence

import numpy as np

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.task_metrics import primary_metric
from clinical_symile.evaluation.task_selection import ScoredTask
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.result_lookup import ResultTable
from clinical_symile.stats.bootstrap import paired_bootstrap
from clinical_symile.stats.estimate import LEVEL
from clinical_symile.tracking.results import Comparison, Result
from clinical_symile.tracking.run import Run

_RESAMPLES, _RESAMPLES_PER_TEST = 2000, 100


def results_above_oracle(
    results: Sequence[Result],
    runs: Sequence[Run],
    tasks: Mapping[str, ScoredTask],
    *,
    store: CohortStore,
) -> tuple[list[Comparison], int]:
    """Return primary results above the oracle's as differences, and the number of tested results.

    The oracle is the best over the whole population, not on each sample of it: a run can be better
    by chance. The intervals are paired and hold simultaneously for all tests (Bonferroni).
    """
    by_name, scores = {run.name: run for run in runs}, ResultTable(results)
    tested = [
        (row, task, best)
        for row in results
        if row.run != ORACLE
        and (task := tasks.get(row.task)) is not None
        and row.metric == task.primary
        and (best := scores.get(ORACLE, row.task, row.missingness, row.metric)) is not None
        and best.digest == row.digest
    ]
    level = 1 - (1 - LEVEL) / max(len(tested), 1)
    above = [
        _minus_oracle(row, task, by_name[row.run], by_name[ORACLE], store=store, level=level)
        for row, task, best in tested
        if (
            row.value > best.value
            if primary_metric(task).higher_is_better
            else row.value < best.value
        )
    ]
    return above, len(tested)


def _minus_oracle(
    row: Result,
    task: ScoredTask,
    run: Run,
    oracle: Run,
    *,
    store: CohortStore,
    level: float,
) -> Comparison:
    outcome, best = (one.outcome(row.task, row.missingness) for one in (run, oracle))
    if not outcome["row"].equals(best["row"]):
        raise DataError(
            f"runs '{run.name}' and '{oracle.name}' were evaluated on different samples of task "
            f"'{row.task}' under '{row.missingness}'. Evaluate both again on one store.",
            code="CS-S004",
        )
    metric = primary_metric(task)
    names = metric.columns
    interval = paired_bootstrap(
        metric.compute,
        [outcome[name].to_numpy() for name in names],
        [best[name].to_numpy() for name in names],
        store.samples["subject"].to_numpy()[outcome["row"]],
        rng=np.random.default_rng(task.seed),
        resamples=max(_RESAMPLES, round(_RESAMPLES_PER_TEST * (1 - LEVEL) / (1 - level))),
        level=level,
        weighted=metric.weighted,
    )
    same = ("run", "cohort", "task", "split", "missingness", "metric")
    return Comparison(
        **{name: getattr(row, name) for name in (*same, "n_samples", "n_subjects", "digest")},
        baseline=ORACLE,
        difference=interval.value,
        low=interval.low,
        high=interval.high,
    )
