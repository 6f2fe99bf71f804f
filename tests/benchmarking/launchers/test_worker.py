import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.benchmarking.launchers import worker
from clinical_symile.benchmarking.launchers.job import Job, read_outcome
from clinical_symile.benchmarking.launchers.worker import execute, run_job, run_worker
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.analyze import analyze_run
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.files import lock_folder
from clinical_symile.tracking.run import Run
from clinical_symile.training.cluster import PROCESS_VARIABLES
from clinical_symile.training.train import train
from tests.helpers.launched import job_named
from tests.helpers.quick import with_few_resamples_everywhere
from tests.helpers.robust_folders import contents
from tests.helpers.synthetic import tiny

TASK = "retrieval/cxr_given_ecg_labs"


@pytest.fixture
def job(catalog: Catalog, synthetic_store: CohortStore, tmp_path: Path) -> Job:
    task = read_task(catalog, TASK).model_copy(update={"missingness": ("complete",)})
    return Job(
        kind="run",
        name="symile-1",
        out=tmp_path / "out",
        store=synthetic_store.path,
        pretraining=(tiny(catalog, "pretraining/symile", "epochs=1"),),
        tasks=(task,),  # pyright: ignore[reportArgumentType]
        seed=1,
        accelerator="cpu",
    )


@pytest.mark.slow
def test_a_job_leaves_what_training_evaluation_and_analysis_leave(
    job: Job, synthetic_store: CohortStore, tmp_path: Path
):
    with with_few_resamples_everywhere():
        job.write()
        assert run_job(job.file)
        alone = Run(tmp_path / "alone" / "runs" / "symile-1")
        train(job.pretraining[0], store=synthetic_store, run=alone, seed=1, accelerator="cpu")
        evaluate_run(alone, job.tasks, store=synthetic_store)
        analyze_run(alone, job.tasks, store=synthetic_store)
    assert contents(job.run.path) == contents(alone.path)
    assert read_outcome(job)


def test_a_setting_is_trained_and_not_evaluated(job: Job):
    setting = replace(job, kind="setting", name="settings/1/symile-1", tasks=())
    setting.write()
    assert run_job(setting.file)
    assert setting.run.is_finished
    assert not setting.run.results


def test_each_epoch_is_copied_to_mlflow_one_run_after_another(
    job: Job, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copied: list[tuple[Path, bool]] = []

    def copy(run: Run, *, uri: str, folder: Path) -> None:
        with lock_folder(folder / "mlflow") as is_held:
            copied.append((folder, is_held))

    monkeypatch.setattr(worker, "sync_run", copy)
    setting = replace(job, kind="setting", name="settings/1/symile-1", tasks=(), sync=True)
    setting.write()
    assert run_job(setting.file)
    assert copied == [(job.out, True)]


def test_what_a_user_can_fix_is_the_outcome_and_the_log(
    job: Job, capfd: pytest.CaptureFixture[str]
):
    gone = replace(job, store=job.out / "nowhere")
    gone.write()
    with capfd.disabled():
        assert not run_job(gone.file)
    found = read_outcome(gone)
    assert found is not None
    assert [problem.code for problem in found.problems] == ["CS-D015"]
    assert "nowhere" in gone.log.read_text()


def test_an_unexpected_error_leaves_its_kind_and_a_traceback(
    job: Job, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def fail(job: Job) -> None:
        raise ZeroDivisionError("a number of a patient")

    monkeypatch.setattr(worker, "execute", fail)
    job.write()
    with capfd.disabled():
        assert not run_job(job.file)
    found = read_outcome(job)
    assert found is not None
    assert found.error == "ZeroDivisionError"
    assert not found.problems
    assert "Traceback" in job.log.read_text()


@pytest.mark.parametrize("kind", ["baseline", "pair-sums", "oracle"])
def test_a_reference_is_evaluated(kind: str, job: Job, monkeypatch: pytest.MonkeyPatch):
    called: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *arguments, **options: called.append(name)

    for name in ("evaluate_baseline", "evaluate_pair_sums", "evaluate_oracle", "train"):
        monkeypatch.setattr(worker, name, note(name))
    one = replace(job, kind=kind, name=kind, baseline="prevalence")  # pyright: ignore
    one.write()
    assert run_job(one.file)
    assert called == [f"evaluate_{kind.replace('-', '_')}"]


def test_a_further_process_of_a_training_writes_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(worker, "execute", lambda job: None)
    job = job_named("oracle", tmp_path)
    job.write()
    for name, value in {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run_job(job.file)
    assert read_outcome(job) is None


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_process_alone_evaluates_a_run_that_was_trained_before_a_retry(
    rank: str, job: Job, synthetic_store: CohortStore, monkeypatch: pytest.MonkeyPatch
):
    train(job.pretraining[0], store=synthetic_store, run=job.run, seed=1, accelerator="cpu")
    evaluated: list[Run] = []
    monkeypatch.setattr(worker, "evaluate_run", lambda run, *_, **__: evaluated.append(run))
    places = {"SLURM_NTASKS": "2", "SLURM_PROCID": rank, "SLURM_LOCALID": "0"}
    for name in PROCESS_VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    for name, value in {**places, "SLURM_NODEID": rank}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) if rank == "1" else nullcontext():
        execute(replace(job, nodes=2))
    assert len(evaluated) == (rank == "0")


def test_the_only_job_decides_the_status(tmp_path: Path):
    job = job_named("oracle", tmp_path)
    job.write()
    with pytest.raises(SystemExit) as ended:
        run_worker([str(job.file)])
    assert ended.value.code == 1
    about = json.loads((job.folder / "outcome.json").read_text())
    assert about["problems"][0]["code"] == "CS-D015"
    assert str(Path.cwd()) == json.loads(job.file.read_text())["folder"]
