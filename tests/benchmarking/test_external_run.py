from pathlib import Path
from typing import Any

import pytest

from clinical_symile.benchmarking.external_run import ExternalRun, check_not_taken
from clinical_symile.config.catalog import Catalog
from clinical_symile.errors import DataError
from clinical_symile.tracking.run import Run
from tests.helpers.synthetic import quiet


def _external(catalog: Catalog, out: Path, name: str, **changes: Any) -> ExternalRun:
    fields: dict[str, Any] = {"store": None, "tasks": ("retrieval/*",), "bar": quiet} | changes
    return ExternalRun(name=name, out=out, catalog=catalog, **fields)


@pytest.mark.parametrize(
    "name", ["oracle", "Oracle", "ORACLE", "prevalence", "Late-Fusion", "../x", ".", "", "..hidden"]
)
def test_no_run_takes_the_place_of_the_oracle_or_a_baseline_or_leaves_the_folder(
    name: str, catalog: Catalog, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="--name: "):
        _external(catalog, tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("there", "name"), [("Theirs", "theirs"), ("größe", "GRÖSSE")])
def test_a_name_that_a_disk_may_take_for_another_is_refused(
    there: str, name: str, catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "runs" / there).mkdir(parents=True)
    with pytest.raises(DataError, match=r"differs from .* only in capital letters"):
        _external(catalog, tmp_path, name)
    assert _external(catalog, tmp_path, there).run.path == tmp_path / "runs" / there


def test_a_file_that_needs_a_store_says_so(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="embeddings need a cohort store; got none"):
        _external(catalog, tmp_path, "theirs").opened_store("embeddings")


def test_notes_on_tasks_that_do_not_apply_are_for_tasks_that_were_named(
    catalog: Catalog, tmp_path: Path
) -> None:
    notes = ["task 'x' does not apply"]
    assert _external(catalog, tmp_path, "a").relevant(notes) == []
    named = _external(catalog, tmp_path, "a", tasks=("retrieval/cxr_given_ecg_labs",))
    assert named.relevant(notes) == notes


@pytest.mark.parametrize("kind", ["predictions", "embeddings", "scores", "baseline", "model"])
def test_a_file_never_replaces_a_run_of_another_kind(kind: str, tmp_path: Path) -> None:
    run = Run(tmp_path / "theirs")
    about = {"predictions": "new.csv", "sha256": "0123"}
    check_not_taken(run, about)
    run.write_metadata({"name": run.name, kind: "old"})
    with pytest.raises(DataError, match=f"a run of {kind} 'old' has this name; expected a name"):
        check_not_taken(run, about)


def test_the_same_file_is_added_again_and_a_changed_one_is_not(tmp_path: Path) -> None:
    run = Run(tmp_path / "theirs")
    run.write_metadata({"name": run.name, "predictions": "a.csv", "sha256": "0123"})
    check_not_taken(run, {"predictions": "a.csv", "sha256": "0123"})
    with pytest.raises(DataError, match="its content, or the way it is scored, differs"):
        check_not_taken(run, {"predictions": "a.csv", "sha256": "4567"})


def test_a_folder_without_a_record_is_not_written_into(tmp_path: Path) -> None:
    run = Run(tmp_path / "theirs")
    run.path.mkdir()
    with pytest.raises(DataError, match="a run of another kind has this name"):
        check_not_taken(run, {"predictions": "a.csv"})
