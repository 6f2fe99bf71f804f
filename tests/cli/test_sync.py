"""`clinical-symile sync`."""

import html
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.helpers.mlflow_runs import BY_HAND, parent_of, runs_of, write_run

pytestmark = BY_HAND

Run = Callable[..., tuple[int, str, str]]


def test_a_run_is_copied_then_nothing_is_new(run: Run, runs: Path):
    folder = write_run(runs / "symile-0")
    status, shown, _ = run("sync", folder)
    assert status == 0
    assert "symile-0: sent a new run, 3 epochs, results of 2 tasks, 5 files, its end" in shown
    assert f"clinical-symile dashboard {runs.resolve()}" in shown
    status, shown, _ = run("sync", folder)
    assert status == 0
    assert "symile-0: all of it was there" in shown


def test_several_runs_and_a_folder_of_runs_are_copied(run: Run, runs: Path):
    for name in ("a-0", "b-0"):
        write_run(runs / name)
    status, shown, _ = run("sync", runs / "a-0", runs / "b-0")
    assert status == 0
    assert shown.count("sent a new run") == 2
    _, shown, _ = run("sync", runs)
    assert shown.count("all of it was there") == 2
    assert len(runs_of(f"sqlite:///{runs}/mlflow.db")) == 2


def test_a_run_that_cannot_be_copied_ends_with_status_1_and_the_others_are_copied(
    run: Run, runs: Path
):
    write_run(runs / "a-0")
    uri = "http://127.0.0.1:9"
    status, shown, _ = run("sync", runs / "a-0", "--uri", uri)
    assert status == 1
    assert f"a-0: not synced: run 'a-0' could not be synced to {uri}" in shown
    assert f"then run `clinical-symile sync {runs / 'a-0'} --uri {uri}`" in shown
    assert "MLflow      " not in shown


def test_the_command_of_a_problem_copies_the_run(run: Run, runs: Path, monkeypatch):
    folder = write_run(runs / "a-0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    _, shown, _ = run("sync", folder)
    command = shown.partition("`clinical-symile ")[2].partition("`")[0]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    status, _, _ = run(*command.split())
    assert status == 0
    assert parent_of(f"sqlite:///{runs}/mlflow.db").info.status == "FINISHED"


def test_a_folder_without_runs_is_refused(refused: Callable[..., str], tmp_path: Path):
    assert "holds no run; expected a folder of" in refused("sync", tmp_path)
    assert "holds no run" in refused("sync", tmp_path / "none")


def test_a_benchmark_is_copied_with_its_report_where_it_was_before(
    run: Run, benchmark_folder: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    out = tmp_path / "out"
    shutil.copytree(benchmark_folder, out)
    (out / "mlflow.db").unlink()
    status, shown, _ = run("sync", out)
    assert status == 0
    for name in ("symile-0", "clip-0", "oracle"):
        assert f"{name}: sent a new run" in shown
    assert "benchmark: sent a new run, the report" in shown
    top = parent_of(f"sqlite:///{out}/mlflow.db")
    assert top.data.tags["role"] == "study"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert top.data.tags["mlflow.note.content"][:40] in html.unescape(page)
    assert not (out / "runs" / "mlflow.db").exists()
    assert len(runs_of(f"sqlite:///{out}/mlflow.db")) == 4
    _, shown, _ = run("sync", out)
    assert shown.count("all of it was there") == 4
    # A benchmark that was stopped has no record yet.
    (out / "benchmark.json").unlink()
    _, shown, _ = run("sync", out)
    assert shown.count("all of it was there") == 3
