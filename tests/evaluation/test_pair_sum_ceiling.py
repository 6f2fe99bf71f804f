from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.pair_sum_ceiling import evaluate_pair_sums
from clinical_symile.evaluation.references import evaluate_oracle
from clinical_symile.synthetic.oracle import Oracle
from clinical_symile.synthetic.pair_sums import PairSums
from clinical_symile.tracking.run import Run
from tests.helpers.quick import with_few_resamples


def _task(catalog: Catalog) -> Retrieval:
    overrides = ["missingness=['complete', 'without-ecg']"]
    task = read_task(catalog, "retrieval/cxr_given_ecg_labs", overrides=overrides)
    assert isinstance(task, Retrieval)
    return task


def _fitted(store: CohortStore, *, candidates: int) -> Oracle:
    assert candidates == 10
    return Oracle(store, model=PairSums)


def test_the_ceiling_is_a_baseline_between_chance_and_the_oracle(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The quick sum over pairs stands in for the search, which has tests of its own.
    monkeypatch.setattr(Oracle, "of_pair_sums", staticmethod(_fitted))
    tasks, run = [_task(catalog)], Run(tmp_path / "pair-sums")
    with with_few_resamples():
        assert evaluate_pair_sums(tasks, store=synthetic_store, run=run)
        oracle = evaluate_oracle(tasks, store=synthetic_store, run=Run(tmp_path / "oracle"))
    assert run.is_baseline
    assert run.is_finished
    assert oracle is not None
    own, best = (
        {row.missingness: row.value for row in one.results if row.metric == "recall_at_1"}
        for one in (run, oracle)
    )
    assert own["complete"] < best["complete"]
    assert own["without-ecg"] == best["without-ecg"]
    before = (run.path / "run.toml").read_bytes()
    assert evaluate_pair_sums(tasks, store=synthetic_store, run=run)
    assert (run.path / "run.toml").read_bytes() == before


def test_a_cohort_without_a_generator_has_no_ceiling(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    store = replace(synthetic_store, manifest={**synthetic_store.manifest, "generator": None})
    run = Run(tmp_path / "pair-sums")
    assert not evaluate_pair_sums([_task(catalog)], store=store, run=run)
    assert not run.path.exists()


def test_a_trained_run_of_its_name_is_refused_and_not_replaced(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Oracle, "of_pair_sums", staticmethod(_fitted))
    run = Run(tmp_path / "pair-sums")
    run.write_metadata(
        {"name": "pair-sums", "task": "pretraining/clip", "finished": "2026-03-01T10:05:00+00:00"}
    )
    with pytest.raises(DataError, match="holds a run of task"):
        evaluate_pair_sums([_task(catalog)], store=synthetic_store, run=run)
    assert run.metadata["task"] == "pretraining/clip"
