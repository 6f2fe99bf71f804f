"""Two runs on the same samples: the difference and its interval."""

import numpy as np

from clinical_symile.errors import DataError
from clinical_symile.intervals import paired_bootstrap
from clinical_symile.questions import primary_metric
from clinical_symile.results import Comparison
from clinical_symile.run import Run
from clinical_symile.store import CohortStore
from clinical_symile.task import Classification, Retrieval


def compare(
    run: Run, baseline: Run, task: Retrieval | Classification, *, store: CohortStore
) -> list[Comparison]:
    """Differences of a task's primary metric, for each pattern that both runs were scored on.

    Both are scored on the same queries with the same candidates, and resampled together.

    Args:
        run: the one that is asked about.
        baseline: the one it is compared with.
        task: on what.
        store: the store of both.

    Raises:
        DataError: the two were not scored on the same samples.
    """
    metric = primary_metric(task)
    subjects = store.samples["subject"].to_numpy()
    scored, against = (
        {
            row.missingness: row.digest
            for row in one.results
            if row.task == task.name and row.metric == metric.name
        }
        for one in (run, baseline)
    )
    comparisons = []
    for pattern in (name for name in scored if name in against):
        outcome, other = run.outcome(task.name, pattern), baseline.outcome(task.name, pattern)
        if scored[pattern] != against[pattern] or not outcome["row"].equals(other["row"]):
            raise DataError(
                f"runs '{run.name}' and '{baseline.name}' were not scored on the same samples of "
                f"task '{task.name}' under '{pattern}'. Evaluate both again on one store."
            )
        names = metric.columns
        interval = paired_bootstrap(
            metric.compute,
            [outcome[name].to_numpy() for name in names],
            [other[name].to_numpy() for name in names],
            subjects[outcome["row"]],
            rng=np.random.default_rng(task.seed),
        )
        comparisons.append(
            Comparison(
                run=run.name,
                baseline=baseline.name,
                cohort=store.cohort,
                task=task.name,
                split=task.split,
                missingness=pattern,
                metric=metric.name,
                difference=interval.value,
                low=interval.low,
                high=interval.high,
                n_samples=len(outcome["row"].unique()),
                n_subjects=len(np.unique(subjects[outcome["row"]])),
                digest=scored[pattern],
            )
        )
    return comparisons
