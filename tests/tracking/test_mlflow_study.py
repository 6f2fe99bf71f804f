"""Runs of a benchmark are grouped in MLflow: the study, its methods, their seeds."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinical_symile.tracking._mlflow_study import _EARLIER_NOTE, EXPERIMENT_NOTE
from clinical_symile.tracking._sent_marks import NOTE_TAG
from clinical_symile.tracking.mlflow import Study, SyncResult, sync_run, sync_study
from clinical_symile.tracking.results import write_rows
from clinical_symile.tracking.run import Run
from tests.helpers.mlflow_runs import BY_HAND, RESULTS, files_of, runs_of, write_run

pytestmark = BY_HAND
RECALL = "recall_at_1 complete cxr_given_ecg_labs"


def write_benchmark(out: Path, *, seeds: int = 2) -> Study:
    """Write two methods, one with one seed, and the oracle."""
    runs = []
    for task, n in (("pretraining/symile", seeds), ("pretraining/clip", 1)):
        for seed in range(n):
            folder = out / "runs" / f"{task.rpartition('/')[2]}-{seed}"
            write_run(folder, seed=seed, task=task, started=f"2026-03-0{seed + 1}T10:00:00+00:00")
            rows = [replace(row, value=row.value - 0.1 * seed) for row in RESULTS]
            write_rows(folder / "results.jsonl", rows)
            runs.append(Run(folder))
    oracle = out / "runs" / "oracle"
    oracle.mkdir(parents=True, exist_ok=True)
    write_rows(oracle / "results.jsonl", [replace(row, run="oracle") for row in RESULTS])
    page = out / "report.html"
    page.write_text("<title>report</title>")
    return Study(
        name="benchmark",
        folder=out,
        runs=[*runs, Run(oracle)],
        finding="Symile is above CLIP.",
        page=page,
    )


def sync(study: Study, uri: str) -> SyncResult:
    """Sync the runs, then the study."""
    for run in study.runs:
        assert sync_run(run, uri=uri).problem is None
    found = sync_study(study, uri=uri)
    assert found.problem is None
    return found


def tree_of(uri: str) -> dict[str, str]:
    """The name of each run's parent."""
    runs = {run.info.run_id: run for run in runs_of(uri)}
    parents = {i: run.data.tags.get("mlflow.parentRunId") for i, run in runs.items()}
    return {
        runs[i].info.run_name: "" if parent is None else runs[parent].info.run_name
        for i, parent in parents.items()
    }


def named(uri: str, name: str) -> Any:
    """The only run of a name."""
    (found,) = [run for run in runs_of(uri) if run.info.run_name == name]
    return found


def test_seeds_are_nested_in_their_method_and_methods_in_the_study(tmp_path: Path, database: str):
    study = write_benchmark(tmp_path / "out")
    first, again = sync(study, database), sync(study, database)
    assert (first.sent, again.sent) == (("a new run", "the report"), ())
    for found in (first, again):
        assert tree_of(database) == {
            "benchmark: out": "",
            "pretraining/symile": "benchmark: out",
            "symile-0": "pretraining/symile",
            "symile-1": "pretraining/symile",
            "clip-0": "benchmark: out",
            "oracle": "benchmark: out",
        }
        assert found.run_id == named(database, "benchmark: out").info.run_id
    top = named(database, "benchmark: out")
    assert top.data.tags["role"] == "study"
    assert top.data.tags["mlflow.note.content"] == "Symile is above CLIP."
    assert files_of(database, top.info.run_id) == {"report.html"}
    assert {run.info.status for run in runs_of(database)} == {"FINISHED"}


def test_a_method_has_the_means_over_its_seeds(tmp_path: Path, database: str):
    sync(write_benchmark(tmp_path / "out"), database)
    method = named(database, "pretraining/symile")
    assert method.data.metrics[RECALL] == pytest.approx((0.7 + 0.6) / 2)
    assert {"role": "method", "objective": "symile", "seeds": "0, 1"}.items() <= (
        method.data.tags.items()
    )
    assert "| 0.650 | 0.071 |" in method.data.tags["mlflow.note.content"]


