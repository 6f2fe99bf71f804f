"""submitit without SLURM, by processes of this machine; SLURM itself is in `test_launchers.py`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.benchmarking.launchers import command, slurm
from clinical_symile.benchmarking.launchers.base import EndedJob, LaunchOptions
from clinical_symile.benchmarking.launchers.job import Job
from clinical_symile.benchmarking.launchers.slurm import SlurmLauncher
from clinical_symile.errors import ClinicalSymileError, DefinitionError
from tests.helpers.launched import job_named

WORKER = """
import os, pathlib, sys, time
job = pathlib.Path(sys.argv[-1]).parent
(job / "part").write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")
(job / "part").rename(job / "ids")
if job.name == "slow":
    time.sleep(60)
(job / "part").write_text('{"problems": [], "error": null}')
(job / "part").rename(job / "outcome.json")
"""
LONGEST_S = 60
HERE = LaunchOptions(launcher="slurm", engine={"cluster": "local"})


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmLauncher]:
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    monkeypatch.setattr(command, "worker_command", lambda: [sys.executable, str(program)])
    made = SlurmLauncher(HERE)
    yield made
    made.close()


def wait(launcher: SlurmLauncher) -> list[EndedJob]:
    begin = time.monotonic()
    while not (found := launcher.ended()):
        assert time.monotonic() < begin + LONGEST_S
        time.sleep(0.05)
    return found


def process_of(job: Job) -> int:
    begin = time.monotonic()
    while not (job.folder / "ids").is_file():
        assert time.monotonic() < begin + LONGEST_S
        time.sleep(0.05)
    return int((job.folder / "ids").read_text().split()[0])


def test_a_job_runs_with_its_threads_and_a_killed_one_is_found(
    launcher: SlurmLauncher, tmp_path: Path
):
    job, slow = replace(job_named("a", tmp_path), threads=3), job_named("slow", tmp_path)
    for one in (job, slow):
        one.write()
        launcher.start(one)
    assert wait(launcher) == [EndedJob(job, "ended")]
    assert (job.folder / "ids").read_text().split()[1] == "3"
    os.kill(process_of(slow), signal.SIGKILL)
    (ended,) = wait(launcher)
    assert ended.job == slow
    assert "left the queue as job" in ended.cause


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"partitoin": "gpu"}, "SLURM has no parameter 'partitoin'; expected cluster, account"),
        ({"cluster": "moon"}, "cluster is 'moon'; expected slurm or local"),
    ],
)
def test_a_wrong_parameter_is_refused(engine: dict[str, str], message: str):
    with pytest.raises(DefinitionError, match=message):
        SlurmLauncher(LaunchOptions(launcher="slurm", engine=engine))


def test_a_machine_without_slurm_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda command: None)
    with pytest.raises(ClinicalSymileError, match=r"found no command srun; .*CS-R033"):
        SlurmLauncher(LaunchOptions(launcher="slurm"))


def test_submitit_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ClinicalSymileError, match="submitit"):
        SlurmLauncher(HERE)


def test_slurm_is_asked_for_what_was_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pages: list[str] = []

    def submit(arguments: list[str], **_: object) -> str:
        pages.append(Path(arguments[-1]).read_text())
        return "Submitted batch job 12\n"

    monkeypatch.setattr("shutil.which", lambda command: f"/usr/bin/{command}")
    monkeypatch.setattr(
        "submitit.core.utils.CommandFunction.__call__", lambda self: submit(self.command)
    )
    monkeypatch.setattr(slurm, "_queued_jobs", lambda: {"12"})
    options = LaunchOptions(
        launcher="slurm", threads=4, engine={"partition": "gpu", "account": "cardio"}
    )
    launcher = SlurmLauncher(options)
    job = replace(
        job_named("clip-0", tmp_path),
        threads=4,
        devices=2,
        nodes=3,
        accelerator="cuda",
        time_s=3600.0,
        memory_bytes=2 * 2**30,
    )
    job.write()
    launcher.start(job)
    assert launcher.ended() == []
    (page,) = pages
    for line in (
        "--cpus-per-task=4",
        "--gpus-per-node=2",
        "--nodes=3",
        "--ntasks-per-node=2",
        "--time=61",
        "--mem=4GB",
        "--partition=gpu",
        "--account=cardio",
        "--job-name=clip-0",
    ):
        assert f"#SBATCH {line}\n" in page
    monkeypatch.setattr(slurm, "_queued_jobs", lambda: None)
    monkeypatch.setattr(slurm, "_PAUSE_S", 0.0)
    monkeypatch.setattr(slurm, "_LATE_S", 0.0)
    assert launcher.ended() == [], "SLURM does not answer, which says nothing of the job"
    monkeypatch.setattr(slurm, "_queued_jobs", lambda: set())
    (ended,) = launcher.ended()
    assert ended.cause == "left the queue as job 12 without an outcome"


def test_a_question_that_slurm_does_not_answer_is_no_answer(monkeypatch: pytest.MonkeyPatch):
    def answer(status: int, text: str) -> None:
        made = subprocess.CompletedProcess([], status, stdout=text)
        monkeypatch.setattr("subprocess.run", lambda *a, **k: made)

    answer(0, "7\n9_1\n")
    assert slurm._queued_jobs() == {"7", "9_1"}
    answer(1, "")
    assert slurm._queued_jobs() is None
