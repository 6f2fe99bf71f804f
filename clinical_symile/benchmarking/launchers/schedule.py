"""Run jobs by a launcher: start what is due, start killed ones again, collect what failed."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from clinical_symile.benchmarking.launchers.base import EndedJob, Launcher
from clinical_symile.benchmarking.launchers.job import Job, failure_problems, read_outcome
from clinical_symile.errors import ClinicalSymileError, Problem
from clinical_symile.formatting import format_duration
from clinical_symile.tracking.progress import Progress

# Pauses between two looks at what has ended, and at how far the others are.
_PAUSE_S, _PROGRESS_PAUSE_S = 0.1, 2.0


def run_jobs(
    jobs: Iterable[Job],
    launcher: Launcher,
    *,
    retries: int,
    steps: int,
    follow: Callable[[Job], Sequence[Job]] = lambda job: (),
    progress: Progress = lambda done, total: None,
    notify: Callable[[str], object] = lambda sentence: None,
) -> dict[str, Sequence[Problem]]:
    """Run jobs until each is done or has failed.

    A job whose process was killed is started again; its training continues from the last epoch. A
    job that fails by itself is not started again, and the others go on.

    Args:
        jobs: the jobs that can begin at once.
        launcher: starts them. It is closed at the end, also if this function is interrupted.
        retries: how often a job is started again whose process was killed.
        steps: the epochs and evaluations of all jobs, those that follow included.
        follow: returns the jobs that can begin now that a job is done.
        progress: called with the epochs and evaluations done and `steps`.
        notify: called with a sentence for each job that begins or ends.

    Returns:
        The message to the user for each failed job, by its name.
    """
    schedule = _Schedule(launcher, retries, notify)
    schedule.due.extend(jobs)
    shown = 0.0
    try:
        while schedule.due or schedule.running:
            schedule.start_due()
            ended = launcher.ended()
            for one in ended:
                schedule.due.extend(follow(one.job) if schedule.settle(one) else ())
            if time.monotonic() >= shown + _PROGRESS_PAUSE_S:
                shown = time.monotonic()
                progress(schedule.steps_done(), steps)
            if not ended:
                time.sleep(_PAUSE_S)
        progress(schedule.steps_done(), steps)
    finally:
        launcher.close()
    return schedule.failed


class _Schedule:
    """The jobs of a grid while they run."""

    def __init__(self, launcher: Launcher, retries: int, notify: Callable[[str], object]):
        self._launcher, self._retries, self._notify = launcher, retries, notify
        self._kills: Counter[str] = Counter()
        self._done_steps = 0
        self.due: deque[Job] = deque()
        self.running: dict[str, tuple[Job, float]] = {}
        self.failed: dict[str, Sequence[Problem]] = {}

    def start_due(self) -> None:
        """Start as many jobs as the launcher takes."""
        most = self._launcher.most_jobs
        while self.due and (most is None or len(self.running) < most):
            job = self.due.popleft()
            job.write()
            self._launcher.start(job)
            self.running[job.name] = job, time.monotonic()
            self._notify(f"{job.name}: {'continued' if _epochs_done(job) else 'started'}")

    def settle(self, ended: EndedJob) -> bool:
        """Note how a job has ended; return whether it was done."""
        job, started = self.running.pop(ended.job.name)
        outcome = read_outcome(job)
        if outcome is None:
            self._settle_killed(job, ended.cause)
        elif outcome.is_done:
            self._done_steps += job.steps
            seconds = format_duration(time.monotonic() - started)
            self._notify(f"{job.name}: done in {seconds}")
            return True
        else:
            self.failed[job.name] = failure_problems(job, outcome)
            self._notify(f"{job.name}: failed. {' '.join(self.failed[job.name])}")
        return False

    def _settle_killed(self, job: Job, cause: str) -> None:
        """Start a job again whose process was killed, unless that happened too often."""
        self._kills[job.name] += 1
        kills = self._kills[job.name]
        if kills <= self._retries:
            self.due.appendleft(job)
            self._notify(
                f"{job.name}: its process {cause}; it is started again ({kills} of {self._retries})"
            )
            return
        times = "once" if kills == 1 else f"{kills} times"
        sentence = (
            f"run '{job.name}': its process ended {times} before the run was done, at last it "
            f"{cause}; expected it to end by itself. Read the end of {job.log}. If memory was "
            "short, train fewer runs at once with --jobs."
        )
        self.failed[job.name] = ClinicalSymileError(sentence, code="CS-R031").problems
        self._notify(f"{job.name}: failed. {sentence}")

    def steps_done(self) -> int:
        """Return the number of epochs and evaluations that are done."""
        return self._done_steps + sum(_epochs_done(job) for job, _ in self.running.values())


def _epochs_done(job: Job) -> int:
    """Return the number of epochs that a job has written, as its history has them."""
    path = job.run.path / "history.jsonl"
    if not job.epochs or not path.is_file():
        return 0
    return min(path.read_bytes().count(b"\n"), job.epochs)