def test_the_experiment_tells_the_finding_and_links_the_report(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    study, client = write_benchmark(tmp_path / "out"), MlflowClient(database)
    found = sync(study, database)
    experiment = client.get_experiment_by_name("synthetic")
    assert experiment is not None
    note = experiment.tags["mlflow.note.content"]
    place = f"#/experiments/{experiment.experiment_id}/runs/{found.run_id}/artifacts/report.html"
    assert note.startswith("Symile is above CLIP.\n\nReport: [benchmark](" + place + ")")
    sync(replace(study, finding="CLIP is above Symile."), database)
    note = client.get_experiment(experiment.experiment_id).tags["mlflow.note.content"]
    assert note.startswith("CLIP is above Symile.")
    for own in ("ours", f"{EXPERIMENT_NOTE} Contact: the ward.", f"{_EARLIER_NOTE} Contact."):
        client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", own)
        sync(study, database)
        note = client.get_experiment(experiment.experiment_id).tags["mlflow.note.content"]
        assert note == own


def test_an_experiment_of_an_earlier_version_gets_the_finding(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    client, study = MlflowClient(database), write_benchmark(tmp_path / "out")
    experiment = client.create_experiment("synthetic", tags={NOTE_TAG: _EARLIER_NOTE})
    sync(study, database)
    assert client.get_experiment(experiment).tags[NOTE_TAG].startswith(study.finding)


def test_a_study_stays_the_same_when_its_first_run_is_trained_again(tmp_path: Path, database: str):
    from mlflow.tracking import MlflowClient

    study, client = write_benchmark(tmp_path / "out"), MlflowClient(database)
    first = sync(study, database)
    assert first.run_id is not None
    client.set_tag(first.run_id, "reviewed_by", "Dr X")
    method = named(database, "pretraining/symile").info.run_id
    started = "2026-05-01T10:00:00+00:00"
    write_run(study.runs[0].path, task="pretraining/symile", started=started)
    assert sync(study, database).run_id == first.run_id
    assert named(database, "pretraining/symile").info.run_id == method
    tops = [run for run in runs_of(database) if run.data.tags.get("role") == "study"]
    assert [run.data.tags["reviewed_by"] for run in tops] == ["Dr X"]


def test_a_run_that_is_made_anew_stays_in_its_method_with_what_users_added(
    tmp_path: Path, database: str
):
    from mlflow.tracking import MlflowClient

    study, client = write_benchmark(tmp_path / "out"), MlflowClient(database)
    sync(study, database)
    first = named(database, "symile-1").info.run_id
    for name in ("symile-1", "pretraining/symile", "benchmark: out"):
        client.set_tag(named(database, name).info.run_id, "reviewed_by", "Dr X")
    write_rows(study.runs[1].path / "results.jsonl", RESULTS[:1])
    assert sync_run(study.runs[1], uri=database).problem is None
    assert named(database, "symile-1").info.run_id != first
    assert tree_of(database)["symile-1"] == "pretraining/symile"
    sync(study, database)
    tree = tree_of(database)
    assert (tree["symile-1"], tree["pretraining/symile"]) == (
        "pretraining/symile",
        "benchmark: out",
    )
    for name in ("symile-1", "pretraining/symile", "benchmark: out"):
        assert named(database, name).data.tags["reviewed_by"] == "Dr X"


def test_a_method_of_one_seed_has_no_run_of_its_own(tmp_path: Path, database: str):
    study = write_benchmark(tmp_path / "out")
    sync(study, database)
    sync(replace(study, runs=[study.runs[0], *study.runs[2:]]), database)
    tree = tree_of(database)
    assert tree["symile-0"] == tree["symile-1"] == "benchmark: out"
    assert "pretraining/symile" not in tree


def test_two_benchmarks_on_one_cohort_are_two_studies(tmp_path: Path, database: str):
    first = write_benchmark(tmp_path / "first")
    sync(first, database)
    other = replace(write_benchmark(tmp_path / "second"), finding="CLIP is above Symile.")
    for seed, run in enumerate(other.runs[:3]):
        write_run(run.path, started=f"2026-04-0{seed + 1}T10:00:00+00:00", seed=seed)
    for study in (other, first, other):
        sync(study, database)
        runs = {run.info.run_id: run for run in runs_of(database)}
        tops = {run.info.run_name: run for run in runs.values() if run.data.tags["role"] == "study"}
        assert {name: top.data.tags["mlflow.note.content"] for name, top in tops.items()} == {
            "benchmark: first": first.finding,
            "benchmark: second": other.finding,
        }
        methods = [run for run in runs.values() if run.data.tags["role"] == "method"]
        assert {runs[run.data.tags["mlflow.parentRunId"]].info.run_name for run in methods} == {
            "benchmark: first",
            "benchmark: second",
        }
        oracle = named(database, "oracle")  # they share it
        assert runs[oracle.data.tags["mlflow.parentRunId"]].info.run_name == "benchmark: first"


def test_the_mean_of_a_method_follows_the_seeds_that_are_left(tmp_path: Path, database: str):
    study = write_benchmark(tmp_path / "out", seeds=3)
    for number, run in enumerate(study.runs[:3]):  # the third was evaluated last
        at = 1_700_000_000 + number
        os.utime(run.path / "results.jsonl", (at, at))
    sync(study, database)
    assert named(database, "pretraining/symile").data.metrics[RECALL] == pytest.approx(0.6)
    left = replace(study, runs=[*study.runs[:2], *study.runs[3:]])
    sync(left, database)
    assert named(database, "pretraining/symile").data.metrics[RECALL] == pytest.approx(0.65)


def test_a_study_that_cannot_be_sent_is_a_sentence_with_the_command(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
):
    from mlflow.tracking import MlflowClient

    def fail(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("no")

    study = write_benchmark(tmp_path / "out")
    for run in study.runs:
        sync_run(run, uri=database)
    for method, words in (
        ("create_run", "study 'out' could not be synced"),
        ("log_artifact", "its files could not be stored"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, method, fail)
            problem = str(sync_study(study, uri=database).problem)
        assert words in problem
        assert f"then run `clinical-symile sync {study.folder}" in problem
    assert sync_study(study, uri=database).problem is None
    assert json.loads(
        named(database, "benchmark: out").data.tags["mlflow.clinical_symile.mirrored"]
    )
