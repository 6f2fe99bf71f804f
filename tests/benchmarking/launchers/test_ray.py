"""Ray's answers as jobs see them; the slow tests start Ray."""

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clinical_symile.benchmarking.launchers import command
from clinical_symile.benchmarking.launchers import ray as launcher_module
from clinical_symile.benchmarking.launchers.base import EndedJob, LaunchOptions
from clinical_symile.benchmarking.launchers.ray import RayLauncher
from clinical_symile.errors import ClinicalSymileError, DefinitionError
from clinical_symile.tracking.offline import OFFLINE_VARIABLES
from tests.helpers.launched import job_named

LONGEST_S = 120
WORKER = """
import os, pathlib, sys, time
job = pathlib.Path(sys.argv[-1]).parent
words = os.getpid(), os.getppid(), os.environ["OMP_NUM_THREADS"], os.environ["MLFLOW_TRACKING_URI"]
(job / "part").write_text(" ".join(map(str, words)))
(job / "part").rename(job / "ids")
if job.name == "slow":
    time.sleep(60)
sys.exit(3)
"""


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ({"hostname": "x"}, "Ray has no option 'hostname'; expected address or"),
        ({"gpus": "all"}, "gpus is 'all'; expected address or a number of gpus"),
    ],
)
def test_a_wrong_option_is_refused(engine: dict[str, str], message: str):
    with pytest.raises(DefinitionError, match=message):
        RayLauncher(LaunchOptions(launcher="ray", engine=engine))


def test_ray_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClinicalSymileError, match="ray"):
        RayLauncher(LaunchOptions(launcher="ray"))


class FakeRay:
    """Keeps what a task is asked to have; a task ends as its command says."""

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

    def __init__(self, lost: bool = False, reachable: bool = True):
        self.lost, self.reachable = lost, reachable
        self.asked: list[dict[str, Any]] = []
        self.begun: dict[str, Any] = {}
        self.cancelled: list[object] = []

    def init(self, **options: Any) -> None:
        if not self.reachable:
            raise ConnectionError("no head at nowhere:1")
        self.begun = options

    def remote(self, function: Any) -> Any:
        def options(**asked: Any) -> Any:
            self.asked.append(asked)
            return SimpleNamespace(remote=lambda command: (len(self.asked), *command))

        return SimpleNamespace(options=options)

    def wait(self, tasks: list[object], **_: Any) -> tuple[list[object], list[object]]:
        return tasks[:1], tasks[1:]

    def get(self, task: object) -> int:
        if self.lost:
            raise self.exceptions.RayError
        return 0

    def cancel(self, task: object, *, force: bool) -> None:
        assert force
        self.cancelled.append(task)

    def shutdown(self) -> None:
        self.begun = {}


def faked(monkeypatch: pytest.MonkeyPatch, ray: FakeRay, **engine: str) -> RayLauncher:
    monkeypatch.setitem(sys.modules, "ray", ray)
    return RayLauncher(LaunchOptions(launcher="ray", engine=engine))


def test_ray_is_asked_for_threads_gpus_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("RAY_USAGE_STATS_ENABLED", "MLFLOW_TRACKING_URI", *OFFLINE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    ray = FakeRay()
    launcher = faked(monkeypatch, ray, address="10.0.0.1:6379")
    assert ray.begun["address"] == "10.0.0.1:6379"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    job = replace(
        job_named("a", tmp_path),
        threads=4,
        accelerator="cuda",
        memory_bytes=2 * 2**30,
    )
    other = job_named("b", tmp_path)
    for one in (job, other):
        launcher.start(one)
    first, second = ray.asked
    assert first == {
        "name": "a",
        "num_cpus": 4,
        "num_gpus": 1,
        "memory": 4 * 2**30,
        "max_retries": 0,
    }
    assert second == {"name": "b", "num_cpus": 1, "num_gpus": 0, "max_retries": 0}
    assert launcher.ended() == [EndedJob(job, "ended with status 0")]
    launcher.close()
    assert len(ray.cancelled) == 1
    assert not ray.begun


def test_a_task_has_the_tracking_server_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in OFFLINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    ray = FakeRay()
    faked(monkeypatch, ray).start(job_named("a", tmp_path))
    assert ray.asked[0]["runtime_env"] == {
        "env_vars": {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    }


def test_a_lost_task_is_an_ended_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    launcher = faked(monkeypatch, FakeRay(lost=True))
    launcher.start(job_named("a", tmp_path))
    (ended,) = launcher.ended()
    assert ended.cause == "was lost by Ray (RayError)"
    assert launcher.ended() == []


def test_a_cluster_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ClinicalSymileError, match=r"no head at nowhere:1; expected .*CS-R033"):
        faked(monkeypatch, FakeRay(reachable=False), address="nowhere:1")


def test_a_task_runs_a_command_and_returns_its_status():
    run = launcher_module._command_task()
    assert run([sys.executable, "-c", "raise SystemExit(3)"]) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_ray_runs_a_job_and_finds_one_whose_worker_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    monkeypatch.setattr(command, "worker_command", lambda: [sys.executable, str(program)])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # as other tests
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    launcher = RayLauncher(LaunchOptions(launcher="ray"))
    # Only now: the workers of a cluster that runs already do not have it.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    try:
        job, slow = replace(job_named("a", tmp_path), threads=1), job_named("slow", tmp_path)
        for one in (job, slow):
            one.write()
            launcher.start(one)
        begin, found = time.monotonic(), list[EndedJob]()
        while not found:
            assert time.monotonic() < begin + LONGEST_S
            found = launcher.ended()
        assert found == [EndedJob(job, "ended with status 3")]
        assert (job.folder / "ids").read_text().split()[2:] == ["1", "http://mlflow:5000"]
        while not (slow.folder / "ids").is_file():
            assert time.monotonic() < begin + LONGEST_S
            time.sleep(0.05)
        os.kill(int((slow.folder / "ids").read_text().split()[1]), signal.SIGKILL)
        while not (found := launcher.ended()):
            assert time.monotonic() < begin + LONGEST_S
        assert found[0].job == slow
        assert "was lost by Ray (WorkerCrashedError)" in found[0].cause
    finally:
        launcher.close()
