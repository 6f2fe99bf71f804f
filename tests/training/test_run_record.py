from pathlib import Path

import pytest

from clinical_symile import __version__
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.tracking.provenance import now
from clinical_symile.tracking.run import Run
from clinical_symile.training.run_record import new_record, read_or_new_record
from tests.helpers.synthetic import mlp_task


def test_a_record_has_all_that_a_repetition_needs(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    task = mlp_task(catalog)
    record = new_record(Run(tmp_path / "run"), task, synthetic_store, seed=7)
    assert record["name"] == "run"
    assert (record["task"], record["task_digest"]) == (task.name, task_digest(task))
    assert record["store_digest"] == synthetic_store.digest
    assert (record["seed"], record["version"]) == (7, __version__)
    without_settings = task.model_copy(update={"settings": ()})
    assert Pretraining(name=task.name, **record["definition"]) == without_settings


def test_the_record_of_the_same_run_is_read(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    run, task = Run(tmp_path / "run"), mlp_task(catalog)
    record = {**new_record(run, task, synthetic_store, seed=7), "finished": now()}
    run.write_metadata(record)
    found = read_or_new_record(run, task, synthetic_store, seed=7)
    assert found["finished"] == record["finished"]
    assert found["started"] == record["started"]


def test_the_record_of_another_run_is_refused_with_what_differs(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    run, task = Run(tmp_path / "run"), mlp_task(catalog)
    run.write_metadata(new_record(run, task, synthetic_store, seed=7))
    with pytest.raises(DataError, match=r"holds a run of another seed \(7\); expected 8"):
        read_or_new_record(run, task, synthetic_store, seed=8)
