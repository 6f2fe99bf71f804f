"""Jobs and launchers for tests: a launcher that runs jobs in the process of the test."""

from collections.abc import Callable
from pathlib import Path

from clinical_symile.benchmarking.launchers.base import EndedJob
from clinical_symile.benchmarking.launchers.job import Job


def job_named(name: str, out: Path) -> Job:
    """A job of nothing, for tests that do not run it."""
    return Job(kind="oracle", name=name, out=out, store=out / "store")


class InProcessLauncher:
    """Runs each job when it is asked what has ended.

    Args:
        run: runs a job; it returns how the job's process was killed, or None if it was not.
        most_jobs: the number of jobs at once.
    """

    def __init__(self, run: Callable[[Job], str | None], most_jobs: int | None = 2):
        self.most_jobs, self._run = most_jobs, run
        self.started: list[str] = []
        self.most_running = 0
        self.is_closed = False
        self._running: list[Job] = []

    @property
    def n_running(self) -> int:
        """The number of jobs that were started and have not ended."""
        return len(self._running)

    def start(self, job: Job) -> None:
        self.started.append(job.name)
        self._running.append(job)
        self.most_running = max(self.most_running, len(self._running))

    def ended(self) -> list[EndedJob]:
        job = self._running.pop(0)
        return [EndedJob(job, self._run(job) or "ended")]

    def close(self) -> None:
        self.is_closed = True
