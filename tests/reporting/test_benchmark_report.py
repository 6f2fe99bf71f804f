"""The store of a benchmark is found where it was or in the benchmark's folder, and is its own."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.reporting.benchmark_report import benchmark_tasks, open_recorded_store
from clinical_symile.tracking.run import Run

RUNS = ["clip-0", "prevalence"]


def _benchmark(out: Path, digest: str) -> None:
    """A folder with two runs on a store."""
    for name in RUNS:
        (out / "runs" / name).mkdir(parents=True)
        Run(out / "runs" / name).write_metadata({"name": name, "store_digest": digest})


def _record(place: Path) -> dict[str, Any]:
    return {"store": str(place), "runs": [*RUNS, "without-a-record"]}


def test_a_moved_benchmark_opens_the_store_in_its_folder(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    _benchmark(tmp_path, synthetic_store.digest)
    shutil.copytree(synthetic_store.path, tmp_path / "store")
    opened = open_recorded_store(tmp_path, _record(tmp_path / "gone"))
    assert opened.path == tmp_path / "store"
    assert opened.digest == synthetic_store.digest


@pytest.mark.parametrize("place", ["recorded", "store"])
def test_another_store_than_that_of_the_runs_is_refused(
    place: str, synthetic_store: CohortStore, tmp_path: Path
) -> None:
    _benchmark(tmp_path, "0123456789abcdef")
    shutil.copytree(synthetic_store.path, tmp_path / place)
    with pytest.raises(DataError) as refused:
        open_recorded_store(tmp_path, _record(tmp_path / "recorded"))
    (problem,) = refused.value.problems
    assert problem.code == "CS-R013"
    assert f"{tmp_path / place}: is store {synthetic_store.digest}" in problem
    assert f"the runs of {tmp_path} have store 0123456789abcdef" in problem


def test_a_benchmark_without_records_of_runs_opens_its_store(
    synthetic_store: CohortStore, tmp_path: Path
) -> None:
    opened = open_recorded_store(tmp_path, _record(synthetic_store.path))
    assert opened.digest == synthetic_store.digest


def test_tasks_have_the_patterns_that_the_benchmark_recorded(catalog: Catalog) -> None:
    name = "retrieval/cxr_given_ecg_labs"
    table = read_task(catalog, name).model_dump(mode="json", exclude={"name"})
    own = table | {"missingness": ["complete", "labs-mcar-50"]}
    made = benchmark_tasks({"definitions": {name: own}}, catalog=catalog)[name]
    assert made.missingness == ("complete", "labs-mcar-50") != tuple(table["missingness"])
    assert made.model_dump(mode="json", exclude={"name"}) == own
    with pytest.raises(DataError, match=f"{name}: missingness is not list.str"):
        benchmark_tasks({"definitions": {name: own | {"missingness": 3}}}, catalog=catalog)
