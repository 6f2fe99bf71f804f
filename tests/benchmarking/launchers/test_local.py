"""Real child processes, with a worker of a few lines: loading PyTorch is not what is tested."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.benchmarking.launchers import local
from clinical_symile.benchmarking.launchers.base import EndedJob, LaunchOptions
from clinical_symile.benchmarking.launchers.job import Job, read_outcome
from clinical_symile.benchmarking.launchers.local import (
    LocalLauncher,
    devices_of_place,
)
from clinical_symile.errors import DefinitionError
from tests.helpers.launched import job_named

# Writes its number and that of a process of its own, then does what the job's name says.
WORKER = """
import os, pathlib, subprocess, sys, threading, time
given = sys.argv[1:]
for line in [given[-1]] if given else sys.stdin:
    job = pathlib.Path(line.rstrip()).parent
    other = subprocess.Popen(["sleep", "60"])
    (job / "ids").write_text(f"{os.getpid()} {other.pid} {os.environ['OMP_NUM_THREADS']}")
    if job.name == "slow":
        time.sleep(60)
    if job.name == "bad":
        sys.exit(3)
    (job / "part").write_text('{"problems": [], "error": null}')
    (job / "part").rename(job / "outcome.json")
"""
LONGEST_S = 20


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalLauncher]:
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    monkeypatch.setattr(local, "worker_command", lambda: [sys.executable, str(program)])
    monkeypatch.setattr(local, "_GRACE_S", 1.0)
    made = LocalLauncher(LaunchOptions(jobs=2))
    yield made
    made.close()


def start(launcher: LocalLauncher, job: Job) -> None:
    job.write()
    launcher.start(job)


def wait(launcher: LocalLauncher, number: int = 1) -> list[EndedJob]:
    found: list[EndedJob] = []
    begin = time.monotonic()
    while len(found) < number:
        assert time.monotonic() < begin + LONGEST_S
        found += launcher.ended()
        time.sleep(0.01)
    return found


def processes(job: Job) -> list[int]:
    """The numbers of a job's process and of the one that it started, and its threads."""
    path, begin = job.folder / "ids", time.monotonic()
    while not (path.is_file() and len(path.read_text().split()) == 3):
        assert time.monotonic() < begin + LONGEST_S
        time.sleep(0.01)
    return [int(word) for word in path.read_text().split()]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(process: int) -> bool:
    """Whether a process that was killed is gone soon."""
    begin = time.monotonic()
    while is_running(process) and time.monotonic() < begin + LONGEST_S:
        time.sleep(0.01)
    return not is_running(process)


def test_jobs_run_side_by_side_each_with_its_threads(launcher: LocalLauncher, tmp_path: Path):
    jobs = [replace(job_named(name, tmp_path), threads=n) for name, n in (("a", 1), ("b", 3))]
    for job in jobs:
        start(launcher, job)
    assert {one.job.name for one in wait(launcher, 2)} == {"a", "b"}
    assert launcher.ended() == []
    first, second = map(processes, jobs)
    assert first[0] != second[0]
    assert (first[2], second[2]) == (1, 3)


def test_a_process_runs_one_job_after_another(launcher: LocalLauncher, tmp_path: Path):
    numbers = set()
    for name in ("a", "b"):
        job = job_named(name, tmp_path)
        start(launcher, job)
        wait(launcher)
        assert read_outcome(job)
        numbers.add(processes(job)[0])
    assert len(numbers) == 1


def test_a_killed_process_is_found_with_its_signal_and_replaced(
    launcher: LocalLauncher, tmp_path: Path
):
    slow, other = job_named("slow", tmp_path), job_named("a", tmp_path)
    start(launcher, slow)
    number, child, _ = processes(slow)
    os.kill(number, signal.SIGKILL)
    assert wait(launcher) == [EndedJob(slow, "was killed by SIGKILL")]
    assert read_outcome(slow) is None
    assert ends(child), "what a killed process has started ends too"
    start(launcher, other)
    assert wait(launcher) == [EndedJob(other, "ended")]


def test_a_process_that_ends_early_is_found_with_its_status(
    launcher: LocalLauncher, tmp_path: Path
):
    job = job_named("bad", tmp_path)
    start(launcher, job)
    assert wait(launcher) == [EndedJob(job, "ended with status 3")]


def test_closing_ends_the_processes_and_what_they_have_started(
    launcher: LocalLauncher, tmp_path: Path
):
    job = job_named("slow", tmp_path)
    start(launcher, job)
    *numbers, _ = processes(job)
    assert all(map(is_running, numbers))
    launcher.close()
    assert all(map(ends, numbers))


def test_a_training_on_several_devices_has_a_process_of_its_own(
    launcher: LocalLauncher, tmp_path: Path
):
    jobs = [replace(job_named(name, tmp_path), devices=2) for name in ("a", "b")]
    for job in jobs:
        start(launcher, job)
        wait(launcher)
    assert processes(jobs[0])[0] != processes(jobs[1])[0]


def test_options_of_an_engine_are_refused():
    with pytest.raises(DefinitionError, match="this machine has no option 'partition'"):
        LocalLauncher(LaunchOptions(jobs=2, engine={"partition": "gpu"}))


@pytest.mark.parametrize(
    ("place", "devices", "gpus", "seen"),
    [
        (0, 1, [], None),
        (0, 1, ["0", "1"], "0"),
        (1, 1, ["4", "7"], "7"),
        (2, 1, ["0", "1"], "0"),
        (1, 2, ["0", "1", "2", "3"], "2,3"),
        (0, 2, ["5"], "5"),
    ],
)
def test_each_process_sees_its_own_gpus(
    place: int, devices: int, gpus: list[str], seen: str | None
):
    expected = {} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}
    assert devices_of_place(place, devices, gpus) == expected
