"""`verify`: every file of a store, run or benchmark, and what differs."""

import json
import math
import shutil
from pathlib import Path

import pytest

from clinical_symile.api.verification import verify, verify_folder
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.files import lock_folder, write_text
from clinical_symile.tracking.checksums import check_folder, read_checksums


@pytest.fixture
def store(synthetic_store: CohortStore, tmp_path: Path) -> Path:
    return Path(shutil.copytree(synthetic_store.path, tmp_path / "work" / "store"))


def test_a_store_as_it_was_written_is_intact(store: Path) -> None:
    found = verify_folder(store)
    assert found.is_intact
    assert found.checked == len(list(store.iterdir())) - 1
    assert str(found) == f"{store}: {found.checked} files are as written."


def test_every_changed_file_of_every_folder_below_is_named(store: Path) -> None:
    run = store.parent / "runs" / "one"
    with lock_folder(run):
        write_text(run / "results.jsonl", '{"value": 0.31}')
    (run / "results.jsonl").write_text('{"value": 0.97}')
    array = bytearray((store / "cxr.npy").read_bytes())
    array[-1] ^= 1
    (store / "cxr.npy").write_bytes(array)
    (store / "samples.parquet").unlink()
    found = verify_folder(store.parent)
    assert not found.is_intact
    assert [one.path.name for one in found.changed] == [
        "results.jsonl",
        "cxr.npy",
        "samples.parquet",
    ]
    assert all("Restore it from a backup, or" in line for line in map(str, found.changed))
    assert str(found).endswith(f" {found.checked - 3} files are as written.")


def test_an_old_run_cannot_be_verified_until_its_checksums_are_written(tmp_path: Path) -> None:
    run = tmp_path / "symile-0"
    run.mkdir()
    (run / "run.toml").write_text("")
    found = verify_folder(run)
    assert (found.is_intact, found.checked, found.unchecked) == (False, 0, (run,))
    assert "cannot be verified" in str(found)
    assert verify_folder(run, renew=True).is_intact


def test_renewed_checksums_of_a_benchmark_leave_out_mlflow_raw_files_and_your_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "benchmark.json").write_text("{}")
    theirs = (
        *("mlflow.db", "mlflow.db-wal", "source/ecg/1.dat", "mlartifacts/a/report.html"),
        *("notes.txt", ".git/config.json", "ranks.jsonl.partial", "runs/mlflow.db"),
        "mlartifacts/1/run.toml",
    )
    for name in theirs:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    assert verify_folder(tmp_path, renew=True).checked == 1
    (tmp_path / "mlflow.db").write_text("written by the next sync")
    (tmp_path / "notes.txt").write_text("edited")
    (tmp_path / "source" / "ecg" / "1.dat").unlink()
    assert verify_folder(tmp_path).is_intact
    assert not (tmp_path / "mlartifacts" / "1" / "checksums.jsonl").exists()


def test_renewed_files_are_listed_by_the_innermost_folder_alone(store: Path) -> None:
    benchmark, run = store.parent, store.parent / "runs" / "symile-0"
    run.mkdir(parents=True)
    (run / "run.toml").write_text("")
    (run / "results.jsonl").write_text("{}")
    (benchmark / "benchmark.json").write_text("{}")
    (store / "checksums.jsonl").unlink()
    assert verify_folder(benchmark, renew=True).is_intact
    assert list(read_checksums(benchmark) or {}) == ["benchmark.json"]
    with lock_folder(run):
        write_text(run / "results.jsonl", '{"evaluated": "again"}')
    assert verify_folder(benchmark).is_intact
    check_folder(benchmark)


def test_a_run_of_a_benchmark_that_is_gone_is_named(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "demo"):
        write_text(tmp_path / "demo" / "benchmark.json", json.dumps({"runs": ["symile-0"]}))
    (run,) = verify_folder(tmp_path / "demo").changed
    assert (run.path, run.state) == (tmp_path / "demo" / "runs" / "symile-0", "is missing")
    (tmp_path / "demo" / "runs" / "symile-0").mkdir(parents=True)
    assert verify_folder(tmp_path / "demo").is_intact


def test_a_table_of_an_older_version_beside_newer_ones_is_named(store: Path) -> None:
    run = store.parent / "symile-0"
    with lock_folder(run):
        write_text(run / "results.jsonl", "")
    (run / "model.safetensors").write_bytes(b"written by version 0.2.1")
    found = verify_folder(run)
    assert not found.is_intact
    assert f"verify --renew {run}`" in str(found)
    assert verify_folder(run, renew=True).is_intact


def test_an_old_store_is_compared_with_its_manifest(store: Path) -> None:
    (store / "checksums.jsonl").unlink()
    assert verify_folder(store).changed == ()
    (store / "labs.npy").write_bytes(b"")
    (changed,) = verify_folder(store).changed
    assert changed.path.name == "labs.npy"


def test_damaged_checksums_are_named(store: Path) -> None:
    (store / "checksums.jsonl").write_text(json.dumps({}))
    found = verify_folder(store)
    (changed,) = found.changed
    assert changed.path.name == "checksums.jsonl"
    assert f"verify --renew {store}`" in str(changed)
    assert str(found).endswith(f"{store}: 0 files are as written.")


def test_your_own_files_are_named_and_break_nothing(store: Path) -> None:
    (store / "notes.txt").write_text("mine")
    found = verify_folder(store)
    assert found.is_intact
    assert [path.name for path in found.unlisted] == ["notes.txt"]


def test_a_folder_without_any_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no store, run or benchmark"):
        verify_folder(tmp_path)


def test_options_that_would_be_ignored_are_refused_all_at_once(tmp_path: Path):
    bundle = tmp_path / "a.zip"
    bundle.touch()
    with pytest.raises(DataError) as refused:
        verify(bundle, renew=True, lines=[1], store="store", tolerance=math.nan)
    for words in (
        "renew is for folders",
        "lines is for results",
        "store is for",
        "expected a number",
    ):
        assert words in str(refused.value)
    with pytest.raises(DataError, match="signers is for bundles; leave it out"):
        verify(tmp_path, signers="signers")
