"""One result of the oracle, computed alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.references import evaluate_oracle
from clinical_symile.evaluation.single_result import compute_again
from clinical_symile.tracking.run import Run


def test_a_result_of_the_oracle_is_the_same_alone(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task = read_task(
        catalog,
        "retrieval/cxr_given_ecg_labs",
        overrides=['missingness=["complete", "without-ecg"]'],
    )
    assert isinstance(task, Retrieval)
    run = Run(tmp_path / "oracle")
    evaluate_oracle([task], store=synthetic_store, run=run)
    row = run.results[-1]
    assert row.missingness == "without-ecg"
    assert compute_again(row, run, task, synthetic_store) == row
    with pytest.raises(DataError, match="cannot be computed"):
        compute_again(replace(row, metric="none"), run, task, synthetic_store)
    with pytest.raises(DataError, match="of another definition"):
        compute_again(replace(row, digest="other"), run, task, synthetic_store)


def test_a_result_whose_training_read_the_label_is_the_same_alone(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    task = read_task(
        catalog, "classification/deterioration", overrides=['missingness=["complete"]']
    )
    assert isinstance(task, Classification)
    run = Run(tmp_path / "oracle")
    run.write_metadata({"name": "oracle", "saw_labels": ["deterioration"]})
    evaluate_oracle([task], store=synthetic_store, run=run)
    row = run.results[-1]
    assert row.saw_label
    assert compute_again(row, run, task, synthetic_store) == row
