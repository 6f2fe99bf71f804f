from pathlib import Path

import pytest

from clinical_symile import __version__
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.hashing import file_sha256
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


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("observed", None),
        ("mnar-50", None),
        ("mar-age-50", None),
        ("mnar-age-50", None),
        ("mnar-deterioration-50", ["deterioration"]),
        ("labs-mnar-deterioration-50", ["deterioration"]),
        ("cxr-marker-deterioration-90", ["deterioration"]),
        ("cxr-marker-shift-deterioration-90", ["deterioration"]),
    ],
)
def test_a_pattern_that_depends_on_an_outcome_in_training_saw_its_labels(
    catalog: Catalog,
    synthetic_store: CohortStore,
    tmp_path: Path,
    pattern: str,
    seen: list[str] | None,
):
    task = mlp_task(catalog, f'missingness="{pattern}"')
    record = new_record(Run(tmp_path / "run"), task, synthetic_store, seed=7)
    assert record.get("saw_labels") == seen


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


def test_a_record_has_name_and_digest_of_a_file_of_first_weights_and_not_its_path(
    catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path
):
    files = [tmp_path / "someone" / "resnet.pt", tmp_path / "resnet.pt"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"weights")
    tasks = [
        mlp_task(catalog, f'encoders.cxr={{name="resnet18", weights="{file}"}}') for file in files
    ]
    assert task_digest(tasks[0]) == task_digest(tasks[1])
    run, first = Run(tmp_path / "run"), tasks[0]
    record = new_record(run, first, synthetic_store, seed=7)
    assert record["definition"]["encoders"]["cxr"]["weights"] == "resnet.pt"
    assert record["files_sha256"] == {"encoders.cxr.weights": file_sha256(files[0])}
    assert "someone" not in str(record)
    run.write_metadata(record)
    for task in tasks:
        assert read_or_new_record(run, task, synthetic_store, seed=7) == run.metadata
    files[0].write_bytes(b"other weights")
    with pytest.raises(DataError, match=r"holds a run of another encoders\.cxr\.weights"):
        read_or_new_record(run, first, synthetic_store, seed=7)
    files[0].unlink()  # the run goes on without it
    assert read_or_new_record(run, first, synthetic_store, seed=7) == run.metadata
