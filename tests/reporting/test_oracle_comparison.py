"""Results are tested against the oracle's on the same samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.reporting.oracle_comparison import results_above_oracle
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.run import Run
from tests.reporting.test_results import RESULT

SAMPLES = 60


@pytest.fixture
def task(catalog: Catalog) -> Retrieval:
    made = read_task(catalog, "retrieval/cxr_given_ecg_labs")
    assert isinstance(made, Retrieval)
    return made.model_copy(update={"primary": "recall_at_1"})


@pytest.fixture
def store(synthetic_store: CohortStore) -> CohortStore:
    table = {"sample": np.arange(SAMPLES), "subject": np.arange(SAMPLES), "split": "held_out"}
    present = np.ones((SAMPLES, len(synthetic_store.modalities)), dtype=bool)
    return replace(synthetic_store, samples=pd.DataFrame(table), present=present)


def _scored(folder: Path, name: str, task: Retrieval, hits: int, *, first: int = 0):
    """A run that finds the answers of its first `hits` queries, and its result."""
    rows = np.arange(SAMPLES) + first
    above = np.where(np.arange(SAMPLES) < hits, 0, 1)
    outcome = pd.DataFrame({"row": rows, "above": above, "tied": 0, "candidates": 10})
    run = Run(folder / name)
    run.write_metadata({"name": name, "seed": 0})
    result = replace(RESULT, run=name, task=task.name, value=hits / SAMPLES)
    run.write_evaluation(
        task.name,
        results=[result],
        unscored=[],
        outcomes={"complete": outcome},
        tuning={},
        candidates=pd.DataFrame(),
    )
    return run, result


def _compared(runs: list[tuple[Run, Result]], task: Retrieval, store: CohortStore):
    results = [result for _, result in runs]
    return results_above_oracle(results, [run for run, _ in runs], {task.name: task}, store=store)


def test_a_result_above_the_oracle_is_returned_with_its_paired_difference(
    tmp_path: Path, task: Retrieval, store: CohortStore
):
    runs = [
        _scored(tmp_path, "oracle", task, 30),
        _scored(tmp_path, "leaks", task, 54),
        _scored(tmp_path, "honest", task, 20),
    ]
    (above,), tested = _compared(runs, task, store)
    assert tested == 2
    assert (above.run, above.baseline) == ("leaks", "oracle")
    assert above.difference == pytest.approx(24 / SAMPLES)
    assert 0 < above.low < above.difference < above.high  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]


def test_intervals_widen_with_the_number_of_tested_results(
    tmp_path: Path, task: Retrieval, store: CohortStore
):
    runs = [_scored(tmp_path, "oracle", task, 30), _scored(tmp_path, "above", task, 36)]
    (alone,), _ = _compared(runs, task, store)
    more = [_scored(tmp_path, f"other-{n}", task, 10) for n in range(20)]
    (among,), tested = _compared([*runs, *more], task, store)
    assert tested == 21
    assert among.high - among.low > alone.high - alone.low  # pyright: ignore[reportOperatorIssue]


def test_other_metrics_and_other_questions_are_not_tested(
    tmp_path: Path, task: Retrieval, store: CohortStore
):
    oracle = _scored(tmp_path, "oracle", task, 30)
    run, result = _scored(tmp_path, "run", task, 60)
    for other in (replace(result, metric="recall_at_5"), replace(result, digest="another")):
        assert _compared([oracle, (run, other)], task, store) == ([], 0)
    assert _compared([(run, result)], task, store) == ([], 0)


def test_runs_of_different_samples_are_refused(tmp_path: Path, task: Retrieval, store: CohortStore):
    runs = [_scored(tmp_path, "oracle", task, 30), _scored(tmp_path, "run", task, 60, first=1)]
    with pytest.raises(DataError, match="evaluated on different samples"):
        _compared(runs, task, store)
