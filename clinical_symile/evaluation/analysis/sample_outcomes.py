"""Read the outcome of each sample of a task under one pattern, as arrays to resample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped

from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.task_metrics import primary_metric
from clinical_symile.evaluation.task_selection import EvaluationTask, ScoredTask, scored_tasks
from clinical_symile.metrics.base import Metric
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.stats.resampling import Weighted, by_weights
from clinical_symile.tracking.disclosure import withheld_patterns
from clinical_symile.tracking.run import Run

# A task and a pattern.
TaskPattern = tuple[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class SampleOutcomes:
    """The outcomes of one run on one task under one pattern.

    Attributes:
        about: run, cohort, task, missingness and digest, as in the rows of tables.
        task: the evaluated task.
        metric: the task's primary metric.
        outcome: one row for each sample; see `TaskOutcome.per_sample`.
        tuning: the same for the tuning split, with the `subject` of each sample; None where it was
            not predicted.
        subjects: the subject of each row of `outcome`, as a number.
    """

    about: Mapping[str, Any]
    task: ScoredTask
    metric: Metric
    outcome: pd.DataFrame
    tuning: pd.DataFrame | None
    subjects: Shaped[np.ndarray, " sample"]

    @property
    def rows(self) -> Int[np.ndarray, " sample"]:
        """Rows of the store."""
        return self.outcome["row"].to_numpy()

    @property
    def n_samples(self) -> int:
        """The number of samples; a sample has one row for each part of a task of several."""
        return len(np.unique(self.rows))

    @property
    def arrays(self) -> list[Shaped[np.ndarray, " sample"]]:
        """The columns that the primary metric is computed from."""
        return [self.outcome[name].to_numpy() for name in self.metric.columns]

    @property
    def weighted(self) -> Weighted:
        """The primary metric as a function of resampling weights."""
        return self.metric.weighted or by_weights(self.metric.compute)

    @property
    def rng(self) -> np.random.Generator:
        """A generator in the same state for every analysis of the task: all share resamples."""
        return np.random.default_rng(self.task.seed)


MethodOutcomes = Mapping[TaskPattern, Mapping[str, Sequence[SampleOutcomes]]]
"""The outcomes of each method's runs, by task and pattern."""


def split_by_outcome(one: SampleOutcomes) -> dict[str | None, SampleOutcomes]:
    """Return the outcomes of each part of a task; by None, all of them, if there is one part."""
    if "part" not in one.outcome:
        return {None: one}

    def only(frame: pd.DataFrame | None, part: str) -> pd.DataFrame | None:
        if frame is None:
            return None
        return frame.loc[frame["part"] == part].drop(columns="part").reset_index(drop=True)

    made = {}
    for part in one.outcome["part"].unique().tolist():
        outcome = only(one.outcome, part)
        assert outcome is not None
        where = (one.outcome["part"] == part).to_numpy()
        tuning, subjects = only(one.tuning, part), one.subjects[where]
        made[part] = replace(one, outcome=outcome, tuning=tuning, subjects=subjects)
    return made


def load_outcomes(run: Run, task: ScoredTask, store: CohortStore) -> dict[str, SampleOutcomes]:
    """Return the outcomes of a run on a task, by each pattern with a primary result."""
    # As numbers in the same order: text is slow to sort, which every analysis does.
    subjects = np.unique(store.samples["subject"].to_numpy(), return_inverse=True)[1]
    scored = {}
    for row in run.results:
        if (row.task, row.metric) != (task.name, task.primary):
            continue
        outcome = run.outcome(task.name, row.missingness)
        tuning = run.tuning_outcome(task.name, row.missingness)
        if tuning is not None:
            tuning = tuning.assign(subject=subjects[tuning["row"]])
        names = ("run", "cohort", "task", "missingness", "digest")
        scored[row.missingness] = SampleOutcomes(
            about={name: getattr(row, name) for name in names},
            task=task,
            metric=primary_metric(task, outcome),
            outcome=outcome,
            tuning=tuning,
            subjects=subjects[outcome["row"]],
        )
    return scored


def method_outcomes(
    runs: Sequence[Run], tasks: Sequence[EvaluationTask], *, store: CohortStore
) -> MethodOutcomes:
    """Return the outcomes of each method's runs, by task and pattern.

    A method is a pretraining task, or an external model. Tasks and patterns for which a run's
    results are withheld are left out, and results with an old fingerprint.

    Args:
        runs: trained runs and external models.
        tasks: the tasks; diagnostics are left out.
        store: the cohort of all.

    Raises:
        DataError: runs were not scored on the same samples.
    """
    # A rank or a difference could tell what a result on fewer than ten people would.
    hidden = {
        (task, pattern) for run in runs for _, task, pattern in withheld_patterns(run.results)
    }
    cells: dict[TaskPattern, dict[str, list[SampleOutcomes]]] = {}
    for task in scored_tasks(tasks):
        expected = expected_fingerprints(task, store)
        for run in runs:
            for pattern, one in load_outcomes(run, task, store).items():
                if pattern not in task.missingness or one.about["digest"] != expected(pattern):
                    continue
                if (task.name, pattern) in hidden:
                    continue
                methods = cells.setdefault((task.name, pattern), {})
                methods.setdefault(run.metadata.get("task", run.name), []).append(one)
    for (task, pattern), methods in cells.items():
        first, *others = [one for several in methods.values() for one in several]
        if not all(np.array_equal(one.rows, first.rows) for one in others):
            raise DataError(
                f"task '{task}' under '{pattern}': runs were not scored on the same samples. "
                "Evaluate all of them again on one store.",
                code="CS-S004",
            )
    return cells


def without_shown_outcomes(cells: MethodOutcomes) -> MethodOutcomes:
    """Leave out patterns that show held-out outcomes in the inputs: a marker whose tie is kept.

    Who leads under such a pattern reads the outcome; that says nothing of missing modalities.
    """
    return {cell: of for cell, of in cells.items() if parse_pattern(cell[1]).part != "marker"}
