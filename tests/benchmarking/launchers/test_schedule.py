from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clinical_symile.benchmarking.launchers import schedule
from clinical_symile.benchmarking.launchers.job import Job, JobOutcome, write_outcome
from clinical_symile.benchmarking.launchers.schedule import run_jobs
from clinical_symile.errors import Problem
from tests.helpers.launched import InProcessLauncher, job_named

NAMES = ("a", "b", "c", "d")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_PROGRESS_PAUSE_S", 0.0)


def do(job: Job) -> None:
    write_outcome(job.file, JobOutcome())


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    return [job_named(name, tmp_path) for name in NAMES]


@pytest.mark.parametrize(("most", "running"), [(2, 2), (1, 1), (None, 4)])
def test_as_many_jobs_run_at_once_as_the_launcher_takes(
    jobs: list[Job], most: int | None, running: int
):
    launcher, seen = InProcessLauncher(do, most), list[tuple[int, int]]()
    failed = run_jobs(
        jobs, launcher, retries=0, steps=4, progress=lambda *count: seen.append(count)
    )
    assert not failed
    assert launcher.started == list(NAMES)
    assert launcher.most_running == running
    assert launcher.is_closed
    assert seen[-1] == (4, 4)


def killed(times: int) -> Callable[[Job], str | None]:
    """Jobs of which `b` is killed some times before it is done."""
    kills = Counter[str]()

    def run(job: Job) -> str | None:
        kills[job.name] += 1
        if job.name == "b" and kills["b"] <= times:
            return "was killed by SIGKILL"
        return do(job)

    return run


def test_a_job_whose_process_was_killed_is_started_again(jobs: list[Job]):
    launcher, said = InProcessLauncher(killed(2)), list[str]()
    assert not run_jobs(jobs, launcher, retries=2, steps=4, notify=said.append)
    assert Counter(launcher.started) == {"a": 1, "b": 3, "c": 1, "d": 1}
    assert "b: its process was killed by SIGKILL; it is started again (2 of 2)" in said


def test_a_job_that_is_killed_too_often_is_named_and_the_others_go_on(jobs: list[Job]):
    launcher = InProcessLauncher(killed(9))
    failed = run_jobs(jobs, launcher, retries=1, steps=4)
    assert Counter(launcher.started) == {"a": 1, "b": 2, "c": 1, "d": 1}
    (problem,) = failed["b"]
    assert problem.code == "CS-R031"
    assert "ended 2 times before the run was done, at last it was killed by SIGKILL" in problem
    assert str(jobs[1].log) in problem


def test_a_job_that_fails_by_itself_is_not_started_again_and_the_others_go_on(jobs: list[Job]):
    def run(job: Job) -> None:
        problems = (Problem("too few.", "CS-D027"),) if job.name == "b" else ()
        write_outcome(job.file, JobOutcome(problems=problems))

    launcher, said = InProcessLauncher(run), list[str]()
    failed = run_jobs(jobs, launcher, retries=2, steps=4, notify=said.append)
    assert launcher.started == list(NAMES)
    assert [problem.with_code() for problem in failed["b"]] == ["run 'b': too few. [CS-D027]"]
    assert list(failed) == ["b"]
    assert sum("done in" in one for one in said) == 3


def test_jobs_follow_a_job_that_is_done(jobs: list[Job]):
    first, *others = jobs
    launcher = InProcessLauncher(do)
    run_jobs(
        [first], launcher, retries=0, steps=4, follow=lambda job: others if job == first else []
    )
    assert launcher.started == list(NAMES)


def test_an_earlier_outcome_does_not_count(jobs: list[Job]):
    jobs[0].write()
    do(jobs[0])
    launcher = InProcessLauncher(lambda job: "was killed by SIGKILL")
    assert list(run_jobs(jobs[:1], launcher, retries=0, steps=1)) == ["a"]


def test_an_interruption_stops_what_runs(jobs: list[Job]):
    def interrupt(job: Job) -> None:
        raise KeyboardInterrupt

    launcher = InProcessLauncher(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs, launcher, retries=2, steps=4)
    assert launcher.is_closed


def test_epochs_of_running_jobs_count(tmp_path: Path, tiny_task) -> None:
    job = replace(job_named("symile-0", tmp_path), kind="run", pretraining=(tiny_task,))
    job.run.write_history([{"epoch": 1}])
    seen: list[tuple[int, int]] = []

    class Waiting(InProcessLauncher):
        def ended(self):
            if len(seen) < 2:
                return []
            return super().ended()

    run_jobs([job], Waiting(do), retries=0, steps=3, progress=lambda *count: seen.append(count))
    assert seen == [(1, 3), (1, 3), (3, 3), (3, 3)]
